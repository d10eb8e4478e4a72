from __future__ import annotations

import asyncio
from asyncio import Future
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import JournalFailed
from agentrt.events import AnyEvent, RunEnded, TextDelta
from agentrt.runs.feed import Feed
from agentrt.testing.virtual import run_virtual


def text(n: int) -> TextDelta:
    return TextDelta(message_id="m", text=str(n), seq=n)


def ended(n: int) -> RunEnded:
    return RunEnded(outcome="success", seq=n)


async def texts(feed: Feed, after: int = 0) -> list[str]:
    return [event.text if isinstance(event, TextDelta) else "fact" async for event in feed.read(after)]


def unkept() -> Future[None]:
    return asyncio.get_running_loop().create_future()


def test_every_reader_gets_everything_in_order_whenever_it_comes() -> None:
    async def main() -> None:
        feed = Feed()
        async with asyncio.TaskGroup() as group:
            early = group.create_task(texts(feed))
            await asyncio.sleep(1)
            feed.tell(text(1))
            late = group.create_task(texts(feed))
            await asyncio.sleep(1)
            feed.tell(text(2))
            feed.close()
        assert early.result() == late.result() == await texts(feed) == ["1", "2"]

    run_virtual(main())


def test_a_cursor_begins_behind_its_event() -> None:
    async def main() -> None:
        feed = Feed()
        for n in range(1, 6):
            feed.tell(text(n))
        feed.close()
        assert await texts(feed, after=3) == ["4", "5"]

    run_virtual(main())


def test_a_fact_and_all_behind_it_is_shown_once_it_is_kept() -> None:
    async def main() -> None:
        feed, kept = Feed(), unkept()
        seen: list[AnyEvent] = []

        async def read() -> None:
            seen.extend([event async for event in feed.read()])

        async with asyncio.TaskGroup() as group:
            feed.tell(text(1))
            feed.tell(ended(2), kept)
            feed.tell(text(3))
            feed.close()
            reader = group.create_task(read())
            await asyncio.sleep(1)
            assert not reader.done()
            assert feed.shown_after(0) is not None
            assert feed.shown_after(1) is None
            kept.set_result(None)
        assert len(seen) == 3

    run_virtual(main())


def test_facts_are_shown_in_order_though_kept_out_of_order() -> None:
    async def main() -> None:
        feed, first, second = Feed(), unkept(), unkept()
        feed.tell(ended(1), first)
        feed.tell(ended(2), second)
        second.set_result(None)
        await asyncio.sleep(0)
        assert feed.shown_after(0) is None
        first.set_result(None)
        await asyncio.sleep(0)
        assert feed.shown_after(1) is not None

    run_virtual(main())


def test_a_fact_that_could_not_be_kept_ends_the_feed_with_its_error() -> None:
    async def main() -> None:
        feed, kept = Feed(), unkept()
        feed.tell(text(1))
        feed.tell(ended(2), kept)
        feed.tell(text(3))
        reader = feed.read()
        assert await anext(reader) == text(1)
        kept.set_exception(JournalFailed("disk full"))
        with pytest.raises(JournalFailed, match="disk full"):
            await anext(reader)

    run_virtual(main())


def test_a_fact_whose_append_failed_at_once_is_never_shown() -> None:
    async def main() -> None:
        feed, kept = Feed(), unkept()
        kept.set_exception(JournalFailed("taken over"))
        feed.tell(text(1), kept)
        with pytest.raises(JournalFailed, match="taken over"):
            await anext(feed.read())

    run_virtual(main())


def test_a_reader_that_is_cancelled_leaves_the_others_alone() -> None:
    async def main() -> None:
        feed = Feed()
        async with asyncio.TaskGroup() as group:
            leaver = group.create_task(texts(feed))
            stayer = group.create_task(texts(feed))
            await asyncio.sleep(1)
            leaver.cancel()
            await asyncio.sleep(1)
            feed.tell(text(1))
            feed.close()
        assert stayer.result() == ["1"]

    run_virtual(main())


def test_a_cursor_before_the_beginning_begins_at_the_beginning() -> None:
    async def main() -> None:
        feed = Feed()
        feed.tell(text(1))
        feed.tell(text(2))
        feed.close()
        assert await texts(feed, after=-1) == ["1", "2"]

    run_virtual(main())


def test_nothing_is_shown_behind_a_fact_that_was_not_kept() -> None:
    async def main() -> None:
        feed, kept = Feed(), unkept()
        feed.tell(text(1))
        feed.tell(ended(2), kept)
        kept.set_exception(JournalFailed("disk full"))
        await asyncio.sleep(0)
        feed.tell(text(3))
        feed.close()
        reader = feed.read()
        assert await anext(reader) == text(1)
        with pytest.raises(JournalFailed, match="disk full"):
            await anext(reader)

    run_virtual(main())


