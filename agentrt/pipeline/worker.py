"""A worker process: documents come in by standard input, passages go out by standard output, one after another.

It imports little (10 MB, and the readers at their first use), holds nothing between two documents, and may be killed
at any time. Should its parent be killed, it ends at the end of its input; should it hang then, its own alarm ends it.

A frame is four bytes of length, big-endian, and so many of MessagePack.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from typing import BinaryIO

import msgspec

from agentrt.pipeline.document import DocumentFailed, Parsed
from agentrt.pipeline.parse import Order, parse

_LARGE = 256 * 1024
"""Bytes of a document after which memory is given back: the tree of a page takes 15 times as many."""


class Reply(msgspec.Struct, frozen=True):
    """What came of one order: the document, or the class and the text of a failure."""

    parsed: Parsed | None = None
    kind: str = ""
    error: str = ""


def frame(message: Order | Reply) -> bytes:
    """A message as it goes through the pipe."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(4, "big") + body


def main(deadline: float, memory: int) -> None:
    """Serve until the input ends. A document may take `deadline` seconds, and the process `memory` bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    orders, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the replies
    _limit(memory)
    _put(replies, b"\0")  # here I am
    decoder = msgspec.msgpack.Decoder(Order)
    while len(head := orders.read(4)) == 4:
        order = decoder.decode(orders.read(int.from_bytes(head, "big")))
        signal.setitimer(signal.ITIMER_REAL, deadline)
        reply = frame(_answer(order))
        signal.setitimer(signal.ITIMER_REAL, 0)
        _put(replies, reply)
        if len(order.content) >= _LARGE:
            del order, reply
            _give_back()


def _answer(order: Order) -> Reply:
    try:
        return Reply(parse(order))
    except DocumentFailed as error:
        return Reply(kind=error.kind, error=str(error))
    except MemoryError:
        return Reply(kind="memory", error="reading the document took more memory than a worker may have")
    except Exception as error:  # noqa: BLE001 - one document's trouble is not the next one's
        return Reply(kind="parse_failed", error=f"{type(error).__name__}: {error}")


def _limit(memory: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory if most == resource.RLIM_INFINITY else min(memory, most)
    with suppress(OSError, ValueError):  # macOS has the limit in name only
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _give_back() -> None:
    """Have glibc return what has been freed; it keeps all of it while a single block that lies behind is in use."""
    with suppress(ImportError, OSError, AttributeError):  # other C libraries have no such call
        import ctypes  # noqa: PLC0415 - not in every build of Python

        ctypes.CDLL(None).malloc_trim(0)


def _put(pipe: BinaryIO, data: bytes) -> None:
    pipe.write(data)
    pipe.flush()
