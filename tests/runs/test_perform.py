"""Tools that pass a provider's gate, or wait for a rate of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentrt import Agent, Context, Limits, Provider, Runtime, Tool, ToolError, tool
from agentrt.errors import (
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnknown,
    ProviderUnreachable,
    SettingInvalid,
)
from agentrt.events import AnyEvent, CallAttempted, GateWaited, Retrying, RunEnded, ToolReturned, ToolStarted
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Knock
from agentrt.runs.owner import Run
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import virtual_loop

CRM = Provider(name="crm", limits=Limits(requests=60, per=60, burst=2, concurrency=2))


class Customers:
    """What the tool asks. Its first answers are the given errors; it notes when it was asked, and by which key."""

    def __init__(self, *errors: BaseException, seconds: float = 0.0) -> None:
        self.errors = list(errors)
        self.seconds = seconds
        self.asked: list[float] = []
        self.keys: list[str] = []

    def tool(self, **options: Any) -> Tool[Any, Any, Any]:
        @tool(**{"provider": CRM, **options})
        async def customer(context: Context, name: str) -> str:
            self.asked.append(asyncio.get_running_loop().time())
            self.keys.append(context.idempotency_key)
            await asyncio.sleep(self.seconds)
            if self.errors:
                raise self.errors.pop(0)
            return f"found {name}"

        return customer


def asking(calls: int = 1) -> ScriptedModel:
    return ScriptedModel([reply(calls=[call("customer", name=f"c{n}") for n in range(calls)]), "done"])


@asynccontextmanager
async def running(
    made: Tool[Any, Any, Any], calls: int = 1, *, providers: tuple[Provider, ...] = (), deadline: float = 600.0
) -> AsyncIterator[tuple[Runtime, Run]]:
    """A run whose model asks for so many calls at once; in the end, nothing is left of it."""
    model = asking(calls)
    agent = Agent(name="clerk", model="openai:scripted", tools=[made])
    async with assert_no_leaks(), Runtime(providers=[model.provider("openai"), *providers]) as runtime:
        async with assert_no_leaks(runtime):
            yield runtime, runtime.start(agent, "Hello", deadline=deadline)


def events_of(made: Tool[Any, Any, Any], calls: int = 1, **settings: Any) -> list[AnyEvent]:
    """All events of such a run."""

    async def main() -> list[AnyEvent]:
        async with running(made, calls, **settings) as (_, run):
            await run.wait()
            return [event async for event in run.events()]

    return run_virtual(main())


def returned(events: list[AnyEvent]) -> list[ToolReturned]:
    return [event for event in events if isinstance(event, ToolReturned)]


def of_tools(events: list[AnyEvent], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind) and event.call_id is not None]


# ---- limits --------------------------------------------------------------------------------------------


def test_calls_of_a_tool_keep_within_its_providers_limits() -> None:
    crm = Customers(seconds=0.5)
    events = events_of(crm.tool(), 4)
    # One may leave at once (2 s of rate, less one), the others a little more than a second apart.
    assert crm.asked == pytest.approx([0, 1.01, 2.02, 3.03], abs=0.01)
    assert [event.content for event in returned(events)] == [f"found c{n}" for n in range(4)]
    waits = of_tools(events, GateWaited)
    assert {(event.provider, event.reason) for event in waits} == {("crm", "rate")}
    attempts = of_tools(events, CallAttempted)
    assert [(event.provider, event.model, event.error) for event in attempts] == [("crm", "customer", None)] * 4
    assert len({event.call_id for event in attempts}) == 4


def test_a_provider_is_meant_by_its_name_too_and_shared_by_all_who_name_it() -> None:
    async def main() -> None:
        async with running(Customers().tool(provider="crm"), providers=(CRM,)) as (runtime, run):
            assert (await run.answer()).output == "done"
            assert runtime.statistics()["crm"].granted == 1

    run_virtual(main())


def test_a_provider_that_nobody_described_is_told_before_anything_is_asked() -> None:
    async def main() -> None:
        async with Runtime(providers=[ScriptedModel([]).provider("openai"), CRM]) as runtime:
            for provider, kind in (("crn", ProviderUnknown), (Provider(name="crm"), SettingInvalid)):
                agent = Agent(name="clerk", model="openai:scripted", tools=[Customers().tool(provider=provider)])
                with pytest.raises(kind):
                    runtime.start(agent, "Hello")
                with pytest.raises(kind):
                    runtime.check(agent)

    run_virtual(main())


def test_the_tools_timeout_begins_when_the_call_may() -> None:
    crm = Customers(seconds=0.9)
    events = events_of(crm.tool(timeout=1), 4)
    assert [event.status for event in returned(events)] == ["ok"] * 4
    assert [event.seconds for event in returned(events)] == pytest.approx([0.9] * 4)


def test_arguments_that_do_not_fit_do_not_wait_and_cost_nothing() -> None:
    crm = Customers()

    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("customer", nam="x")]), "done"])
        agent = Agent(name="clerk", model="openai:scripted", tools=[crm.tool()])
        async with Runtime(providers=[model.provider("openai")]) as runtime:
            run = runtime.start(agent, "Hello")
            await run.wait()
            events = [event async for event in run.events()]
            assert [event.code for event in returned(events)] == ["arguments_invalid"]
            assert runtime.statistics()["crm"].granted == 0
            assert crm.asked == []

    run_virtual(main())


def test_a_wait_that_cannot_end_before_the_runs_deadline_is_a_result_and_the_run_goes_on() -> None:
    slow = Provider(name="slow", limits=Limits(requests=1, per=60, burst=0))
    events = events_of(Customers().tool(provider=slow), 2, deadline=30.0)
    first, second = sorted(returned(events), key=lambda event: event.status == "error")
    assert first.content in ("found c0", "found c1")
    assert second.code == "provider_timeout"
    assert second.content.startswith("slow cannot be asked before the run's deadline: ")
    assert [event.outcome for event in events if isinstance(event, RunEnded)] == ["success"]


# ---- what a provider's failure leads to ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "may_repeat", "attempts"),
    [
        (ProviderUnavailable("ill", status=500), True, 2),
        (ProviderUnavailable("ill", status=500), False, 1),
        (ProviderUnavailable("ill", status=503, retry_after=2.0), True, 2),
        (ProviderUnavailable("ill", status=503, retry_after=2.0), False, 1),
        (ProviderUnreachable("cut"), True, 2),
        (ProviderUnreachable("cut"), False, 1),
        (ProviderUnreachable("no connection", sent=False), False, 2),
        (ProviderThrottled("slow down", status=429, retry_after=2.0), False, 2),
        (ProviderThrottled("slow down", status=429), True, 2),
        (ProviderExhausted("no money"), True, 1),
        (ProviderRefused("wrong"), True, 1),
        (ToolError("no such customer"), True, 1),
        (KeyError("a bug"), True, 1),
    ],
)
def test_a_call_is_made_again_where_that_may_help_and_does_no_harm(
    error: BaseException, may_repeat: bool, attempts: int
) -> None:
    crm = Customers(error)
    events = events_of(crm.tool(idempotent=may_repeat))
    assert len(crm.asked) == attempts
    assert len(set(crm.keys)) == 1
    (result,) = returned(events)
    assert result.status == ("ok" if attempts == 2 else "error")
    assert [event.attempt for event in of_tools(events, CallAttempted)] == list(range(1, attempts + 1))
    assert len(of_tools(events, Retrying)) == attempts - 1
    assert [event.outcome for event in events if isinstance(event, RunEnded)] == ["success"]


def test_a_tool_that_only_reads_may_be_asked_again() -> None:
    crm = Customers(ProviderUnavailable("ill"))
    assert returned(events_of(crm.tool(effect="read")))[0].content == "found c0"


def test_a_write_of_several_tasks_is_not_made_again_because_one_of_them_was_refused() -> None:
    refused = ExceptionGroup("", [ProviderThrottled("slow down", status=429)])
    crm = Customers(refused)
    (result,) = returned(events_of(crm.tool()))
    assert len(crm.asked) == 1
    assert result.content == "crm is throttled: slow down (the call may have taken effect)"

    crm = Customers(refused)
    events_of(crm.tool(effect="read"))
    assert len(crm.asked) == 2, "who only reads may"


def test_a_write_that_was_throttled_and_then_failed_is_not_made_a_third_time() -> None:
    crm = Customers(ProviderThrottled("slow", status=429, retry_after=1.0), ProviderUnavailable("ill", status=502))
    (result,) = returned(events_of(crm.tool(effect="write")))
    assert len(crm.asked) == 2
    assert result.content == "crm is unavailable: ill (the call may have taken effect)"


@pytest.mark.parametrize(
    ("error", "content", "code"),
    [
        (
            ProviderThrottled("slow down", retry_after=11.2),
            "crm is throttled, retry after 12 s: slow down",
            "provider_rate_limited",
        ),
        (ProviderUnavailable(""), "crm is unavailable", "provider_unavailable"),
        (ProviderUnreachable("no route"), "crm cannot be reached: no route", "provider_unreachable"),
        (ProviderExhausted("no money"), "crm has no quota left: no money", "provider_exhausted"),
        (ProviderRefused("no such customer"), "crm refused the request: no such customer", "provider_refused"),
        (ProviderError("odd"), "crm failed: odd", "provider_error"),
    ],
)
def test_after_the_last_attempt_the_failure_is_a_result_for_the_model(
    error: ProviderError, content: str, code: str
) -> None:
    events = events_of(Customers(*[error] * 3).tool(effect="read"))
    (result,) = returned(events)
    assert (result.status, result.content, result.code) == ("error", content, code)
    assert [event.outcome for event in events if isinstance(event, RunEnded)] == ["success"]


def test_a_throttled_answer_puts_all_calls_of_the_key_on_hold() -> None:
    crm = Customers(ProviderThrottled("slow down", status=429, retry_after=10.0))
    events_of(crm.tool(), 2)
    assert crm.asked[0] == 0.0
    assert min(crm.asked[1:]) >= 10.0


def test_a_tools_own_failures_say_nothing_of_its_provider() -> None:
    crm = Customers(*[KeyError("bug")] * 12, *[ToolError("no")] * 12)

    async def main() -> None:
        fast = Provider(name="crm", limits=Limits(concurrency=30))
        async with running(crm.tool(provider=fast), 30) as (runtime, run):
            await run.wait()
            assert runtime.statistics()["crm"].breaker == "closed"
            events = [event async for event in run.events()]
        codes = [event.error for event in of_tools(events, CallAttempted)]
        assert sorted(code or "" for code in codes) == [""] * 18 + ["tool_failed"] * 12

    run_virtual(main())


def test_a_provider_that_is_down_is_not_asked_by_every_call() -> None:
    crm = Customers(*[ProviderUnavailable("down", status=500)] * 1000)
    events = events_of(crm.tool(provider=Provider(name="crm", limits=Limits(concurrency=1))), 60, deadline=30.0)
    assert len(crm.asked) < 40
    assert len(returned(events)) == 60


def test_a_run_has_so_many_retries_over_all_its_calls() -> None:
    crm = Customers(*[ProviderThrottled("slow", status=429, retry_after=0.1)] * 1000)
    events = events_of(crm.tool(provider=Provider(name="crm")), 10)
    assert len(of_tools(events, Retrying)) == 6


def test_the_gate_is_told_who_asks_and_whether_asking_twice_does_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    knocks: list[Knock] = []
    passed = Gate.call

    async def call_(gate: Gate, work: Any, knock: Knock) -> Any:
        knocks.append(knock)
        return await passed(gate, work, knock)

    monkeypatch.setattr(Gate, "call", call_)

    async def main(made: Tool[Any, Any, Any]) -> None:
        model = asking()
        agent = Agent(name="clerk", model="openai:scripted", tools=[made])
        async with Runtime(providers=[model.provider("openai")]) as runtime:
            await runtime.start(agent, "Hello", run_id="r1", principal="ann", priority="background").answer()

    run_virtual(main(Customers().tool(effect="read")))
    run_virtual(main(Customers().tool(effect="write")))
    told = [knock for knock in knocks if knock.call_id is not None]
    assert [(knock.tenant, knock.run, knock.priority) for knock in told] == [("ann", "r1", "background")] * 2
    assert [knock.idempotent for knock in told] == [True, False]


# ---- cancelling ----------------------------------------------------------------------------------------


def test_wherever_a_run_is_cancelled_each_call_has_one_result_and_the_gate_has_all_back() -> None:
    """At every step of the loop: in line, on the way in, in the attempt, in the pause before the next."""

    def made() -> Tool[Any, Any, Any]:
        errors = (ProviderUnavailable("ill", status=500), ProviderThrottled("slow", status=429, retry_after=1.0))
        return Customers(*errors, seconds=0.3).tool(effect="read")

    async def main(step: int) -> bool:
        async with running(made(), 3) as (runtime, run):
            virtual_loop().at_step(step, lambda: asyncio.get_running_loop().call_soon(run.cancel, "enough"))
            await run.wait()
            events = [event async for event in run.events()]
            started = [event.call_id for event in events if isinstance(event, ToolStarted)]
            results = [event.call_id for event in returned(events)]
            assert len(results) == len(set(results))
            assert set(started) <= set(results)
            gate = runtime.statistics().get("crm")
            assert gate is None or (gate.in_flight, gate.waiting) == (0, 0)
            return [event.outcome for event in events if isinstance(event, RunEnded)] == ["success"]

    for step in range(1, 1000):
        if run_virtual(main(step)):
            assert step > 30
            return
    raise AssertionError("it never got through")


# ---- a tool's own rate ---------------------------------------------------------------------------------


def test_a_tools_own_rate_is_kept_and_its_waits_are_seen() -> None:
    crm = Customers()
    events = events_of(crm.tool(provider=None, rate=(1, 2), timeout=1), 3)
    assert crm.asked == pytest.approx([0, 2, 4], abs=1e-4)
    assert [event.status for event in returned(events)] == ["ok"] * 3
    waits = of_tools(events, GateWaited)
    assert [(event.provider, event.reason, event.eta) for event in waits] == (
        [("customer", "rate", None)] * 2 + [("customer", "rate", 0.0)] * 2
    )
    assert sorted(event.waited for event in waits) == pytest.approx([0, 0, 2, 4], abs=1e-4)


def test_a_rate_is_kept_over_all_runs_of_a_runtime() -> None:
    crm = Customers()

    async def main() -> None:
        model = ScriptedModel(
            lambda body: reply("done") if len(body["messages"]) > 1 else reply(calls=[call("customer", name="x")])
        )
        agent = Agent(name="clerk", model="openai:scripted", tools=[crm.tool(provider=None, rate=(1, 2))])
        async with Runtime(providers=[model.provider("openai")]) as runtime:
            runs = [runtime.start(agent, "Hello") for _ in range(3)]
            for run in runs:
                await run.answer()
        assert crm.asked == pytest.approx([0, 2, 4], abs=1e-4)

    run_virtual(main())


def test_who_waits_for_a_rate_is_ended_by_the_runs_deadline_and_leaves_nothing() -> None:
    crm = Customers()
    events = events_of(crm.tool(provider=None, rate=(1, 60)), 3, deadline=10.0)
    assert len(crm.asked) == 1
    assert sorted(event.status for event in returned(events)) == ["cancelled", "cancelled", "ok"]
    assert [event.outcome for event in events if isinstance(event, RunEnded)] == ["deadline"]


def test_arguments_that_do_not_fit_take_no_turn_of_a_rate() -> None:
    crm = Customers()

    async def main() -> None:
        calls = [call("customer", nam="x"), call("customer", name="y")]
        model = ScriptedModel([reply(calls=calls), "done"])
        agent = Agent(name="clerk", model="openai:scripted", tools=[crm.tool(provider=None, rate=(1, 60))])
        async with Runtime(providers=[model.provider("openai")]) as runtime:
            await runtime.start(agent, "Hello").answer()
            assert crm.asked == [0.0]

    run_virtual(main())
