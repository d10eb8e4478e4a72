"""Whatever happens: limits hold, every call ends, and everything comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.errors import (
    AgentrtError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnreachable,
)
from agentrt.events import CallAttempted, GateWaited, Passing, Priority
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock, Spare
from agentrt.gate.limits import Limits
from agentrt.testing.virtual import run_virtual
from tests.gate.world import a_gate, everything_is_back, now


def unsent() -> Exception:
    return ProviderUnreachable("connect", sent=False)


ERRORS: list[Callable[[], Exception]] = [
    lambda: ProviderUnavailable("503"),
    lambda: ProviderUnavailable("503"),
    unsent,
    lambda: ProviderThrottled("429", retry_after=0.7),
    lambda: ProviderThrottled("429"),
    lambda: ProviderRefused("400"),
    lambda: ValueError("bug"),
]
GROUPS = {"chat": Limits(requests=20, tokens=100, per=1, burst=0.5, concurrency=2), "embed": Limits(tokens=60, per=1)}


@dataclass(frozen=True)
class Plan:
    """What one caller does, and what becomes of it."""

    comes: float
    tokens: int
    output: int | None
    seconds: float
    model: str
    tenant: str
    priority: Priority
    errors: list[Callable[[], Exception]]
    cancelled: float | None
    deadline: float | None
    turn_away: bool
    idempotent: bool


PLANS = st.lists(
    st.builds(
        Plan,
        comes=st.floats(0, 3),
        tokens=st.integers(0, 60),
        output=st.sampled_from([0, 0, 20]),
        seconds=st.floats(0, 1),
        model=st.sampled_from(["chat", "embed", "tool"]),
        tenant=st.sampled_from(["a", "b"]),
        priority=st.sampled_from(["interactive", "background"]),
        errors=st.lists(st.sampled_from(ERRORS), max_size=3),
        cancelled=st.none() | st.floats(0, 4),
        deadline=st.none() | st.floats(0.1, 5),
        turn_away=st.booleans(),
        idempotent=st.booleans(),
    ),
    max_size=30,
)


@dataclass
class World:
    """One gate, and a provider behind it that minds what reaches it."""

    gate: Gate
    hedges: bool
    started: list[tuple[float, Plan]] = field(default_factory=list[tuple[float, Plan]])
    inside: list[str] = field(default_factory=list[str])
    events: list[Passing] = field(default_factory=list[Passing])
    spare: Spare = field(default_factory=lambda: Spare(20))
    ended: int = 0

    async def work(self, plan: Plan, grant: Grant) -> None:
        self.started.append((now(), plan))
        self.inside.append(plan.model)
        self.look(grant)
        try:
            await asyncio.sleep(plan.seconds)
        finally:
            self.inside.remove(plan.model)
        if grant.attempt <= len(plan.errors):
            raise plan.errors[grant.attempt - 1]()
        grant.report(input_tokens=plan.tokens, output_tokens=0)

    def look(self, grant: Grant) -> None:
        statistics = self.gate.statistics()
        assert len(self.inside) <= statistics.in_flight <= self.gate.limits.concurrency
        assert self.inside.count("chat") <= 2
        if not self.hedges:  # they begin a step after their grant
            assert statistics.cooling_until is None
            assert statistics.exhausted_until is None
            assert statistics.breaker == "closed" or grant.probe

    async def call(self, plan: Plan) -> None:
        knock = Knock(
            tokens=plan.tokens,
            output=plan.output,
            deadline=None if plan.deadline is None else now() + plan.deadline,
            watch=self.events.append,
            model=plan.model,
            tenant=plan.tenant,
            priority=plan.priority,
            spare=self.spare,
            turn_away=plan.turn_away,
            idempotent=plan.idempotent,
        )
        try:
            await self.gate.call(lambda grant: self.work(plan, grant), knock)
        except (AgentrtError, ValueError):
            pass
        finally:
            self.ended += 1

    def check_windows(self) -> None:
        """No second has more than its limit and the burst, but for what never reached the provider."""
        for model, limits in GROUPS.items():
            started = [(moment, plan) for moment, plan in self.started if plan.model == model]
            for i, (start, _) in enumerate(started):
                window = [plan for moment, plan in started[i:] if moment <= start + 1]
                back = [plan for plan in window if unsent in plan.errors]
                tokens = [plan.tokens + (plan.output or 0) for plan in window]
                assert limits.tokens is not None
                unused = sum(plan.output or 0 for plan in window)
                refunds = unused + sum(plan.tokens + (plan.output or 0) for plan in back)
                assert sum(tokens) <= limits.tokens + max(limits.tokens * limits.burst, *tokens) + refunds
                if limits.requests is not None:
                    assert len(window) <= limits.requests * (1 + limits.burst) + len(back)


async def play(plans: list[Plan], *, concurrency: int, hedges: bool) -> World:
    world = World(a_gate(requests=10, burst=0.5, concurrency=concurrency, groups=GROUPS, hedge=hedges), hedges)
    loop = asyncio.get_running_loop()

    async def caller(plan: Plan) -> None:
        try:
            await asyncio.sleep(plan.comes)
        except asyncio.CancelledError:
            world.ended += 1
            raise
        await world.call(plan)

    async with asyncio.TaskGroup() as group:
        for plan in plans:
            task = group.create_task(caller(plan))
            if plan.cancelled is not None:
                loop.call_later(plan.comes + plan.cancelled, task.cancel)
        await asyncio.sleep(0)  # a task cancelled before its first step would never count as ended
    assert world.ended == len(plans)
    return world


@settings(deadline=None, max_examples=200)
@given(PLANS, st.integers(1, 4), st.booleans())
def test_whatever_happens_limits_hold_every_call_ends_and_everything_comes_back(
    plans: list[Plan], concurrency: int, hedges: bool
) -> None:
    async def main() -> None:
        world = await play(plans, concurrency=concurrency, hedges=hedges)
        assert len(world.started) == sum(isinstance(event, CallAttempted) for event in world.events)
        ends = [event.eta == 0 for event in world.events if isinstance(event, GateWaited)]
        assert ends.count(True) == ends.count(False)
        world.check_windows()
        await everything_is_back(world.gate, after=180)

    run_virtual(main())


@settings(deadline=None, max_examples=50)
@given(PLANS, st.integers(1, 4))
def test_a_key_that_runs_out_of_money_is_asked_by_those_only_who_were_inside(
    plans: list[Plan], concurrency: int
) -> None:
    async def main() -> None:
        world = World(a_gate(requests=10, burst=0.5, concurrency=concurrency, groups=GROUPS), hedges=False)
        asked = list[float]()

        async def broke(grant: Grant) -> None:
            asked.append(now())
            world.look(grant)
            await asyncio.sleep(0.5)
            raise ProviderExhausted("no money")

        async def caller(plan: Plan) -> None:
            await asyncio.sleep(plan.comes)
            try:
                await world.gate.call(broke, Knock(tokens=plan.tokens, model=plan.model))
            except ProviderExhausted:
                world.ended += 1

        async with asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(caller(plan))
        assert world.ended == len(plans)
        assert len(asked) <= concurrency
        assert all(moment <= asked[0] + 0.5 for moment in asked)
        await everything_is_back(world.gate, after=61)

    run_virtual(main())
