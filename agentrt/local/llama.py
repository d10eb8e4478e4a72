"""Language models on this machine: "local:qwen-1.5b", or any GGUF file, "local:/path/to/model.gguf".

llama.cpp's own server answers, in a child process: it takes whole cores, holds Python's lock while it loads a model,
and may be killed for its memory. To everybody else it is an OpenAI-compatible service behind a transport. The transport
starts the child at its first request, sends requests to where the child listens, signed with a key that only the two
know, and starts another one after a child that has ended. Closing it ends the child, and so does the death of this
process (`llama_child.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import httpx2

from agentrt.errors import SettingInvalid
from agentrt.gate.limits import Limits
from agentrt.local.weights import file_of
from agentrt.profiles import PROFILES
from agentrt.providers import Provider

_PROGRAM = Path(__file__).with_name("llama_child.py")
_SERVING = b"serving "
_OUT, _ERR = 1, 2
_LAST = 3
"""Lines that the child said last, kept for when it has ended."""
_LINE = 100
"""Characters of each."""


def provider(
    model: str, *, name: str = "local", threads: int = 1, context: int = 16_384, environ: Mapping[str, str] = os.environ
) -> Provider:
    """The provider of one model: `Runtime(providers=[provider("qwen-1.5b")])`, then `Agent(model="local:qwen-1.5b")`.

    Args:
        model: A name that `agentrt models list` knows, or the path of a GGUF file.
        name: What stands before the colon of the model's name.
        threads: Cores that it computes on. More than are free make it slower, not faster.
        context: Tokens of a conversation and its answer.
        environ: Says where models are kept.

    Raises:
        SettingInvalid: The model is not there, or the extra `local` is not installed.
    """
    if threads < 1 or context < 1:
        raise SettingInvalid(f"provider(threads={threads}, context={context}): expected 1 or more of each")
    if find_spec("xllamacpp") is None:
        raise SettingInvalid(f'{name}:{model} needs a package that is missing, xllamacpp: pip install "agentrt[local]"')
    return Provider(
        name=name,
        base_url="http://127.0.0.1/v1",
        profile=replace(PROFILES["llama.cpp"], tools="json_schema"),
        limits=Limits(concurrency=1),
        first_byte_timeout=300.0,
        idle_timeout=60.0,
        transport=LlamaTransport(file_of(model, environ), threads=threads, context=context),
    )


class LlamaTransport(httpx2.AsyncBaseTransport):
    """Carries requests to a child process that serves the model, started by the first of them."""

    def __init__(self, model: Path, *, threads: int, context: int) -> None:
        self._asked: dict[str, str | int] = {"model": str(model), "threads": threads, "context": context}
        self._starting = asyncio.Lock()
        self._child: _Child | None = None
        self._wire: httpx2.AsyncHTTPTransport | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return None if self._child is None or self._child.ended.is_set() else self._child.pid

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The server's answer.

        Raises:
            httpx2.ConnectError: The child did not come to serve; it says what the child said last.
        """
        child, wire = await self._started()
        url = await child.serving()
        headers = httpx2.Headers(request.headers)
        headers["Host"], headers["Authorization"] = url.netloc.decode(), f"Bearer {child.key}"
        forwarded = httpx2.Request(
            request.method,
            request.url.copy_with(host=url.host, port=url.port),
            headers=headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return await wire.handle_async_request(forwarded)

    async def aclose(self) -> None:
        """End the child. A later request starts another one."""
        async with self._starting:
            child, self._child = self._child, None
            wire, self._wire = self._wire, None
        if child is not None:
            child.kill()
        if wire is not None:
            await wire.aclose()
        if child is not None:
            await child.ended.wait()

    async def _started(self) -> tuple[_Child, httpx2.AsyncHTTPTransport]:
        async with self._starting:
            if self._wire is None:
                self._wire = httpx2.AsyncHTTPTransport(verify=False)  # loopback, no TLS
            if self._child is None or self._child.ended.is_set():
                self._child = await _start(self._asked)
            return self._child, self._wire


async def _start(asked: Mapping[str, str | int]) -> _Child:
    # A session of its own: Ctrl-C is this process's to answer, and runs may still have their grace.
    transport, child = await asyncio.get_running_loop().subprocess_exec(
        _Child, sys.executable, "-P", str(_PROGRAM), start_new_session=True
    )
    pipe = transport.get_pipe_transport(0)
    assert isinstance(pipe, asyncio.WriteTransport)
    pipe.write(json.dumps({**asked, "key": child.key}).encode() + b"\n")  # stays open: its end is the child's
    return child


class _Child(asyncio.SubprocessProtocol):
    """One child process, from its start to its end.

    Attributes:
        key: What signs requests to it.
        ended: It is gone, and all that it said has come.
    """

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(32)
        self.ended = asyncio.Event()
        self.pid = 0
        self._process: asyncio.SubprocessTransport | None = None
        self._settled = asyncio.Event()
        self._url: httpx2.URL | None = None
        self._out = self._err = b""
        self._last: deque[str] = deque(maxlen=_LAST)

    async def serving(self) -> httpx2.URL:
        """Where it serves, once it does.

        Raises:
            httpx2.ConnectError: It ended before.
        """
        await self._settled.wait()
        if self._url is None or self.ended.is_set():
            code = None if self._process is None else self._process.get_returncode()
            raise httpx2.ConnectError(f"llama.cpp's server ended (exit code {code}): {' | '.join(self._last)}")
        return self._url

    def kill(self) -> None:
        """It has nothing to put in order."""
        if self._process is not None:
            self._process.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._process, self.pid = transport, transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _OUT:
            *lines, self._out = (self._out + data).split(b"\n")
            for line in lines:
                if line.startswith(_SERVING):
                    self._url = httpx2.URL(line.removeprefix(_SERVING).decode())
                    self._settled.set()
        elif fd == _ERR:
            *lines, self._err = (self._err + data).split(b"\n")
            self._last.extend(line.decode("utf-8", "replace").strip()[-_LINE:] for line in lines if line.strip())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        if self._process is not None:
            self._process.close()
        self.ended.set()
        self._settled.set()
