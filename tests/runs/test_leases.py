"""Runtimes that share a provider's limits by leases."""

from __future__ import annotations

import asyncio

from agentrt import Agent, Limits, Provider, Runtime, run
from agentrt.gate.leases import LocalLeases
from agentrt.gate.stock import Ask
from agentrt.testing import ScriptedModel, assert_no_leaks, run_virtual
from tests.runs.world import now

AGENT = Agent(name="clerk", model="openai:scripted")
LIMITS = Limits(requests=10, per=1.0, burst=0.5)


class Watched(LocalLeases):
    """Knows what was asked of it, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[tuple[str, str]] = set()
        self.closed = 0

    async def lease(self, name: tuple[str, str], ask: Ask) -> float:
        self.names.add(name)
        return await super().lease(name, ask)

    async def close(self) -> None:
        self.closed += 1


def provider(key: str = "k") -> Provider:
    model = ScriptedModel(["Here."] * 100).provider("openai", limits=LIMITS)
    return Provider(
        name="openai", base_url=model.base_url, api_key=key, limits=LIMITS, profile="openai", transport=model.transport
    )


async def ask_often(runtime: Runtime, times: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(run(AGENT, "Hello?", runtime=runtime))


def test_two_runtimes_together_keep_to_one_limit_and_leave_nothing_behind() -> None:
    async def main() -> None:
        leases = Watched()
        async with assert_no_leaks(), asyncio.TaskGroup() as group:
            async with Runtime(providers=[provider()], leases=leases) as one:
                async with Runtime(providers=[provider()], leases=leases) as other:
                    began = now()
                    tasks = [group.create_task(ask_often(runtime, 25)) for runtime in (one, other)]
                    await asyncio.wait(tasks)
                    assert 4.0 <= now() - began <= 6.0, "50 calls at 10 a second, not at twice that"
        assert leases.closed == 2

    run_virtual(main())


def test_accounts_of_one_provider_do_not_share() -> None:
    async def main() -> None:
        leases = Watched()
        for key in ("mine", "yours", "mine"):
            async with Runtime(providers=[provider(key)], leases=leases) as runtime:
                await ask_often(runtime, 1)
        assert len(leases.names) == 2
        assert "mine" not in str(leases.names)

    run_virtual(main())


def test_a_gate_that_was_made_before_the_runtime_is_entered_is_tended_too() -> None:
    async def main() -> None:
        runtime = Runtime(providers=[provider()], leases=LocalLeases())
        runtime.check(AGENT)
        async with runtime:
            await ask_often(runtime, 3)

    run_virtual(main())
