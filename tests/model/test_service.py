"""Single attempts over a transport in memory, under a virtual clock: times and failures."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from agentrt.errors import (
    ContextTooLong,
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnreachable,
    ReplyIncomplete,
)
from agentrt.messages import UserMessage
from agentrt.model.model import ModelRequest, Told
from agentrt.model.openai import OpenAIModel
from agentrt.testing.virtual import run_virtual

ASKED = ModelRequest("m", (UserMessage("hi"),))
DONE = b"data: [DONE]\n\n"


def text(said: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": said}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


HELLO = text("Hel") + text("lo") + text("", "stop") + DONE


def ignore(piece: Told) -> None:
    pass


Step = bytes | float | Exception


class Script(httpx2.AsyncBaseTransport):
    """Answers with a status and steps: bytes are sent, seconds waited, exceptions raised.

    A float as `before` is waited before the answer begins, an exception raised.
    """

    def __init__(self, *steps: Step, status: int = 200, before: float | Exception = 0.0, **fields: str) -> None:
        self.steps = steps
        self.status = status
        self.before = before
        self.fields = {key.replace("_", "-"): value for key, value in fields.items()}
        self.closed = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if isinstance(self.before, Exception):
            raise self.before
        await asyncio.sleep(self.before)
        return httpx2.Response(self.status, headers=self.fields, stream=Steps(self))


class Steps(httpx2.AsyncByteStream):
    def __init__(self, script: Script) -> None:
        self.script = script

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self.script.steps:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Exception):
                raise step
            else:
                await asyncio.sleep(step)

    async def aclose(self) -> None:
        self.script.closed += 1


class Ended:
    """How an attempt at a scripted reply ended, and after how many virtual seconds."""

    def __init__(self, script: Script) -> None:
        self.text = ""
        self.error: ProviderError | None = None
        self.after = run_virtual(self._main(script))

    async def _main(self, script: Script) -> float:
        model = OpenAIModel("x", base_url="http://x/v1", api_key="k", transport=script, wall=lambda: 1_800_000_000.0)
        try:
            self.text = (await model.reply(ASKED, ignore)).message.content
        except ProviderError as error:
            self.error = error
        after = asyncio.get_running_loop().time()
        await model.aclose()
        return after


def test_a_reply_that_does_not_begin_is_given_up_after_a_minute() -> None:
    comments: list[Step] = [b": waiting\n\n", 10.0]
    for script in (Script(before=3_600.0), Script(3_600.0), Script(*comments * 100)):
        ended = Ended(script)
        assert isinstance(ended.error, ProviderUnreachable)
        assert "60 s" in str(ended.error)
        assert ended.error.sent
        assert ended.after == pytest.approx(60)


def test_silence_in_mid_reply_ends_it_and_comments_are_silence() -> None:
    for silence in ((3_600.0,), (b": waiting\n\n", 5.0) * 100):
        script = Script(20.0, text("Hel"), 20.0, text("lo"), *silence)
        ended = Ended(script)
        assert type(ended.error) is ReplyIncomplete
        assert "30 s" in str(ended.error)
        assert 70 <= ended.after <= 71
        assert script.closed == 1


def test_silence_is_counted_from_the_last_sign_of_life() -> None:
    ended = Ended(Script(20.0, text("Hel"), 0.5, text("lo"), 3_600.0))
    assert 50.5 <= ended.after <= 51.5


def test_a_slow_reply_that_keeps_coming_is_waited_for() -> None:
    slow: list[Step] = [29.9, text("x")]
    ended = Ended(Script(*slow * 50, HELLO))
    assert ended.text == "x" * 50 + "Hello"
    assert ended.after == pytest.approx(50 * 29.9)


def test_a_large_chunk_that_keeps_coming_is_waited_for() -> None:
    body = text("x" * 1_000)
    steps: list[Step] = []
    for start in range(0, len(body), 100):
        steps += (body[start : start + 100], 29.0)
    assert Ended(Script(*steps, HELLO)).text == "x" * 1_000 + "Hello"


def test_a_finished_reply_does_not_wait_for_a_body_that_does_not_end() -> None:
    assert Ended(Script(HELLO, 3_600.0)).after == pytest.approx(0.05)
    late_usage: tuple[Step, ...] = (0.5, b'data: {"choices":[],"usage":{}}\n\n', 0.5, DONE)
    for steps in ((3_600.0,), late_usage):
        ended = Ended(Script(text("Hello", "stop"), *steps))
        assert ended.text == "Hello"
        assert ended.after == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (httpx2.ConnectError("no"), False),
        (httpx2.ConnectTimeout("no"), False),
        (httpx2.PoolTimeout("no"), False),
        (httpx2.ReadError("no"), True),
        (httpx2.WriteError("no"), True),
        (httpx2.RemoteProtocolError("no"), True),
    ],
)
def test_a_failed_connection_says_whether_the_request_may_have_arrived(error: Exception, sent: bool) -> None:
    ended = Ended(Script(before=error))
    assert type(ended.error) is ProviderUnreachable
    assert ended.error.sent is sent
    assert type(error).__name__ in str(ended.error)


def test_a_connection_that_breaks_in_the_body_of_a_refusal_is_a_failed_connection() -> None:
    assert type(Ended(Script(b'{"err', httpx2.ReadError("gone"), status=500)).error) is ProviderUnreachable


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, b"boom", ProviderUnavailable),
        (429, b'{"error":{"code":"insufficient_quota"}}', ProviderExhausted),
        (400, b'{"error":{"code":"context_length_exceeded"}}', ContextTooLong),
        (401, b"", ProviderRefused),
        (307, b"", ProviderRefused),
    ],
)
def test_a_refusal_is_asked_for_once_and_typed(status: int, body: bytes, error: type[ProviderError]) -> None:
    ended = Ended(Script(body, status=status, location="http://elsewhere/"))
    assert type(ended.error) is error
    assert ended.error.status == status


def test_a_date_to_come_back_at_is_read_against_the_wall_clock() -> None:
    ended = Ended(Script(b"", status=503, retry_after="Fri, 15 Jan 2027 08:01:30 GMT"))
    assert ended.error is not None
    assert ended.error.retry_after == pytest.approx(90)


def test_an_error_in_the_stream_closes_it_and_knows_its_request() -> None:
    script = Script(text("Hel"), b'data: {"error":{"message":"boom"}}\n\n', 3_600.0, x_request_id="r9")
    ended = Ended(script)
    assert type(ended.error) is ReplyIncomplete
    assert (ended.error.status, ended.error.request_id) == (200, "r9")
    assert (ended.after, script.closed) == (0, 1)


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b'{"choices":[{"mess', b"", text("Hel")])
def test_a_body_that_is_no_reply_is_incomplete(body: bytes) -> None:
    assert type(Ended(Script(body)).error) is ReplyIncomplete


def test_a_body_that_was_packed_though_nobody_asked_is_unpacked() -> None:
    assert Ended(Script(gzip.compress(HELLO), content_encoding="gzip")).text == "Hello"
    assert type(Ended(Script(b"no gzip", content_encoding="gzip")).error) is ReplyIncomplete


def test_what_a_teller_raises_is_not_taken_for_a_failure_of_the_provider() -> None:
    async def main() -> None:
        def tell(piece: Told) -> None:
            raise TimeoutError("mine")

        script = Script(HELLO)
        model = OpenAIModel("x", base_url="http://x/v1", api_key="k", transport=script)
        with pytest.raises(TimeoutError, match="mine"):
            await model.reply(ASKED, tell)
        assert script.closed == 1
        await model.aclose()

    run_virtual(main())