@pytest.mark.parametrize("late", [False, True])
def test_a_fact_that_the_journal_let_go_of_was_not_kept(late: bool) -> None:
    async def main() -> None:
        feed, kept = Feed(), unkept()
        if not late:
            kept.cancel()
        feed.tell(ended(1), kept)
        kept.cancel()
        feed.tell(text(2))
        feed.close()
        with pytest.raises(JournalFailed, match="let go of a fact"):
            await anext(feed.read())

    run_virtual(main())


def test_a_reader_that_looks_in_now_and_then_leaves_nothing_behind() -> None:
    async def main() -> None:
        feed = Feed()
        reader = feed.read()
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await anext(reader)
        assert not vars(feed)["_waiting"]
        feed.tell(text(1))
        assert await anext(reader) == text(1)

    run_virtual(main())


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)), st.integers(-1, 65))
def test_a_cursor_begins_behind_its_number_whatever_is_missing_and_whenever_it_comes(
    before: set[int], later: set[int], after: int
) -> None:
    numbers = sorted(before) + sorted(n for n in later if n > max(before, default=0))

    async def main() -> None:
        feed = Feed()
        for n in sorted(before):
            feed.tell(text(n))
        one_by_one, at_once = feed.read(after), feed.read(after)
        got = [event.seq for event in at_once.ready()]
        for n in numbers[len(before) :]:
            feed.tell(text(n))
        feed.close()
        got += [event.seq for event in at_once.ready()]
        assert got == [event.seq async for event in one_by_one] == [n for n in numbers if n > after]
        assert at_once.ended and one_by_one.ended
        assert feed.head == (numbers[-1] if numbers else 0)

    run_virtual(main())


def test_a_viewer_takes_what_is_there_and_comes_back_until_the_feed_has_ended() -> None:
    async def main() -> None:
        feed, kept = Feed(), unkept()
        frames: list[tuple[float, list[int]]] = []

        async def view() -> None:
            reader = feed.read()
            assert not reader.ready()
            while not reader.ended:
                await reader.changed()
                frames.append((asyncio.get_running_loop().time(), [event.seq for event in reader.ready()]))
            await reader.changed()  # it does not wait for what will not come

        async with asyncio.TaskGroup() as group:
            group.create_task(view())
            await asyncio.sleep(1)
            for n in (1, 2, 3):
                feed.tell(text(n))
            feed.tell(ended(4), kept)
            feed.tell(text(5))
            assert feed.head == 3
            await asyncio.sleep(1)
            kept.set_result(None)
            feed.close()
        assert frames == [(1.0, [1, 2, 3]), (2.0, [4, 5])]

    run_virtual(main())


def test_a_feed_that_failed_does_not_end_before_its_viewer_has_heard_why() -> None:
    async def main() -> None:
        feed, kept = Feed(), unkept()
        feed.tell(text(1))
        feed.tell(ended(2), kept)
        feed.close(JournalFailed("disk full"))
        kept.set_exception(JournalFailed("disk full"))
        await asyncio.sleep(0)
        reader = feed.read()
        assert [event.seq for event in reader.ready()] == [1]
        assert not reader.ended
        await reader.changed()
        with pytest.raises(JournalFailed, match="disk full"):
            reader.ready()
        assert not reader.ended

    run_virtual(main())


def test_a_feed_may_be_closed_with_a_failure_that_is_no_facts() -> None:
    async def main() -> None:
        feed = Feed()
        feed.tell(text(1))
        early = feed.read()
        feed.close(JournalFailed("the file is locked"))
        assert [event.seq for event in early.ready()] == [1]
        for reader in (early, feed.read(1), feed.read(9)):
            with pytest.raises(JournalFailed, match="locked"):
                await anext(reader)

    run_virtual(main())


def test_the_failure_that_closed_a_feed_is_told_behind_what_is_still_being_kept() -> None:
    async def main() -> None:
        feed, kept, lost = Feed(), unkept(), unkept()
        feed.tell(ended(1), kept)
        feed.tell(ended(2), lost)
        feed.close(JournalFailed("locked"))
        reader = feed.read()
        assert not reader.ready()
        kept.set_result(None)
        lost.set_result(None)
        assert [event.seq for event in [await anext(reader), await anext(reader)]] == [1, 2]
        with pytest.raises(JournalFailed, match="locked"):
            await anext(reader)

    run_virtual(main())


def test_looking_at_a_long_feed_that_has_nothing_new_costs_nothing() -> None:
    async def main() -> None:
        feed = Feed()
        for n in range(1, 50_001):
            feed.tell(text(n))
        readers = [feed.read(50_000) for _ in range(1000)]
        began = process_time()
        for _ in range(20):
            for reader in readers:
                assert not reader.ready()
        assert process_time() - began < 1.0  # 20,000 looks

    run_virtual(main())


def test_a_reader_may_be_cancelled_in_the_step_in_which_something_comes() -> None:
    async def main() -> None:
        feed = Feed()
        reader = asyncio.create_task(texts(feed))
        await asyncio.sleep(1)
        reader.cancel()
        feed.tell(text(1))
        with pytest.raises(asyncio.CancelledError):
            await reader
        feed.tell(text(2))
        feed.close(None)
        assert await texts(feed) == ["1", "2"]

    run_virtual(main())
