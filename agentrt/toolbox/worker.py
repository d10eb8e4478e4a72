"""A worker process of `processes.py`: calls come in by a socket, what came of them goes out, one after another.

A function travels by name, so the worker imports its module, and the user's main module only if something of it is
wanted. Arguments are pickled, for they are of the user's types. What comes back is text: nothing that user code made is
unpickled in the process that holds the runs.

A worker must not outlive its parent, whatever it is doing, be it in C code that never lets go of the interpreter. While
a call runs, nothing but the end of the parent can happen on the socket, so the worker has the kernel send its
process group SIGIO when something does, whose default is to end it (Linux).
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import select
import socket
import sys
import traceback
from contextlib import suppress
from functools import cache, reduce
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType
from typing import Any, BinaryIO, cast

import msgspec

from agentrt import errors
from agentrt.errors import ProviderError, ToolError, ToolInvalid
from agentrt.surrogates import mended_text
from agentrt.toolbox.define import Tool
from agentrt.toolbox.lower import as_text, to_builtins

if sys.platform == "linux":
    import fcntl

_ATTRIBUTES = ("code", "status", "retry_after", "request_id", "sent", "shown", "headers")
"""What our own errors carry, and the provider's gate reads."""
_TRACE = 8_000
"""Characters of a traceback that are sent, the last ones."""


class Order(msgspec.Struct, frozen=True):
    """One call: the function's module and qualified name, and its arguments by name, pickled.

    `main` is what the caller's `__main__` is: a module's name, if `script` is not set, else the path of a file.
    """

    module: str
    qualname: str
    arguments: bytes
    main: str = ""
    script: bool = False


class Failure(msgspec.Struct, frozen=True):
    """What a function raised, or a group of such; `ours` is a class of `agentrt.errors`, with its attributes."""

    kind: str
    text: str
    trace: str = ""
    ours: str = ""
    attributes: dict[str, Any] = {}
    inner: tuple[Failure, ...] = ()


class Reply(msgspec.Struct, frozen=True):
    """What came of a call: its result as text, or a failure."""

    text: str = ""
    failure: Failure | None = None


def frame(message: Order | Reply) -> bytes:
    """A message as it goes through the socket: eight bytes of length, big-endian, and so many of MessagePack."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(8, "big") + body


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next message's body; None at the end, be it in the middle of a message."""
    head = stream.read(8)
    size = int.from_bytes(head, "big")
    body = stream.read(size) if len(head) == 8 else b""
    return body if len(head) == 8 and len(body) == size else None


def find(module: ModuleType, qualname: str) -> object:
    """The function of that name; of a tool, which took its function's place, the function.

    Raises:
        AttributeError: There is none.
    """
    found = reduce(getattr, qualname.split("."), cast("Any", module))
    return cast("Tool[Any]", found).function if isinstance(found, Tool) else found


def main(descriptor: int) -> None:
    """Serve until the parent is gone."""
    os.set_inheritable(descriptor, False)
    channel = socket.socket(fileno=descriptor)
    with suppress(OSError):
        os.dup2(2, 1)  # what a tool prints must not get into what the program prints
    stream = channel.makefile("rb")
    decoder = msgspec.msgpack.Decoder(Order)
    while (body := read_frame(stream)) is not None:
        order = decoder.decode(body)
        _end_with_parent(channel, True)
        reply = frame(_perform(order))
        _end_with_parent(channel, False)
        channel.sendall(reply)
        del body, order, reply  # an idle worker keeps nothing alive


def _end_with_parent(channel: socket.socket, on: bool) -> None:
    """Whether the end of the parent ends this process and what it has started, at once."""
    if sys.platform != "linux":
        return  # elsewhere SIGIO does nothing by default, and the end is noticed when the call is done
    fcntl.fcntl(channel, fcntl.F_SETOWN, -os.getpgrp())
    flags = fcntl.fcntl(channel, fcntl.F_GETFL)
    fcntl.fcntl(channel, fcntl.F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)
    if on and select.select([channel], [], [], 0)[0]:
        sys.exit()  # it went before it could be noticed


def _perform(order: Order) -> Reply:
    try:
        module = _main(order.main, order.script) if order.module == "__main__" else import_module(order.module)
        function: Any = find(module, order.qualname)
        result = function(**_Arguments(order).load())
        return Reply(mended_text(as_text(result)))
    except BaseException as error:  # noqa: BLE001 - a user's callable; not even sys.exit() may end the worker
        return Reply(failure=_failure(error))


class _Arguments(pickle.Unpickler):
    def __init__(self, order: Order) -> None:
        super().__init__(io.BytesIO(order.arguments))
        self._order = order

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name == "__main__":
            _main(self._order.main, self._order.script)
        return super().find_class(module_name, global_name)


@cache
def _main(main: str, script: bool) -> ModuleType:
    """The user's main module, imported under the name that `multiprocessing` gives it, for it is not the program here.

    Raises:
        ToolInvalid: It cannot be imported, be it because it starts its work then: no event loop can run in it.
    """
    try:
        module = asyncio.run(_execute(main)) if script else import_module(main)
    except BaseException as error:
        raise ToolInvalid(
            f"{main or 'the prompt'} could not be imported into a worker process, for a tool with run_in='process' "
            f"({_told(error)}); what starts the program belongs under `if __name__ == '__main__':`"
        ) from error
    sys.modules["__main__"] = module
    return module


async def _execute(path: str) -> ModuleType:
    loader = SourceFileLoader("__mp_main__", path)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = sys.modules[loader.name] = module_from_spec(spec)
    loader.exec_module(module)
    return module


def _failure(error: BaseException) -> Failure:
    kind, text = mended_text(type(error).__name__), mended_text(_said(error))
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return Failure(kind, text, inner=tuple(map(_failure, group.exceptions)))
    trace = mended_text("".join(traceback.format_exception(error))[-_TRACE:])
    if not isinstance(error, ToolError | ProviderError):
        return Failure(kind, text, trace)
    ours = next(each.__name__ for each in type(error).__mro__ if vars(errors).get(each.__name__) is each)
    return Failure(kind, text, trace, ours, _attributes(error))


def _attributes(error: ToolError | ProviderError) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _ATTRIBUTES:
        with suppress(AttributeError, TypeError):
            found[name] = to_builtins(getattr(error, name))
    return found


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's __str__
        return ""


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {_said(error)}"
