"""What an import loads: a program pays, whenever it starts, for all that it doesn't use."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

# Each takes a millisecond or more, or has nothing to do with a first connection: the handshake, a
# proxy, TLS, compression, a refusal load theirs when there is one.
FOR_LATER = {
    *("concurrent.futures.process", "concurrent.futures.thread", "email", "gzip", "hashlib"),
    *("html", "http", "http.client", "json", "multiprocessing", "random"),
    *("secrets", "trio", "urllib.request", "uvloop", "zlib_ng", "aiohappyeyeballs"),
    *("tidegate.bodies", "tidegate.cli", "tidegate.core.acceptance", "tidegate.core.tally"),
    *(
        "tidegate.core.limits",
        "tidegate.core.routing",
        "tidegate.core.serving",
        "tidegate.core.tally",
    ),
    *("tidegate.extensions.deflate", "tidegate.integrations", "tidegate.legacy"),
    *("tidegate.proxy.hop", "tidegate.proxyprotocol.header", "tidegate.pubsub"),
    *("tidegate.server", "tidegate.sync", "tidegate.testing", "tidegate.trio"),
    *("tidegate.asyncio.announcement", "tidegate.asyncio.poller.transport"),
    *("tidegate.asyncio.router", "tidegate.asyncio.server", "tidegate.asyncio.tunnel"),
}


def loaded_by(statement, before="pass"):
    """Give the modules that a statement loads in a new interpreter, beside those of another."""
    program = (
        f"import sys; {before}; known = set(sys.modules); {statement}; "
        "print(*(set(sys.modules) - known))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        # To run from sources takes a module more, which looks for them.
        env={**os.environ, "TIDEGATE_NO_EXTENSIONS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_a_client_loads_what_it_needs_to_connect():
    # Whatever asyncio itself loads, in one version or another, is there anyway.
    loaded = loaded_by("import tidegate.asyncio.client", before="import asyncio")
    assert "tidegate.asyncio.client" in loaded
    assert loaded & FOR_LATER == set()


def test_these_are_the_names_of_modules():
    for name in FOR_LATER:
        if name.startswith("tidegate."):
            assert importlib.util.find_spec(name) is not None


@pytest.mark.parametrize("module", ["asyncio", "socket", "ssl", "typing", "logging", "re"])
def test_the_package_loads_next_to_nothing(module):
    assert module not in loaded_by("import tidegate")
