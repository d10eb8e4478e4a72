"""A run as it is shown: when its log grows, and what becomes of who waits for that."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from agentrt.server.commands import Cursor
from agentrt.server.log import Log
from agentrt.server.shows import Show
from agentrt.server.viewers import view
from agentrt.testing import ScriptedModel, reply, run_virtual
from tests.runs.world import clerk, world
from tests.server.client import Client
from tests.server.guest import text_of

TEXT = "abcdefghijklmnopqrstuvwxyz" * 4


def test_the_first_news_is_shown_at_once_and_what_follows_in_the_tick_together() -> None:
    """104 letters, one each 10 ms, and ticks of 100 ms; viewers that keep up are sent the very same frames."""

    async def main() -> None:
        model = ScriptedModel([reply(TEXT, pieces=104, pause=0.01)])
        async with world(model) as runtime, asyncio.TaskGroup() as group:
            run = runtime.start(clerk(), "Tell.", run_id="r1")
            show = Show(Log("r1", "t1"), run, principal=None, thread=None)
            frames: list[list[tuple[float, str]]] = [[] for _ in range(3)]
            group.create_task(show.feed(0.1))
            for seen in frames:

                async def send(text: str, last: int, seen: list[tuple[float, str]] = seen) -> None:
                    seen.append((asyncio.get_running_loop().time(), text))

                group.create_task(view(show, Cursor("r1"), send, max_bytes=32_768))
            await run.wait()
        assert frames[0] == frames[1] == frames[2]
        times = [when for when, _ in frames[0]]
        assert times[0] < 0.001
        assert min(later - sooner for sooner, later in pairwise(times)) > 0.0999
        assert 10 <= len(times) <= 14
        client = Client()
        for _, text in frames[0]:
            client.take(text)
        assert text_of(client) == TEXT

    run_virtual(main())


def test_a_viewer_that_stands_still_gets_all_it_missed_in_one_frame() -> None:
    async def main() -> None:
        model = ScriptedModel([reply(TEXT, pieces=104, pause=0.01)])
        async with world(model) as runtime, asyncio.TaskGroup() as group:
            run = runtime.start(clerk(), "Tell.", run_id="r1")
            show = Show(Log("r1", "t1"), run, principal=None, thread=None)
            group.create_task(show.feed(0.0))
            client, frames = Client(), 0

            async def send(text: str, last: int) -> None:
                nonlocal frames
                frames += 1
                client.take(text)
                await asyncio.sleep(0.5)

            group.create_task(view(show, Cursor("r1"), send, max_bytes=32_768))
        assert (text_of(client), frames) == (TEXT, 4)

    run_virtual(main())


def test_who_is_further_behind_than_is_kept_gets_a_snapshot() -> None:
    async def main() -> None:
        model = ScriptedModel([reply(TEXT, pieces=104, pause=0.01)])
        async with world(model) as runtime, asyncio.TaskGroup() as group:
            run = runtime.start(clerk(), "Tell.", run_id="r1")
            show = Show(Log("r1", "t1", max_bytes=500), run, principal=None, thread=None)
            group.create_task(show.feed(0.0))
            client = Client()

            async def send(text: str, last: int) -> None:
                client.take(text)
                await asyncio.sleep(0.5)

            group.create_task(view(show, Cursor("r1"), send, max_bytes=32_768))
        assert text_of(client) == TEXT
        assert client.snapshots > 0

    run_virtual(main())
