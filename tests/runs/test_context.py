"""A view is a valid transcript that fits or says that it cannot; it stays as it was until it is trimmed anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count as numbers

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolMessage, UserMessage, text_of
from agentrt.runs.context import SUM_UP, Plan, boundaries, covered, plan, shortened, summary_size
from agentrt.runs.state import Summary
from agentrt.windows import ContextWindow
from tests.runs.world import assert_valid

PLAIN = ContextWindow(summarise=False)
TIGHT = ContextWindow(summarise=False, keep_results=0, excerpt=100)


def size(message: Message) -> int:
    """A token for four characters, and a frame."""
    calls = message.tool_calls if isinstance(message, AssistantMessage) else ()
    return 4 + len(text_of(message)) // 4 + sum(8 + len(call.arguments) // 4 for call in calls)


def total(messages: Sequence[Message]) -> int:
    return sum(map(size, messages))


def asked_at(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """The conversation as it was whenever the model was asked, and as it is now."""
    for n, message in enumerate(messages):
        if isinstance(message, AssistantMessage) and n:
            yield list(messages[:n])
    yield list(messages)


def step(ids: Iterator[int], *lengths: int, said: str = "") -> list[Message]:
    """A reply with a call for each length, and their results."""
    calls = tuple(ToolCall(f"c{next(ids)}", "look") for _ in lengths)
    results = [ToolMessage(call.id, "look", "r" * length) for call, length in zip(calls, lengths, strict=True)]
    return [AssistantMessage(said, calls), *results]


LENGTHS = st.integers(0, 4_000)
TEXT = LENGTHS.map(lambda n: "t" * n)


@st.composite
def transcripts(draw: st.DrawFn) -> list[Message]:
    """A valid conversation in which the model is to be asked next."""
    ids = numbers()
    messages: list[Message] = [SystemMessage(draw(TEXT))] if draw(st.booleans()) else []
    for last in [False] * draw(st.integers(0, 5)) + [True]:
        messages += [UserMessage(text) for text in draw(st.lists(TEXT, min_size=1, max_size=2))]
        for lengths in draw(st.lists(st.lists(LENGTHS, min_size=1, max_size=3), max_size=4)):
            messages += step(ids, *lengths, said=draw(st.sampled_from(["", "Looking."])))
            if draw(st.integers(0, 5)) == 0:
                messages.append(UserMessage("And hurry."))  # said into the run
        if not last and draw(st.integers(0, 5)):  # if not, the run ended without an answer
            messages.append(AssistantMessage(draw(TEXT)))
    return messages


WINDOWS = st.builds(
    ContextWindow, keep_results=st.integers(0, 4), excerpt=st.integers(100, 2_000), summarise=st.booleans()
)
ROOMS = st.integers(-100, 8_000)


def assert_sound(now: Plan, messages: Sequence[Message], room: int | None) -> None:
    assert_valid(now.view)
    assert now.tokens == total(now.view)
    assert now.whole == total(messages)
    assert now.fits == (room is None or now.tokens <= room)
    assert (now.longest is None) == now.fits
    for kept in (SystemMessage, UserMessage):
        last = [message for message in messages if isinstance(message, kept)][-1:]
        assert [message for message in now.view if isinstance(message, kept)][-1:] == last
    assert [m for m in now.view if isinstance(m, SystemMessage)] == [
        m for m in messages if isinstance(m, SystemMessage)
    ]


@given(transcripts(), ROOMS | st.none(), WINDOWS)
def test_a_valid_transcript_stays_valid_and_fits_or_says_that_it_cannot(
    messages: list[Message], room: int | None, window: ContextWindow
) -> None:
    now = plan(messages, size, room, window)
    assert_sound(now, messages, room)
    assert len(now.view) == len(messages)
    changed = [(old, new) for old, new in zip(messages, now.view, strict=True) if old != new]
    assert len(changed) == now.shortened
    for old, new in changed:
        assert isinstance(old, ToolMessage) and isinstance(new, ToolMessage)
        assert len(new.content) < len(old.content)
        assert (new.call_id, new.name) == (old.call_id, old.name)
    if room is None or total(messages) <= room:
        assert now.view == tuple(messages) and not now.trimmed and now.covers is None


@given(transcripts(), ROOMS, WINDOWS)
def test_a_view_that_does_not_fit_is_as_short_as_can_be(
    messages: list[Message], room: int, window: ContextWindow
) -> None:
    now = plan(messages, size, room, window)
    if not now.fits:
        whole = [m for m in now.view if isinstance(m, ToolMessage) and m in messages]
        assert all(size(shortened(m, window.excerpt, fetch=False)) >= size(m) or len(m.content) <= window.excerpt + 200
                   for m in whole)  # fmt: skip


@given(transcripts(), ROOMS, WINDOWS)
def test_from_one_trimming_to_the_next_views_begin_alike(
    messages: list[Message], room: int, window: ContextWindow
) -> None:
    window = replace(window, summarise=False)
    before: tuple[Message, ...] = ()
    for said in asked_at(messages):
        now = plan(said, size, room, window)
        if not now.trimmed:
            assert now.view[: len(before)] == before
        before = now.view


@given(transcripts(), ROOMS, WINDOWS, st.integers(0, 3_000))
def test_under_summaries_a_view_stays_valid_keeps_the_question_and_ends(
    messages: list[Message], room: int, window: ContextWindow, length: int
) -> None:
    summary: Summary | None = None
    for said in asked_at(messages):
        for _ in range(len(messages)):
            now = plan(said, size, room, window, summary=summary)
            assert_sound(now, said, room)
            if now.covers is None:
                break
            assert now.covers in boundaries(said, covered(said, summary))
            summary = Summary("s" * length, now.covers)
        else:
            raise AssertionError("it never ends")


@given(transcripts(), st.data())
def test_a_summary_may_end_at_every_boundary(messages: list[Message], data: st.DataObject) -> None:
    ends = boundaries(messages, 0)
    assert ends == sorted(set(ends))
    if not ends:
        return
    end = data.draw(st.sampled_from(ends))
    now = plan(messages, size, None, PLAIN, summary=Summary("So far so good.", end))
    assert_sound(now, messages, None)
    assert now.view[-(len(messages) - end) :] == tuple(messages[end:])
    pair = [n for n, m in enumerate(now.view) if m == UserMessage(SUM_UP)]
    assert len(pair) == 1 and now.view[pair[0] + 1] == AssistantMessage("So far so good.")


def long_thread(turns: int, result: int = 2_000, said: int = 200) -> list[Message]:
    ids = numbers()
    messages: list[Message] = []
    for _ in range(turns):
        messages += [UserMessage("u" * said), *step(ids, result), AssistantMessage("a" * said)]
    return [*messages, UserMessage("last")]


def test_a_step_goes_to_half_of_the_room_so_that_most_requests_only_add_to_the_one_before() -> None:
    messages, room = long_thread(50, result=8_000), 30_000
    trimmed = 0
    for said in asked_at(messages):
        now = plan(said, size, room, PLAIN)
        assert now.fits
        if now.trimmed and trimmed == 0:
            assert now.tokens <= room // 2
        trimmed += now.trimmed
    assert 3 <= trimmed <= 10  # of 101 requests


def test_the_oldest_results_are_shortened_first_and_the_newest_stay_whole() -> None:
    for keep in (0, 4):
        for said in asked_at(long_thread(20)):
            now = plan(said, size, 10_000, ContextWindow(keep_results=keep, summarise=False))
            whole = [len(m.content) == 2_000 for m in now.view if isinstance(m, ToolMessage)]
            assert now.fits and now.shortened == whole.count(False)
            assert whole == sorted(whole)
            if now.trimmed:
                assert whole.count(True) == max(keep, isinstance(said[-1], ToolMessage))
                break
        else:
            raise AssertionError("nothing was trimmed")


def test_a_summary_may_end_between_exchanges_and_between_the_steps_of_the_last_one() -> None:
    ids = numbers()
    messages = [UserMessage("a"), *step(ids, 1), AssistantMessage("b"), UserMessage("c"), UserMessage("d")]
    messages += [*step(ids, 1, 1), UserMessage("e"), *step(ids, 1), *step(ids, 1)]
    assert boundaries(messages, 0) == [4, 10, 12]
    assert boundaries(messages, 4) == [10, 12]
    assert boundaries([UserMessage("a")], 0) == []


def test_what_the_model_has_read_is_shortened_before_what_it_has_not() -> None:
    ids = numbers()
    messages = [UserMessage("Look."), *step(ids, 4_000), *step(ids, 4_000, 3_000)]
    now = plan(messages, size, 2_300, TIGHT)
    read, *unread = [m for m in now.view if isinstance(m, ToolMessage)]
    assert len(read.content) < 400
    assert unread == messages[-2:]
    now = plan(messages, size, 1_200, TIGHT)
    _, *unread = [m for m in now.view if isinstance(m, ToolMessage)]
    assert now.fits
    assert all(1_000 < len(m.content) < 2_200 for m in unread)  # halved, and not cut to the bone


def test_an_excerpt_says_what_is_left_out_and_where_to_read_on() -> None:
    result = ToolMessage("c7", "look", "".join(f"{n:05d}é," for n in range(1_000)))
    short = shortened(result, 400, fetch=True).content
    note = '[6600 of 7000 characters were left out here to save room; read_result(call_id="c7", offset=343) has them]'
    assert short == f"{result.content[:300]}\n{note}\n{result.content[-100:]}"
    assert result.content.encode()[343:].decode().startswith(result.content[300:])  # offsets are in bytes
    assert "read_result" not in shortened(result, 400, fetch=False).content


def test_a_summary_covers_whole_exchanges_where_that_is_enough() -> None:
    rules = SystemMessage("x" * 2_400)
    messages = [rules, *long_thread(40, result=0)]
    now = plan(messages, size, 4_000, ContextWindow())
    assert now.covers is not None and now.fits is False
    assert messages[now.covers] == UserMessage("u" * 200)
    after = plan(messages, size, 4_000, ContextWindow(), summary=Summary("s" * 400, now.covers))
    assert after.fits and after.covers is None and after.tokens <= 2_000
    assert after.view[:3] == (rules, UserMessage(SUM_UP), AssistantMessage("s" * 400))


def test_within_one_long_exchange_a_summary_covers_steps_and_the_question_stays() -> None:
    ids = numbers()
    messages: list[Message] = [SystemMessage("Be brief."), UserMessage("Count all files.")]
    for _ in range(100):
        messages += step(ids, 200)
    now = plan(messages, size, 4_000, ContextWindow())
    assert now.covers is not None and isinstance(messages[now.covers], AssistantMessage)
    after = plan(messages, size, 4_000, ContextWindow(), summary=Summary("Half is counted.", now.covers))
    assert after.view[:4] == (
        SystemMessage("Be brief."),
        UserMessage(SUM_UP),
        AssistantMessage("Half is counted."),
        UserMessage("Count all files."),
    )
    assert after.view[4:] == tuple(messages[now.covers :])
    assert after.tokens <= 2_000


def test_what_was_said_into_a_run_stays_with_its_question() -> None:
    ids = numbers()
    messages: list[Message] = [UserMessage("Count."), *step(ids, 0), UserMessage("Only those of May.")]
    messages += [message for _ in range(50) for message in step(ids, 400)]
    now = plan(messages, size, 3_000, ContextWindow(keep_results=9))
    assert now.covers is not None
    after = plan(messages, size, 3_000, ContextWindow(), summary=Summary("Counted some.", now.covers))
    assert [m for m in after.view if isinstance(m, UserMessage)][1:] == [messages[0], messages[3]]


def test_a_model_that_can_read_everything_gets_everything_whatever_was_summed_up_for_another() -> None:
    messages, summary = long_thread(20), Summary("Pages.", 12)
    assert plan(messages, size, total(messages), PLAIN, summary=summary).view == tuple(messages)
    assert len(plan(messages, size, total(messages) - 1, PLAIN, summary=summary).view) == len(messages) - 10
    assert len(plan(messages, size, None, PLAIN, summary=summary).view) == len(messages) - 10


@pytest.mark.parametrize("covers", [3, 99])
def test_a_summary_of_another_conversation_stands_for_nothing(covers: int) -> None:
    messages = [UserMessage("u"), *step(numbers(), 10, 10), UserMessage("v")]
    assert plan(messages, size, None, PLAIN, summary=Summary("?", covers)).view == tuple(messages)


def test_a_question_that_is_too_long_by_itself_is_named_and_not_cut() -> None:
    messages = [*long_thread(10)[:-1], UserMessage("q" * 40_000)]
    now = plan(messages, size, 4_000, ContextWindow(), summary=None)
    assert not now.fits
    after = plan(messages, size, 4_000, ContextWindow(), summary=Summary("s", now.covers or 0))
    assert not after.fits and after.longest == messages[-1] and messages[-1] in after.view


def test_of_a_thread_of_thousands_of_messages_few_are_summed_up_often() -> None:
    messages, room, summary, summaries = long_thread(400, result=600), 8_000, None, 0
    for said in asked_at(messages):
        while (now := plan(said, size, room, ContextWindow(), summary=summary)).covers is not None:
            summary = Summary("s" * summary_size(room) * 4, now.covers)
            summaries += 1
        assert now.fits
    assert summaries <= 25
