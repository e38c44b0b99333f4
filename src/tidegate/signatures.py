"""The signatures of compiled classes, for `inspect.signature` and what stands on it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from typing import Any

__all__ = ["ClassSignature"]


class ClassSignature:
    """Gives a compiled class its ``__signature__``, from the source that lies beside it.

    Uncompiled classes, and subclasses that have an ``__init__`` of their own, are looked at as any
    other class is.
    """

    def __get__(self, instance: object, owner: type) -> Any:
        import inspect

        init = inspect.getattr_static(owner, "__init__")
        return None if inspect.isfunction(init) else signature_in_source(init.__objclass__)


def signature_in_source(cls: type) -> inspect.Signature | None:
    """Give the signature of a class as its source has it, None where there is no source."""
    import ast
    import inspect
    import sys
    from pathlib import Path

    module = sys.modules[cls.__module__]
    path = Path(str(module.__file__)).with_name(f"{cls.__module__.rpartition('.')[2]}.py")
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except OSError:
        return None
    [init] = [
        node
        for definition in tree.body
        if isinstance(definition, ast.ClassDef) and definition.name == cls.__name__
        for node in definition.body
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]
    # Its first lines are all that is wanted; who calls a class gives no self.
    init.args.args = init.args.args[1:]
    init.body = [ast.Pass(lineno=init.lineno, col_offset=0)]
    future = ast.parse("from __future__ import annotations").body
    namespace = dict(vars(module))
    exec(compile(ast.Module([*future, init], []), str(path), "exec"), namespace)
    return inspect.signature(namespace["__init__"])
