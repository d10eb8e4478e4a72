"""`examples/websocket_client.py` against a server, whose socket drops in mid-answer."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from agentrt import Agent, Runtime, tool
from agentrt.server.listen import serving
from agentrt.testing import ScriptedModel, call, reply

ROOT = Path(__file__).parents[2]
TEXT = "Three of A-1207 are left, and none of B-33; more come on Monday."


@tool(effect="read")
async def stock(sku: str) -> int:
    """Units of an article."""
    return len(sku)


def test_the_client_prints_the_answer_whole_though_the_socket_drops() -> None:
    async def main() -> str:
        model = ScriptedModel([reply(calls=[call("stock", sku="A-1207")]), reply(TEXT, pieces=30, pause=0.02)])
        agent = Agent(name="clerk", model="scripted:m", tools=[stock])
        async with Runtime(providers=[model.provider("scripted")]) as runtime, asyncio.timeout(30):
            async with serving(agent, port=0, runtime=runtime) as server:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "examples/websocket_client.py", server.ws_url, "How", "many?",
                    cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                assert process.stdout is not None
                said = b""
                while b"Three" not in said:
                    said += await process.stdout.read(100)
                server.disconnect()
                out, err = await process.communicate()
                assert process.returncode == 0, err.decode()
                return (said + out).decode()

    said = asyncio.run(main())
    assert said.startswith("[stock ...]\n[ok: 6]\n")
    whole, cuts = re.subn(r"\n\[received 1012 .*; again\]\n", "", said)
    assert cuts == 1
    assert whole.endswith(f"\n{TEXT}\n")
