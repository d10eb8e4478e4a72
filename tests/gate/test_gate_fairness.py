"""Nobody's flood is another's drought: tenants, classes, large requests and limit groups beside one another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from agentrt.events import Priority
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.limits import Limits
from agentrt.testing.virtual import run_virtual
from tests.gate.world import a_gate, now, work_of


async def served(gate: Gate, knocks: list[Knock], seconds: float, *, takes: float = 0.0) -> Counter[tuple[str, str]]:
    """Tokens, or calls that ask for none, by class and tenant, of all these calls at once after so many seconds."""
    had = Counter[tuple[str, str]]()

    async def call(knock: Knock) -> None:
        async def work(_grant: Grant) -> None:
            had[knock.priority, knock.tenant] += max(1, knock.tokens)
            await asyncio.sleep(takes)

        await gate.call(work, knock)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(knock)) for knock in knocks]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
    return had


FLOODS: dict[str, tuple[Callable[[], Gate], int, float]] = {
    "requests": (lambda: a_gate(requests=100), 0, 0.0),
    "tokens": (lambda: a_gate(tokens=10_000), 100, 0.0),
    "permits": (lambda: a_gate(concurrency=10), 0, 0.1),
}


@pytest.mark.parametrize("scarce", FLOODS)
def test_of_ten_tenants_one_that_sends_a_hundred_times_as_much_gets_no_more(scarce: str) -> None:
    make, tokens, takes = FLOODS[scarce]

    async def main() -> None:
        flood = [Knock(tenant="greedy", run=f"g{n % 7}", tokens=tokens) for n in range(12_000)]
        others = [Knock(tenant=f"t{t}", tokens=tokens) for t in range(9) for _ in range(120)]
        had = await served(make(), flood + others, 10.0, takes=takes)
        assert had.total() == pytest.approx(1000 * max(1, tokens), rel=0.12)
        for t in range(9):
            assert had["interactive", f"t{t}"] >= 0.9 * had.total() / 10

    run_virtual(main())


@pytest.mark.parametrize("scarce", FLOODS)
def test_background_keeps_a_tenth_and_no_more_while_people_wait(scarce: str) -> None:
    make, tokens, takes = FLOODS[scarce]

    async def main() -> None:
        classes: tuple[Priority, ...] = ("background", "interactive")
        knocks = [Knock(priority=priority, tokens=tokens) for _ in range(1500) for priority in classes]
        had = await served(make(), knocks, 10.0, takes=takes)
        assert had["background", ""] == pytest.approx(had.total() / 10, rel=0.15)

    run_virtual(main())


def test_a_person_overtakes_ten_thousand_documents() -> None:
    async def main() -> None:
        gate, started = a_gate(requests=10, burst=0), list[float]()
        async with asyncio.TaskGroup() as group:
            documents = [
                group.create_task(gate.call(work_of(), Knock(priority="background", tenant="library")))
                for _ in range(10_000)
            ]
            await asyncio.sleep(5.01)
            group.create_task(gate.call(work_of(0, started)))
            await asyncio.sleep(1)
            for document in documents:
                document.cancel()
        assert started[0] - 5.01 <= 0.11

    run_virtual(main())


@pytest.mark.parametrize("largest", [1000, 5000])
def test_a_request_of_the_largest_size_waits_no_more_than_twice_its_fair_time(largest: int) -> None:
    async def main() -> None:
        gate, started = a_gate(tokens=1000, concurrency=1000), list[float]()
        asked = 0.0

        async def crowd(tenant: str) -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(400):
                    group.create_task(gate.call(work_of(), Knock(tokens=50, tenant=tenant)))
                    await asyncio.sleep(0.025)  # each of the nine alone wants twice what there is

        async with asyncio.TaskGroup() as group:
            for n in range(9):
                group.create_task(crowd(f"t{n}"))
            await asyncio.sleep(3)
            asked = now()
            await gate.call(work_of(0, started), Knock(tokens=largest, tenant="large"))
        # Alone it would wait for a full bucket, which takes 0.9 s; what it had too much is paid afterwards.
        assert started[0] - asked <= 2 * 0.9 / 0.99

    run_virtual(main())


def test_who_waits_for_one_groups_tokens_is_not_in_the_way_of_another_group() -> None:
    async def main() -> None:
        groups = {"chat-*": Limits(tokens=10, per=1), "embed-*": Limits(tokens=1000, per=1, burst=1)}
        gate, chats, embeddings, others = a_gate(groups=groups), list[float](), list[float](), list[float]()
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(gate.call(work_of(0, chats), Knock(model="chat-5", tokens=10)))
            for _ in range(5):
                group.create_task(gate.call(work_of(0, embeddings), Knock(model="embed-3", tokens=100)))
                group.create_task(gate.call(work_of(0, others), Knock(model="tool")))
        assert embeddings == others == [0.0] * 5
        assert chats[-1] > 45

    run_virtual(main())


def test_groups_take_turns_for_permits_nine_to_one_where_one_is_in_the_background() -> None:
    async def main() -> None:
        gate, had = a_gate(concurrency=4, groups={"embed-*": Limits(), "small-*": Limits()}), Counter[str]()

        async def call(knock: Knock) -> None:
            async def work(_grant: Grant) -> None:
                had[knock.model] += 1
                await asyncio.sleep(1)

            await gate.call(work, knock)

        async with asyncio.TaskGroup() as group:
            knocks = [
                Knock(model="embed-3", priority="background"),
                Knock(model="chat-5"),
                Knock(model="small-1"),
            ]
            tasks = [group.create_task(call(knock)) for knock in knocks for _ in range(1000)]
            await asyncio.sleep(189.5)
            for task in tasks:
                task.cancel()
        assert had.total() == 4 * 190
        assert had["embed-3"] == pytest.approx(40, abs=5)
        assert had["chat-5"] == pytest.approx(had["small-1"], abs=5)

    run_virtual(main())


def test_a_groups_own_concurrency_holds_within_the_keys() -> None:
    async def main() -> None:
        gate, started, others = a_gate(groups={"large-*": Limits(concurrency=2)}), list[float](), list[float]()
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(gate.call(work_of(1, started), Knock(model="large-1")))
                group.create_task(gate.call(work_of(1, others), Knock(model="small-1")))
        assert started == pytest.approx([0, 0, 1, 1, 2, 2], abs=1e-3)
        assert others == [0.0] * 6

    run_virtual(main())


def test_the_first_pattern_that_fits_is_the_models_group() -> None:
    groups = {"gpt-5-mini": Limits(tokens=1), "gpt-5*": Limits(requests=5), "*-embed": Limits(tokens=7)}
    gate = a_gate(groups=groups)
    assert gate.counts_tokens("gpt-5-mini")
    assert gate.counts_tokens("small-embed")
    assert not gate.counts_tokens("gpt-5")
    assert not gate.counts_tokens("llama")

    async def main() -> None:
        assert [group.models for group in gate.statistics().groups] == [*groups, "*"]

    run_virtual(main())
