"""A language server made with pygls, that listens on a WebSocket."""

import sys

from lsprotocol import types
from pygls.lsp.server import LanguageServer

server = LanguageServer("tides", "1")


@server.feature(types.TEXT_DOCUMENT_HOVER)
def hover(ls: LanguageServer, params: types.HoverParams):
    document = ls.workspace.get_text_document(params.text_document.uri)
    word = document.word_at_position(params.position)
    return types.Hover(contents=f"{word} of {sys.modules['websockets'].__name__}")


server.start_ws("127.0.0.1", int(sys.argv[1]))
