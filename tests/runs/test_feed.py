from __future__ import annotations

import asyncio
from asyncio import Future

import pytest

from agentrt.errors import JournalFailed
from agentrt.events import AnyEvent, RunEnded, TextDelta
from agentrt.runs.feed import Feed
from agentrt.testing.virtual import run_virtual


def text(n: int) -> TextDelta:
    return TextDelta(message_id="m", text=str(n), seq=n)


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
            feed.tell(RunEnded(outcome="success"), kept)
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
        feed.tell(RunEnded(outcome="success"), first)
        feed.tell(RunEnded(outcome="failed"), second)
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
        feed.tell(RunEnded(outcome="success"), kept)
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
        feed.tell(RunEnded(outcome="success"), kept)
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
        feed.tell(RunEnded(outcome="success"), kept)
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
        assert vars(feed)["_waiting"] == []
        feed.tell(text(1))
        assert await anext(reader) == text(1)

    run_virtual(main())
