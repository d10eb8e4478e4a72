"""Replies broken in every way that the grammar knows, in every dialect."""

from __future__ import annotations

import string
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.errors import ProviderError, ReplyIncomplete
from agentrt.model import calls
from agentrt.model.dialect import ChatCompletions
from agentrt.model.failures import EXCERPT, in_band, refusal, retry_after
from tests.conformance.dialects import SPOKEN, reply
from tests.conformance.grammar import ORDERLY, STRANGE, Event, broken, chat, parts_of, written
from tests.conformance.promises import Outcome, adds_up, can_be_kept, same

CHANCES = st.randoms(use_true_random=False)
CHAT = SPOKEN["chat"]


@pytest.mark.parametrize("name", SPOKEN)
@settings(max_examples=200, deadline=None)
@given(chance=CHANCES)
def test_whatever_comes_ends_in_a_reply_or_our_own_error_however_it_is_cut(name: str, chance: Random) -> None:
    data = reply(SPOKEN[name], chance)
    same(SPOKEN[name].make, data, parts_of(data, chance))


@settings(max_examples=300, deadline=None)
@given(chance=CHANCES)
def test_what_is_told_adds_up_to_the_reply(chance: Random) -> None:
    outcome = Outcome(CHAT.make, [reply(CHAT, chance)])
    if outcome.done is not None:
        adds_up(outcome)


@settings(max_examples=300, deadline=None)
@given(chance=CHANCES)
def test_a_stream_that_never_says_it_is_over_is_never_a_reply(chance: Random) -> None:
    events = [unfinished(event) for event in chat(chance) if isinstance(event.value, dict)]
    outcome = Outcome(CHAT.make, [written(broken(events, chance, ORDERLY), chance)])
    assert outcome.error is not None
    assert issubclass(outcome.error[0], ReplyIncomplete)


def unfinished(event: Event) -> Event:
    choices = [{**choice, "finish_reason": None} for choice in event.value["choices"]]
    return event._replace(value={**event.value, "choices": choices})


@settings(max_examples=200, deadline=None)
@given(chance=CHANCES)
def test_a_reply_is_never_larger_than_its_caps(chance: Random) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "MOST_CALLS", 2)
        patch.setattr(calls, "MOST_ARGUMENTS", 12)
        outcome = Outcome(CHAT.make, [reply(CHAT, chance)])
    if outcome.done is not None:
        can_be_kept(outcome.done, most_calls=2)
        adds_up(outcome, most=12)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), CHANCES)
def test_bytes_without_any_sense_are_no_reply(data: bytes, chance: Random) -> None:
    for spoken in SPOKEN.values():
        same(spoken.make, data, parts_of(data, chance))


# ---- refusals --------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0
WORDS = st.sampled_from(
    ["insufficient_quota", "context length", "rate_limit", "per day", "in-flight", "Bearer x", "sk-abcdefgh", "\ud800"]
)
JSON = st.recursive(
    st.one_of(st.sampled_from(STRANGE), WORDS, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["error", "message", "code", "type", "status", "detail", "x"]), inner),
    ),
    max_leaves=12,
)
BODIES = st.one_of(st.binary(max_size=300), JSON.map(lambda value: repr(value).encode("utf-8", "replace")))
VALUES = st.one_of(
    st.text(string.printable, max_size=30),
    st.sampled_from(
        ["1e400", "-0", "nan", "0x10", "1_0", "9" * 400, "Wed, 21 Oct 2015 07:28:00", "Fri, 31 Dec 9999 23:59:59 -2400"]
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "x-request-id", "x-ratelimit-reset-requests", "x"]), VALUES
)


@settings(max_examples=500, deadline=None)
@given(st.integers(100, 999), HEADERS, BODIES)
def test_any_refusal_is_an_error_of_ours_in_a_few_words(status: int, headers: dict[str, str], body: bytes) -> None:
    said = refusal(status, headers, body, now=NOW)
    assert isinstance(said, ProviderError)
    assert said.status == status
    assert len(str(said)) < 2 * EXCERPT + 100
    str(said).encode()
    assert said.retry_after is None or 0 <= said.retry_after < float("inf")
    assert said.retry_after == retry_after(headers, NOW)


@settings(max_examples=500, deadline=None)
@given(JSON)
def test_any_error_inside_a_reply_is_an_error_of_ours_in_a_few_words(error: object) -> None:
    said = in_band(error)
    assert isinstance(said, ProviderError)
    assert len(str(said)) < 2 * EXCERPT + 100


def test_an_error_nested_too_deep_is_refused_before_it_is_read() -> None:
    for error in (b"[" * 400 + b"]" * 400, b'{"error":' * 90 + b"1" + b"}" * 90):
        outcome = Outcome(ChatCompletions().assembler, [b'data: {"error":' + error + b"}\n\n"])
        assert outcome.error is not None
        assert outcome.error[0] is ReplyIncomplete
