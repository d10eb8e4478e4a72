"""A model in a child process: started, asked, replaced and ended. The server in it is a stand-in of thirty lines."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agentrt import Agent, Provider, Runtime, run, tool
from agentrt.errors import ProviderUnreachable, SettingInvalid
from agentrt.local import llama
from agentrt.local.llama import LlamaTransport, provider
from agentrt.local.weights import WEIGHTS, folder, is_kept
from agentrt.messages import UserMessage
from agentrt.model.model import ModelRequest
from agentrt.model.openai import OpenAIModel

STAND_IN = '''
"""What llama_child.py uses of the package. The model's file says what is to happen."""

import json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace


def CommonParams():
    parts = ("model", "sampling", "cpuparams", "cpuparams_batch")
    return SimpleNamespace(**{part: SimpleNamespace() for part in parts})


class Server:
    def __init__(self, params):
        with open(params.model.path) as file:
            wish = file.read().removeprefix("GGUF ")
        if wish == "broken":
            print("a warning of the loader", file=sys.stderr)
            raise RuntimeError("failed to load model")
        if wish.startswith("await "):
            open(wish.removeprefix("await ")).read()  # a named pipe: until who writes to it closes it
        told = {name: getattr(params, name) for name in ("n_ctx", "port", "hostnames")}
        said = json.dumps({"pid": os.getpid(), **told})

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                allowed = self.headers["authorization"] == "Bearer " + params.api_keys[0]
                delta = {"content": json.dumps({"tool": "answer", "content": said})}
                chunk = json.dumps({"choices": [{"delta": delta, "finish_reason": "stop"}]})
                body = f"data: {chunk}\\n\\ndata: [DONE]\\n\\n".encode() if allowed else b"wrong key"
                self.send_response(200 if allowed else 401)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{server.server_port}"
