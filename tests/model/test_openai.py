"""The light half of the model: nothing slow before the first reply, one client after it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx2
import pytest

from agentrt.messages import UserMessage
from agentrt.model.model import Model, ModelRequest, TextPiece, Told
from agentrt.model.openai import OpenAIModel
from agentrt.testing.virtual import run_virtual

REPLY = b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}'
ASKED = ModelRequest("m", (UserMessage("hi"),))


class Answering(httpx2.AsyncBaseTransport):
    """Answers everything alike."""

    def __init__(self) -> None:
        self.asked = 0
        self.address = ""
        self.closed = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        self.address = str(request.url)
        return httpx2.Response(200, content=REPLY)

    async def aclose(self) -> None:
        self.closed += 1


def test_making_a_model_loads_nothing_slow() -> None:
    code = (
        "import sys; from agentrt.model.openai import OpenAIModel; import agentrt.model.tokens;"
        "OpenAIModel('x', base_url=None, api_key='k');"
        "print(*{'openai', 'httpx2', 'anyio', 'tiktoken', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_transport_of_ones_own_needs_no_thread_and_no_socket() -> None:
    async def main() -> None:
        transport = Answering()
        model: Model = OpenAIModel("x", base_url="http://x/v1", api_key="k", transport=transport)
        assert (await model.reply(ASKED, lambda piece: None)).message.content == "Hello"
        await model.aclose()

    run_virtual(main())


def test_replies_that_begin_together_share_one_client() -> None:
    async def main() -> None:
        transport = Answering()
        model = OpenAIModel("x", base_url="http://x/v1", api_key="k", transport=transport)
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(model.reply(ASKED, lambda piece: None))
        await model.aclose()
        await model.aclose()
        assert (transport.asked, transport.closed) == (20, 1)

    run_virtual(main())


def test_no_address_means_openais_own_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")

    async def main() -> None:
        transport = Answering()
        model = OpenAIModel("x", base_url=None, api_key="k", transport=transport)
        await model.reply(ASKED, lambda piece: None)
        assert transport.address == "https://api.openai.com/v1/chat/completions"
        await model.aclose()

    run_virtual(main())


def test_a_reply_that_was_not_streamed_is_told_all_the_same() -> None:
    async def main() -> None:
        told: list[Told] = []
        model = OpenAIModel("x", base_url="http://x/v1", api_key="k", transport=Answering())
        await model.reply(ASKED, told.append)
        assert told[1:] == [TextPiece("Hello")]
        await model.aclose()

    run_virtual(main())


def test_closing_a_model_that_was_never_asked_does_nothing() -> None:
    run_virtual(OpenAIModel("x", base_url=None, api_key="k").aclose())


def test_the_key_is_not_shown() -> None:
    model = OpenAIModel("x", base_url=None, api_key="hush-hush")
    assert "hush" not in repr(model)
    assert "hush" not in repr(vars(model))
