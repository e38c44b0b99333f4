"""Names that are imported when they are first used.

A program pays for the import of what it uses only: ``import tidegate`` loads neither asyncio nor
the threads' side.
"""

from __future__ import annotations

import importlib
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["lazy_import"]

# Whether the use of a deprecated name is worth a warning. It isn't in a program that was written
# before (see `tidegate.integrations.websockets`).
warn_of_deprecated = True


def import_name(name: str, source: str, namespace: dict[str, Any]) -> Any:
    """Give the object that ``from source import name`` gives in a module.

    Args:
        name: the name of the object.
        source: the module, relative to the package (``.frames``) or absolute; ``module:other`` if
            the object has another name there, ``module:`` for the module itself.
        namespace: the globals of the module that imports.
    """
    source, colon, other = source.partition(":")
    module = importlib.import_module(source, namespace["__package__"])
    return module if colon and not other else getattr(module, other or name)


def import_deprecated(name: str, source: str, namespace: dict[str, Any]) -> Any:
    """Give the object as `import_name` does, without the warning that its own module gives."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"tidegate\.legacy is", DeprecationWarning)
        return import_name(name, source, namespace)


def warn_of_attribute(name: str, advice: str) -> None:
    """Warn the caller's caller of a deprecated attribute of an object.

    Where tidegate stands in for `websockets` the warning is seen by those who ask for warnings
    only, as theirs: it is shown for the module of the class, and not for the program.

    Args:
        name: what was used.
        advice: what to do instead.

    """
    if warn_of_deprecated:
        from . import identity

        level = 3 if identity.stands_in_for is None else 2
        warnings.warn(f"{name} is deprecated: {advice}", DeprecationWarning, stacklevel=level)


def lazy_import(
    namespace: dict[str, Any],
    aliases: dict[str, str] | None = None,
    deprecated_aliases: dict[str, str | tuple[str, str]] | None = None,
    submodules: Iterable[str] = (),
) -> None:
    """Make names available in a package or module, without importing them now (PEP 562).

    Args:
        namespace: the ``globals()`` of the package or module.
        aliases: for each name the module that has it, relative to the package.
        deprecated_aliases: the same for names whose first use warns with DeprecationWarning, or
            the module and what to do instead, such as ``use tidegate.connect``.
        submodules: modules of the package that are its attributes before anything imports them.

    Raises:
        ValueError: if a name is given twice, or ``namespace`` has it or has been through this.
    """
    current = dict(aliases or ())
    deprecated = dict(deprecated_aliases or ())
    for taken in (
        current.keys() & namespace.keys(),
        deprecated.keys() & namespace.keys(),
        current.keys() & deprecated.keys(),
        namespace.keys() & {"__getattr__", "__dir__"},
    ):
        if taken:
            raise ValueError(f"there already: {', '.join(sorted(taken))}")
    package = namespace["__name__"]
    # Those that were imported meanwhile are found as any other name is.
    current.update((name, f".{name}:") for name in submodules)

    def __getattr__(name: str) -> Any:
        source = current.get(name)
        if source is not None:
            value = import_name(name, source, namespace)
        elif name in deprecated:
            entry = deprecated[name]
            source, advice = (entry, "") if isinstance(entry, str) else (entry[0], f": {entry[1]}")
            if warn_of_deprecated:
                warnings.warn(
                    f"{package}.{name} is deprecated{advice}", DeprecationWarning, stacklevel=2
                )
            value = import_deprecated(name, source, namespace)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        # The next time it is found where any other name is.
        namespace[name] = value
        return value

    def __dir__() -> Iterable[str]:
        return sorted({*namespace, *current, *deprecated})

    namespace["__getattr__"] = __getattr__
    namespace["__dir__"] = __dir__
