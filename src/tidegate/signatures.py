"""What compiled classes and methods are called and look like, for `inspect` and its like."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from typing import Any

__all__ = ["ClassSignature", "present"]


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


def present(owner: str, *methods: Any) -> None:
    """Have methods go by the class that programs know them from, and `inspect` find their sources.

    Args:
        owner: the name of the class.
        *methods: functions of the compiled classes that it is a subclass of.

    """
    import inspect

    for method in methods:
        method.__qualname__ = f"{owner}.{method.__name__}"
        # Uncompiled, it may be wrapped (see `tidegate.asyncio.operations.gives_coroutine`).
        if inspect.isfunction(getattr(method, "__wrapped__", method)):
            continue
        method.__signature__ = inspect.signature(method)
        # Sources are those of Python's functions only, so there has to be one in the same place.
        code = method.__code__
        lines = "\n" * (code.co_firstlineno - 1)
        source = f"{lines}def {method.__name__}(*args, **kwargs): return method(*args, **kwargs)"
        namespace = {"method": method, "__name__": method.__module__}
        exec(compile(source, code.co_filename, "exec"), namespace)
        method.__wrapped__ = namespace[method.__name__]
