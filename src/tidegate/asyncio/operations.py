"""What ``recv()`` and ``send()`` return: coroutines by their methods.

So tasks, timeouts and cancellation work with them as with others, but one takes message after
message straight from the receive buffer, and what waits is resumed without a turn of the loop.
"""

from __future__ import annotations

import functools
import inspect
import types
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from ..exceptions import ConnectionClosedOK
from .waiting import drain, send_anything

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.link import NOBODY, WAITING, Link
    from .waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

F = TypeVar("F", bound="Callable[..., Any]")

# State.OPEN, as the writer has it.
OPEN = 1

# What an operation does: receive, receive in an iteration, send.
RECV = 0
NEXT = 1
SEND = 2

# How far it is.
NEW = 0
SUSPENDED = 1
DONE = 2

# How a message is received.
AS_SENT = 0
AS_TEXT = 1
AS_BYTES = 2


class Operation:
    """A ``recv()`` or ``send()``: a coroutine by its methods.

    Nothing happens before it is awaited. One is made for each message, so they are made cheaply,
    by `new_operation`.
    """

    if TYPE_CHECKING:
        link: Link
        waiter: Any
        kind: int
        decode: int
        stage: int
        finished: bool
        message: Any
        options: tuple[Any, Any, Any] | None
        inner: Coroutine[Any, Any, None] | None

    def recv_step(self) -> Any:
        """Give the message and be finished, or give what to wait for."""
        link = self.link
        if self.stage == NEW:
            self.stage = DONE
            if link.reception != NOBODY:
                link.check_not_receiving("recv")
        elif self.stage == SUSPENDED:
            self.stage = DONE
            link.reception = NOBODY
        else:
            raise RuntimeError("cannot reuse already awaited coroutine")
        if link.over_budget():
            link.behind = True
            link.settle()
            return self.suspend()
        message = link.take()
        if message is None:
            return self.recv_nothing()
        if self.decode != AS_SENT:
            return self.recv_decoded(message)
        self.finished = True
        return message

    def recv_decoded(self, message: Any) -> Any:
        """Give the message as the caller wants it, and be finished."""
        if self.decode == AS_BYTES:
            self.finished = True
            return message if isinstance(message, bytes) else message.encode()
        try:
            text = message if isinstance(message, str) else message.decode()
        except UnicodeDecodeError as exc:
            self.link.undecodable(exc)
            return self.recv_nothing()
        self.finished = True
        return text

    def recv_nothing(self) -> Any:
        """Wait for a message, or raise because there can't be any."""
        try:
            self.link.nothing_to_take()
            return self.suspend()
        except ConnectionClosedOK:
            if self.kind != NEXT:
                raise
        raise StopAsyncIteration

    def suspend(self) -> Any:
        """Wait for a message: give what the task has to wait for."""
        link = self.link
        self.stage = SUSPENDED
        link.reception = WAITING
        link.burst = 0
        waiter = self.waiter
        waiter.start()
        return waiter

    def send_step(self) -> Any:
        """Send and be finished, or give what to wait for."""
        if self.stage != NEW:
            return self.inner_step()
        self.stage = DONE
        link = self.link
        message = self.message
        self.message = None
        if (
            link.writer.state == OPEN
            and not link.writer.continuing
            and not link.full
            and self.options is None
            and link.write_plain(message)
        ):
            if not link.full:
                self.finished = True
                return None
            self.inner = drain(link)
            return self.inner_step()
        text, compress, timeout = self.options or (None, None, None)
        self.inner = send_anything(link, message, text, compress, timeout)
        return self.inner_step()

    def inner_step(self) -> Any:
        """Go on with the coroutine that waits."""
        if self.inner is None:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.stage = SUSPENDED
        try:
            return self.inner.send(None)
        except StopIteration:
            self.stage = DONE
            self.finished = True
            self.inner = None
            return None
        except BaseException:
            self.stage = DONE
            self.inner = None
            raise

    def step(self) -> Any:
        """Give the outcome and be finished, or give what to wait for."""
        return self.send_step() if self.kind == SEND else self.recv_step()

    # What makes it a coroutine

    def __await__(self) -> Any:
        """Return itself, an iterator."""
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        outcome = self.step()
        if self.finished:
            raise StopIteration(outcome)
        return outcome

    def send(self, value: Any) -> Any:
        """Go on; see `collections.abc.Coroutine.send`."""
        return self.__next__()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise an exception, usually a cancellation, where it waits."""
        inner = self.inner
        try:
            if inner is not None:
                return inner.throw(kind if value is None else value)
            raise_(kind, value, traceback)
        except BaseException:
            self.close()
            raise
        finally:
            # The traceback refers to this frame.
            kind = value = traceback = None

    def close(self) -> None:
        """End it. What was received meanwhile stays for the next one."""
        if self.stage == SUSPENDED and self.kind != SEND:
            self.link.reception = NOBODY
        self.stage = DONE
        if self.inner is not None:
            inner, self.inner = self.inner, None
            inner.close()

    def __getattr__(self, name: str) -> Any:
        # Those that say what a task does, such as its repr(), ask for these.
        if name == "__name__":
            return "send" if self.kind == SEND else "recv"
        if name == "__qualname__":
            owner = "Connection" if self.link is None else type(self.link).__qualname__
            return f"{owner}.{self.__name__}"
        raise AttributeError(name)

    def __dealloc__(self) -> None:
        # Not __del__, which would take longer for each object.
        if self.link is not None:
            if self.stage == NEW:
                # Of the line that let go of it: what is compiled has no frame of its own.
                warnings.warn(
                    f"coroutine '{self.__qualname__}' was never awaited",
                    RuntimeWarning,
                    stacklevel=1 if cython.compiled else 2,
                )
            elif self.stage == SUSPENDED and self.kind != SEND:
                self.link.reception = NOBODY


spare_operation = None

if not cython.compiled:
    Operation.__del__ = Operation.__dealloc__  # type: ignore[attr-defined]

    def take_spare() -> Operation | None:
        """Give an operation that was finished; none is kept here."""
        return None


def new_operation(
    link: Link, waiter: Waiter | None, kind: int, decode: int, message: Any, options: Any
) -> Any:
    """Make an operation."""
    operation = take_spare()
    if operation is None:
        # Not by calling the class, which would take longer.
        operation = Operation.__new__(Operation)
    operation.link = link
    operation.waiter = waiter
    operation.kind = kind
    operation.decode = decode
    operation.stage = NEW
    operation.finished = False
    operation.message = message
    operation.options = options
    operation.inner = None
    return operation


def raise_(kind: Any, value: Any, traceback: Any) -> None:
    """Raise what was given to a coroutine's ``throw()``."""
    try:
        if isinstance(kind, BaseException):
            raise kind
        if value is None:
            value = kind()
        elif not isinstance(value, BaseException):
            value = kind(value)
        raise value.with_traceback(traceback)
    finally:
        # The traceback refers to this frame.
        kind = value = traceback = None


