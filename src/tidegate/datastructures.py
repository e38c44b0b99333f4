"""HTTP headers: a mapping that keeps order, case and repetition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Protocol, TypeVar, cast, overload

from .exceptions import InvalidHeaderName, InvalidHeaderValue

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]

# RFC 9110, section 5.6.2
is_valid_header_name = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+").fullmatch

# RFC 9110, section 5.5; obs-text is what ISO-8859-1 has there.
is_valid_header_value = re.compile(r"[\x09\x20-\x7e\x80-\xff]*").fullmatch

_T = TypeVar("_T")


class MultipleValuesError(LookupError):
    """A header that was expected once came more than once."""

    def __str__(self) -> str:
        # Like KeyError, and unlike LookupError, with quotes around the name.
        return repr(self.args[0]) if len(self.args) == 1 else super().__str__()


class Headers(MutableMapping[str, str]):
    """The headers of a request or a response.

    Names are compared without regard to case, and given in the case they were set in. A header
    may come several times: assigning adds a value and keeps those that are there. Reading a
    header that has several values raises `MultipleValuesError`; `get_all` gives them all. Delete
    it first to replace it.

    As in ``dict``, ``headers["Name"]`` raises KeyError if the header isn't there, and
    ``headers.get("Name")`` gives None. Iterating gives each name once, in lower case; `raw_items`
    gives every header.

    Args:
        *args: another Headers, a mapping, or an iterable of pairs of name and value.
        **kwargs: more headers.

    Raises:
        InvalidHeaderName: if a name isn't a token (RFC 9110, section 5.1); it is a ValueError.
        InvalidHeaderValue: if a value has control characters, such as line ends, or characters
            outside ISO-8859-1 (RFC 9110, section 5.5); it is a ValueError.
    """

    __slots__ = ("_dict", "_list")

    # _list has every header; _dict the values by name in lower case, in a list if it came
    # several times. Almost all come once: what is looked up most should cost least.
    _list: list[tuple[str, str]]
    _dict: dict[str, str | list[str]]

    def __init__(self, *args: HeadersLike, **kwargs: str) -> None:
        self._list = []
        self._dict = {}
        if args or kwargs:
            self.update(*args, **kwargs)

    @classmethod
    def from_valid(cls, items: list[tuple[str, str]]) -> Headers:
        """Give headers of ``items``, which become theirs and must have been checked already."""
        self = cls.__new__(cls)
        self._list = items
        self._dict = values = {}
        for name, value in items:
            key = name.lower()
            if key in values:
                self._add_another(key, value)
            else:
                values[key] = value
        return self

    @classmethod
    def from_parts(
        cls, items: list[tuple[str, str]], values: dict[str, str | list[str]]
    ) -> Headers:
        """Give headers of what `tidegate.wire.heads.split_request` gave, which becomes theirs."""
        self = cls.__new__(cls)
        self._list = items
        self._dict = values
        return self

    def _add_another(self, key: str, value: str) -> None:
        known = self._dict[key]
        if isinstance(known, list):
            known.append(value)
        else:
            self._dict[key] = [known, value]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._list!r})"

    def __str__(self) -> str:
        return "".join([f"{name}: {value}\r\n" for name, value in self._list]) + "\r\n"

    def copy(self) -> Headers:
        """Give headers that can be changed without changing these."""
        return self.from_valid(self._list.copy())

    __copy__ = copy

    def serialize(self) -> bytes:
        """Give the header lines and the empty line that ends them, as sent."""
        return str(self).encode("iso-8859-1")

    # Mapping

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._dict

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __getitem__(self, key: str) -> str:
        try:
            value = self._dict[key.lower()]
        except KeyError:
            raise KeyError(key) from None
        if type(value) is list:
            raise MultipleValuesError(key)
        return cast(str, value)

    @overload
    def get(self, key: str, default: None = None) -> str | None: ...
    @overload
    def get(self, key: str, default: str | _T) -> str | _T: ...
    def get(self, key: str, default: str | _T | None = None) -> str | _T | None:
        """Give the value of a header, ``default`` if it isn't there.

        Raises:
            MultipleValuesError: if there are several.
        """
        value = self._dict.get(key.lower())
        if value is None:
            return default
        if type(value) is list:
            raise MultipleValuesError(key)
        return cast(str, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._dict == other._dict

    # MutableMapping

    def __setitem__(self, key: str, value: str) -> None:
        if is_valid_header_name(key) is None:
            raise InvalidHeaderName(key)
        # Programs give numbers, too.
        if not isinstance(value, str):
            value = str(value)
        if is_valid_header_value(value) is None:
            raise InvalidHeaderValue(key, value)
        self.set_insecure(key, value)

    def set_insecure(self, key: str, value: str) -> None:
        """Add a header without checking it, for one that was received and is not sent on."""
        self._list.append((key, value))
        lower = key.lower()
        if lower in self._dict:
            self._add_another(lower, value)
        else:
            self._dict[lower] = value

    def __delitem__(self, key: str) -> None:
        lower = key.lower()
        if lower not in self._dict:
            raise KeyError(key)
        del self._dict[lower]
        self._list = [item for item in self._list if item[0].lower() != lower]

    def clear(self) -> None:
        """Remove all headers."""
        self._list = []
        self._dict = {}

    def update(self, *args: HeadersLike, **kwargs: str) -> None:
        """Add headers, keeping those that are there.

        Args:
            *args: at most one Headers, mapping, or iterable of pairs of name and value.
            **kwargs: more headers.
        """
        # A mapping gives each name once only, and a name with several values not at all.
        pairs = [h.raw_items() if isinstance(h, Headers) else h for h in args]
        super().update(*pairs, **kwargs)

    # Several values

    def get_all(self, key: str) -> list[str]:
        """Give the values of a header in the order they came, an empty list if it isn't there."""
        value = self._dict.get(key.lower())
        if value is None:
            return []
        return value.copy() if isinstance(value, list) else [value]

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Give every header as a pair of name and value, in the order and case they came in."""
        return iter(self._list)


class SupportsKeysAndGetItem(Protocol):
    """A mapping, as far as ``dict()`` cares."""

    def keys(self) -> Iterable[str]: ...

    def __getitem__(self, key: str) -> str: ...


HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]] | SupportsKeysAndGetItem
"""What headers can be made of: Headers, a mapping, or an iterable of pairs of name and value."""
