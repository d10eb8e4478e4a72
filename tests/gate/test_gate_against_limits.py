"""The gate before a provider that really limits, fails and comes back: whole runs, from the question to the answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from agentrt import Agent, Limits, Provider, Runtime, run
from agentrt.errors import RunFailed
from agentrt.local.handler import Handler
from agentrt.local.wire import serve
from agentrt.testing import (
    InMemoryTransport,
    Limited,
    ScriptedModel,
    Window,
    assert_no_leaks,
    faults,
    reply,
    run_virtual,
)
from agentrt.testing.faults import Fault, Outage
from agentrt.testing.limits import Family, Pause

clerk = Agent(name="clerk", model="openai:gpt-5-mini")


def a_model() -> Handler:
    """A model that always says the same."""
    return ScriptedModel(lambda _asked: reply("Three are left.")).faults


async def asked(times: int, *, every: float = 0.0, deadline: float = 600.0) -> Counter[str]:
    """How so many runs end: "success", or the reason of their failure."""

    async def one() -> str:
        try:
            await run(clerk, "How many are left?", deadline=deadline)
        except RunFailed as failed:
            return failed.reason
        return "success"

    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[str]] = []
        for _ in range(times):
            tasks.append(group.create_task(one()))
            await asyncio.sleep(every)
    return Counter(task.result() for task in tasks)


def in_memory(handler: Handler, limits: Limits, main: Callable[[], Awaitable[None]]) -> None:
    """Run `main` on the virtual clock, in a runtime that knows the handler as its provider."""

    async def inside() -> None:
        transport = InMemoryTransport(handler)
        provider = Provider(name="openai", base_url="http://provider.invalid/v1", limits=limits, transport=transport)
        async with assert_no_leaks(), Runtime(providers=[provider]):
            await main()

    run_virtual(inside())


# ---- limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "limits", "family"),
    [
        (Window(50, per=1, burst=10), Limits(requests=50, per=1, burst=0.2), "none"),
        (Window(60, per=1, kind="sliding"), Limits(requests=50, per=1, burst=0.2), "none"),
        (Window(60, per=10, kind="fixed"), Limits(requests=50, per=10, burst=2), "ietf"),
        (Window(600, burst=10), Limits(requests=600, burst=1), "openai"),
        (Window(600, kind="sliding"), Limits(requests=600, burst=0.5), "openai"),
    ],
)
def test_nobody_is_refused_where_what_is_configured_is_what_the_provider_allows(
    window: Window, limits: Limits, family: Family
) -> None:
    limited = Limited(a_model(), window, family=family)

    async def main() -> None:
        assert await asked(200) == {"success": 200}

    in_memory(limited, limits, main)
    assert limited.quota.refused == []
    assert limits.requests is not None
    assert limited.quota.seen[-1].at <= 200 * limits.per / limits.requests / 0.95


@pytest.mark.parametrize("pause", ["ms", "seconds", "none"])
@pytest.mark.parametrize("window", [Window(600, burst=5), Window(600), Window(60, kind="sliding")])
def test_a_lower_limit_is_learned_from_headers_with_hardly_a_429_and_no_failure(window: Window, pause: Pause) -> None:
    limited = Limited(a_model(), window, pause=pause)

    async def main() -> None:
        assert await asked(120) == {"success": 120}

    in_memory(limited, Limits(requests=1800, burst=0.5), main)
    assert len(limited.quota.refused) <= 3
    assert limited.quota.early() == []


def test_nothing_is_sent_before_a_retry_after_is_over() -> None:
    limited = Limited(a_model(), Window(30, per=10, kind="fixed"), family="none", pause="seconds")

    async def main() -> None:
        await asked(60)

    in_memory(limited, Limits(requests=10, per=1), main)
    assert limited.quota.refused
    assert limited.quota.early() == []


def test_on_real_sockets_as_in_memory() -> None:
    async def main() -> None:
        limited = Limited(a_model(), Window(100, per=1, burst=40), family="none")
        async with serve(limited) as server:
            limits = Limits(requests=80, per=1, burst=0.2)
            provider = Provider(name="openai", base_url=f"{server.url}/v1", limits=limits)
            async with Runtime(providers=[provider]):
                assert await asked(60, deadline=30) == {"success": 60}
        assert limited.quota.refused == []
        assert limited.quota.most(1) <= 140

    asyncio.run(main())


# ---- trouble -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [faults.status(503), faults.unreachable])
@pytest.mark.parametrize("one_in", [1, 3])
def test_an_outage_costs_few_requests_and_all_is_well_after_it(by: Fault, one_in: int) -> None:
    provider = Outage(a_model())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await asked(20, every=0.1) == {"success": 20}
        provider.begin(60, by=by, one_in=one_in, recovering=0.0 if one_in == 1 else 30.0)
        began = loop.time()
        await asked(300, every=0.2, deadline=20)
        assert len(provider.lost) <= 1.1 * 300
        await asyncio.sleep(max(0.0, began + 180 - loop.time()))
        assert await asked(20, every=0.1) == {"success": 20}

    in_memory(provider, Limits(requests=50, per=1), main)


def test_a_provider_without_quota_is_asked_once() -> None:
    broke = faults.Faults(a_model()).then(faults.insufficient_quota(), times=1000)

    async def main() -> None:
        assert await asked(20, every=1.0) == {"provider_exhausted": 20}

    in_memory(broke, Limits(), main)
    assert len(broke.requests) == 1


def test_a_trickling_answer_is_an_answer() -> None:
    slow = faults.Faults(a_model()).then(faults.trickle(size=1, every=0.01))

    async def main() -> None:
        assert await asked(1) == {"success": 1}
        assert asyncio.get_running_loop().time() > 5

    in_memory(slow, Limits(), main)