'''


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes model files for the stand-in, which child processes meet in the package's place."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "xllamacpp.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))

    def model(wish: str) -> Path:
        path = tmp_path / "model.gguf"
        path.write_text(f"GGUF {wish}")
        return path

    return model


def gone(pid: int) -> bool:
    """Whether the process ends within half a minute."""
    with suppress(ProcessLookupError):
        ending = os.pidfd_open(pid)
        try:
            return bool(select.select([ending], [], [], 30)[0])
        finally:
            os.close(ending)
    return True


async def begun(transport: LlamaTransport) -> int:
    """The child's process id, as soon as there is one."""
    while transport.pid is None:  # noqa: ASYNC110 - nothing says so
        await asyncio.sleep(0)
    return transport.pid


def client(of: Provider) -> OpenAIModel:
    return OpenAIModel(of.name, base_url=of.base_url, api_key="wrong", transport=of.transport, profile=of.traits)


async def asked(model: OpenAIModel) -> dict[str, Any]:
    """What the stand-in says of itself."""
    reply = await model.reply(ModelRequest(model="m", messages=(UserMessage("Who?"),)), lambda _: None)
    said: dict[str, Any] = json.loads(json.loads(reply.message.content)["content"])
    return said


def with_model(of: Provider, ask: Callable[[OpenAIModel], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        model = client(of)
        try:
            async with asyncio.timeout(60):
                await ask(model)
        finally:
            await model.aclose()

    asyncio.run(main())


def test_an_agent_is_answered_by_a_child_that_ends_with_the_runtime(stand_in: Callable[[str], Path]) -> None:
    path = stand_in("")
    of = provider(str(path), context=4096)

    async def main() -> list[dict[str, Any]]:
        async with Runtime(providers=[of]) as runtime:
            agent = Agent(name="clerk", model=f"local:{path}")
            return [json.loads((await run(agent, "Who?", runtime=runtime)).output) for _ in range(2)]

    first, second = asyncio.run(main())
    assert first == second, "both were answered by one child"
    assert (first["n_ctx"], first["port"], first["hostnames"]) == (4096, 0, ["127.0.0.1"])
    assert gone(first["pid"])
    assert of.transport is not None and isinstance(of.transport, LlamaTransport) and of.transport.pid is None


def test_nothing_is_started_before_the_first_request(stand_in: Callable[[str], Path]) -> None:
    of = provider(str(stand_in("")))
    assert isinstance(of.transport, LlamaTransport)

    async def ask(model: OpenAIModel) -> None:
        assert isinstance(of.transport, LlamaTransport)
        assert of.transport.pid is None
        assert (await asked(model))["pid"] == of.transport.pid

    with_model(of, ask)


def test_a_child_that_died_is_replaced(stand_in: Callable[[str], Path]) -> None:
    async def ask(model: OpenAIModel) -> None:
        first = (await asked(model))["pid"]
        os.kill(first, signal.SIGKILL)
        assert gone(first)
        for _ in range(100):  # a request may yet meet the end of the old one
            with suppress(ProviderUnreachable):
                assert (await asked(model))["pid"] != first
                return
        pytest.fail("no other child was started")

    with_model(provider(str(stand_in(""))), ask)


def test_a_child_that_cannot_load_its_model_is_quoted(stand_in: Callable[[str], Path]) -> None:
    async def ask(model: OpenAIModel) -> None:
        with pytest.raises(ProviderUnreachable, match=r"exit code 1\).*failed to load model") as raised:
            await asked(model)
        assert not raised.value.sent

    with_model(provider(str(stand_in("broken"))), ask)


def test_the_loop_goes_on_while_a_child_loads_and_whoever_leaves_lets_it_load(
    stand_in: Callable[[str], Path], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    of = provider(str(stand_in(f"await {gate}")))

    async def ask(model: OpenAIModel) -> None:
        assert isinstance(of.transport, LlamaTransport)
        waiting = asyncio.ensure_future(asked(model))
        pid = await begun(of.transport)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert of.transport.pid == pid
        later = asyncio.ensure_future(asked(model))
        await asyncio.to_thread(gate.write_text, "go")
        assert (await later)["pid"] == pid

    with_model(of, ask)


def test_closing_ends_a_child_that_still_loads(stand_in: Callable[[str], Path], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    of = provider(str(stand_in(f"await {gate}")))

    async def main() -> int:
        assert isinstance(of.transport, LlamaTransport)
        model = client(of)
        waiting = asyncio.ensure_future(asked(model))
        pid = await begun(of.transport)
        await model.aclose()
        with pytest.raises(ProviderUnreachable):
            await waiting
        return pid

    assert gone(asyncio.run(main()))


PARENT = """\
import asyncio, sys
import httpx2
from agentrt.local.llama import LlamaTransport
from pathlib import Path

async def main():
    transport = LlamaTransport(Path(sys.argv[1]), threads=1, context=512)
    request = httpx2.Request("POST", "http://127.0.0.1/v1", content=b"")
    asking = asyncio.ensure_future(transport.handle_async_request(request))
    while transport.pid is None:
        await asyncio.sleep(0)
    if sys.argv[2] == "serving":
        await asking
    print(transport.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child that loads lives until it has loaded")
@pytest.mark.parametrize("state", ["serving", "loading"])
def test_the_child_ends_with_a_parent_that_is_killed(
    stand_in: Callable[[str], Path], tmp_path: Path, state: str
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    path = stand_in("" if state == "serving" else f"await {gate}")
    command = [sys.executable, "-c", PARENT, str(path), state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        with gate.open("w") if state == "loading" else nullcontext():  # opens once the child does
            parent.kill()
            assert gone(child)


def test_what_is_missing_is_said_when_the_provider_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setattr(llama, "find_spec", lambda _: None)
    with pytest.raises(SettingInvalid, match=r'local:qwen-1.5b needs .* xllamacpp: pip install "agentrt\[local\]"'):
        provider("qwen-1.5b")
    monkeypatch.setattr(llama, "find_spec", lambda _: object())
    with pytest.raises(SettingInvalid, match=r"agentrt models get qwen-1.5b"):
        provider("qwen-1.5b", environ={"AGENTRT_MODELS": str(tmp_path)})
    with pytest.raises(SettingInvalid, match=r"threads=0, context=4096"):
        provider(str(path), threads=0, context=4096)
    of = provider(str(path), name="mine")
    assert (of.name, of.limits.concurrency, of.traits.tools) == ("mine", 1, "json_schema")


def test_the_small_model_calls_a_tool_and_answers() -> None:
    if find_spec("xllamacpp") is None or not is_kept(WEIGHTS["qwen-0.5b"], folder(os.environ)):
        pytest.skip("needs the extra agentrt[local] and `agentrt models get qwen-0.5b`")

    @tool(effect="read")
    async def stock(sku: str) -> int:
        """Units of an article in the warehouse.

        Args:
            sku: Article number, e.g. "A-1207".
        """
        return {"A-1207": 41}[sku]

    async def main() -> str:
        async with Runtime(providers=[provider("qwen-0.5b", context=2048)]) as runtime:
            agent = Agent(name="clerk", model="local:qwen-0.5b", instructions="Answer by the tools.", tools=[stock])
            return (await run(agent, "How many A-1207 are left?", runtime=runtime)).output

    assert asyncio.run(main())