if cython.compiled:
    tidegate_set_send(Operation, operation_send)  # type: ignore[name-defined]  # noqa: F821


class MessageIterator:
    """What ``async for`` takes messages from."""

    def __init__(self, link: Link, waiter: Waiter) -> None:
        self.link = link
        self.waiter = waiter
        self.given_up = False

    def __aiter__(self) -> MessageIterator:
        return self

    def __anext__(self) -> Any:
        if self.given_up:
            return no_more()
        return new_operation(self.link, self.waiter, NEXT, AS_SENT, None, None)

    # What makes it an asynchronous generator for those who ask, such as contextlib.aclosing()

    def asend(self, value: Any) -> Any:
        """Give the next message; there is nothing to do with the value."""
        return self.__anext__()

    async def athrow(self, kind: Any, value: Any = None, traceback: Any = None) -> None:
        """End the iteration with an exception. The connection stays as it is."""
        self.given_up = True
        raise_(kind, value, traceback)

    async def aclose(self) -> None:
        """End the iteration. The connection stays as it is."""
        self.given_up = True


async def no_more() -> None:
    """Be the end of an iteration that was given up."""
    raise StopAsyncIteration


class CoroutineFunction(functools.partial):  # type: ignore[type-arg]
    """A function that gives a coroutine, for Pythons in which that can't be marked.

    ``inspect`` looks at what is behind a partial function. What stands there for it is a coroutine
    function with the same signature, while the function itself is called.
    """

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        seen = types.FunctionType(
            coroutine_code(function),
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        # A partial function of a method isn't looked behind.
        self.__dict__.update(
            seen=seen,
            __code__=seen.__code__,
            __defaults__=function.__defaults__,
            __kwdefaults__=function.__kwdefaults__,
        )

    @property
    def func(self) -> Any:
        """What others see."""
        return self.__dict__["seen"]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)


def coroutine_code(function: Any) -> types.CodeType:
    """Give the code of a function as that of a coroutine function."""
    code: types.CodeType = function.__code__
    return code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)


def gives_coroutine(function: F) -> F:
    """Have ``inspect.iscoroutinefunction`` say that a function gives a coroutine.

    Libraries that wrap functions ask it whether to await what they give.

    Returns:
        What to use in place of the function.

    """
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        # From Python 3.12 on
        return mark(function)  # type: ignore[no-any-return]
    if cython.compiled and not inspect.isfunction(function):
        tidegate_set_code(function, coroutine_code(function))  # type: ignore[name-defined]  # noqa: F821
        return function
    return CoroutineFunction(function)  # type: ignore[return-value]
