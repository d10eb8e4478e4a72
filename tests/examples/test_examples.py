"""Every example and every block of Python in the pages runs, against a scripted provider on a real socket."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentrt import Agent, Runtime, run, tool
from agentrt.local.wire import serve
from agentrt.messages import ToolMessage, text_of
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from examples import whole_idea

ROOT = Path(__file__).parents[2]

STOCK = [
    reply(calls=[call("stock", sku="A-1207"), call("stock", sku="B-33")]),
    reply("Three A-1207, no B-33.", pieces=3),
]


def run_python(arguments: Sequence[str], model: ScriptedModel, *, typed: str = "") -> str:
    """Standard output of a Python process that finds the model at OPENAI_BASE_URL."""

    async def main() -> str:
        async with serve(model.faults) as server:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=ROOT,
                env={**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": ""},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate(typed.encode())
            assert process.returncode == 0, err.decode()
            return out.decode()

    return asyncio.run(main())


def test_the_chat_calls_tools_and_remembers() -> None:
    model = ScriptedModel([*STOCK, reply("A-1207, as I said.")])
    said = run_python(["examples/chat_agent.py"], model, typed="How many are left?\nWhich one has some?\n")
    assert "[stock: ok" in said
    assert "Three A-1207, no B-33." in said
    assert "A-1207, as I said." in said
    assert [m["role"] for m in model.requests[2]["messages"]] == [
        "system", "user", "assistant", "tool", "tool", "assistant", "user",
    ]  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder of documents."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "returns.md").write_text("# Returns\n\nWhatever you bought here may be returned within thirty days.")
    (folder / "hours.html").write_text("<title>Opening hours</title><main><p>We are open from nine to six.</main>")
    return folder


@pytest.mark.smoke
def test_the_rag_assistant_searches_and_quotes_what_it_indexed(shop: Path) -> None:
    def answer(request: dict[str, Any]) -> Any:
        results = [m["content"] for m in request["messages"] if m["role"] == "tool"]
        if not results:
            return reply(calls=[call("search", query="return policy"), call("search", query="opening hours")])
        return reply("Found: " + " ".join(results))

    asked = ["examples/rag_assistant.py", str(shop), "Until when may I return a lamp?"]
    said = run_python(asked, ScriptedModel(answer))
    assert "[2 documents, 2 passages, 0 that could not be read]" in said
    assert "thirty days" in said
    assert "from nine to six" in said


def test_a_folder_is_put_into_an_index_and_kept_up(shop: Path, tmp_path: Path) -> None:
    arguments = [str(ROOT / "examples" / "ingest_folder.py"), str(shop), "until when are you open?"]
    for counts in ("2 stored, 0 unchanged, 2 listed", "0 stored, 2 unchanged, 2 listed"):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert counts in done.stdout
        assert "Opening hours (file://" in done.stdout
        assert "We are open from nine to six." in done.stdout


def test_limits_are_kept_and_shared_and_a_model_that_is_down_is_replaced() -> None:
    said = run_python(["examples/limits.py"], ScriptedModel([]))
    assert "refused by the provider: 0\n" in said
    assert re.search(r"waited \d\.\d\d s at forecasts for rate", said)
    answers = re.findall(r"(acme|zoe), \w+: 'It rains in \w+\.'", said)
    assert sorted(answers) == [*["acme"] * 6, "zoe", "zoe"]
    assert answers.index("zoe") < 5  # who asked one question does not wait for the other's six
    assert "zoe, Bergen: spare:small is asked in place of main:large: provider_unavailable\n" in said


def test_the_whole_idea_and_the_real_one_say_the_same() -> None:
    async def small() -> list[str]:
        state = await whole_idea.run(whole_idea.script, {"shelf": whole_idea.shelf}, "How many?", lambda _fact: None)
        return [text for role, text in state.messages if role in {"assistant", "tool"}]

    async def real() -> list[str]:
        def answer(request: dict[str, Any]) -> Any:
            results = [m["content"] for m in request["messages"] if m["role"] == "tool"]
            wanted = [call("shelf", sku=sku) for sku in ("A-1207", "B-33", "C-9")]
            return reply("; ".join(results)) if results else reply(calls=wanted)

        agent = Agent(name="clerk", model="openai:scripted", tools=[tool(whole_idea.shelf, description="A shelf.")])
        async with Runtime(providers=[ScriptedModel(answer).provider("openai")]):
            messages = (await run(agent, "How many?")).messages
        return [text_of(m) for m in messages if isinstance(m, ToolMessage) or type(m).__name__ == "AssistantMessage"]

    assert run_virtual(small()) == run_virtual(real())


def pages() -> list[Any]:
    """The Python blocks of each page that has some, one behind the other."""
    written = {
        page.name: "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S))
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    }
    return [pytest.param(blocks, id=name) for name, blocks in written.items() if blocks]


def answering_stock(request: dict[str, Any]) -> Any:
    asked = [m["role"] for m in request["messages"]]
    return STOCK[1] if asked[-1] == "tool" else STOCK[0]


@pytest.mark.parametrize("blocks", pages())
def test_every_block_of_python_in_the_pages_runs(blocks: str, tmp_path: Path) -> None:
    file = tmp_path / "blocks.py"
    file.write_text(blocks)
    said = run_python([str(file)], ScriptedModel(answering_stock))
    if "stock" in blocks and "ScriptedModel" not in blocks:
        assert said.count("Three A-1207, no B-33.") == blocks.count("asyncio.run(")
