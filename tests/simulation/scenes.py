"""Scenes of which every step is cut in at: each is a plan in which one thing at least goes on at every moment.

The run that is cut is "run 0". What befalls it depends on nothing but the step, so a scene is walked from its first
step to its last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from agentrt import Budget, Limits
from agentrt.messages import ToolCall
from agentrt.testing import Window, call, reply
from tests.simulation.plan import Asked, By, Cut, Life, Plan, Reply

TEXT = reply("It is done.", pieces=3, pause=0.01)
LONG = reply("It is done, and this is a long tale about how it was done.", pieces=12, pause=0.01)


def asking(*calls: ToolCall, then: Reply = TEXT) -> tuple[Reply, ...]:
    """A turn with these calls, and the answer."""
    return reply("Let me see.", calls=calls, pieces=2, pause=0.01), then


LOOK, POST, PAY = (call(name, seconds=0.01) for name in ("look", "post", "pay"))
WAYS_TO_FAIL = ("value", "tool", "exit", "cancel", "group", "other")
SIDE_BY_SIDE = asking(LOOK, call("pay", seconds=0.02))
TURNS: dict[str, tuple[Reply, ...]] = {
    "text": (TEXT,),
    "long text": (LONG,),
    "text at once": (reply("It is done."),),
    "no usage": (reply("It is done.", usage=None, pieces=2),),
    "a filtered answer": (reply("It is", finish="content_filter", pieces=2),),
    "an answer cut short": (reply("It is", finish="length"),),
    "a read": asking(LOOK),
    "a write": asking(PAY),
    "side by side": SIDE_BY_SIDE,
    "five at once": asking(LOOK, POST, PAY, call("send", seconds=0.02), call("tell", times=3, seconds=0.01)),
    "three batches": (*asking(LOOK), *asking(POST), *asking(PAY)),
    "one id for all": (*asking(call("pay", call_id="c")), *asking(call("look", call_id="c"), PAY)),
    "a tool that times out": asking(call("slow", seconds=2.0)),
    "a tool that tells": asking(call("tell", times=4, seconds=0.0)),
    "a plain function": asking(call("plain", times=2), LOOK),
    "tools at a pace": asking(*(call("paced", seconds=0.01) for _ in range(4))),
    "a stubborn tool that ends in time": asking(call("stubborn", seconds=1.0)),
    "a stubborn tool that does not": asking(call("stubborn", seconds=3.0), LOOK),
    "a careful tool": asking(call("careful", seconds=0.02), PAY),
    "tools that fail": asking(*(call("fail", how=how) for how in WAYS_TO_FAIL)),
    "no such tool": asking(call("nobody"), PAY),
    "no such arguments": asking(ToolCall("", "pay", "{"), ToolCall("", "crm", "[]"), LOOK),
    "a tool through a gate": asking(call("crm", fails=[], seconds=0.01)),
    "a tool that is throttled": asking(call("crm", fails=["throttled"], seconds=0.01), LOOK),
    "a tool that fails and is tried again": asking(call("find", fails=["ill", "unsent"], seconds=0.01)),
    "tools in line for a gate": asking(*(call("crm", fails=[], seconds=0.01) for _ in range(4))),
    "a sub-run": asking(call("delegate")),
    "two sub-runs and a tool": asking(call("delegate", twice=True), PAY),
    "a call that waits for a person": asking(call("sign", seconds=0.01), LOOK),
    "a call that waits for the client": asking(call("pick", question="Which?"), PAY),
    "tools one after the other": asking(*(call("lined", seconds=0.01) for _ in range(3))),
    "a read that is made again": asking(call("again", fails=2)),
    "reads that are shared": asking(LOOK, LOOK, call("known", sku="a"), call("known", sku="a")),
    "a tool that falls silent": asking(call("quiet", seconds=3.0, beats=False), call("quiet", seconds=0.9)),
    "a generator": asking(call("count", upto=3)),
    "a sub-run within a place": asking(call("within"), then=reply("Done.")),
}  # fmt: skip
"""What one run does, with nothing in its way."""

FAULTS: dict[str, tuple[str, ...]] = {
    "it is throttled": ("429 with a pause",),
    "it is throttled without a pause": ("429", "498"),
    "it is ill, twice": ("503", "502"),
    "it is ill for good": ("500",) * 3,
    "it is silent": ("silent",),
    "it stalls": ("stalls",),
    "it cannot be reached": ("no connection", "pool timeout"),
    "it cuts": ("cut", "ends early"),
    "it has no quota": ("429 without quota",),
    "it refuses": ("400 too long",),
    "it sends a page": ("a page",),
    "it says half a line": ("half a line",),
    "it trickles": ("trickles",),
}
"""What the provider does first, before all is well."""


def _plans() -> Iterator[tuple[str, Plan]]:
    for name, turns in TURNS.items():
        yield name, _plan(turns)
    for name, first in FAULTS.items():
        yield name, _plan(SIDE_BY_SIDE, first=first)
    for name, first in list(FAULTS.items())[:5]:
        yield f"{name}, and another is asked", _plan(SIDE_BY_SIDE, first=first, agent="doubled")
    one, few = Limits(concurrency=1), (Window(2, per=1.0),)
    yield "somebody waits for its permit", _plan((TEXT,), (TEXT,), limits=one)
    yield "it waits for a permit", _plan((LONG,), (TEXT,), limits=one, begins=0.005)
    yield "it waits for the rate", _plan(SIDE_BY_SIDE, (TEXT,), limits=Limits(requests=60, burst=0))
    yield "the provider limits", _plan(SIDE_BY_SIDE, (TEXT,), (TEXT,), windows=few)
    yield "tokens are limited", _plan(SIDE_BY_SIDE, limits=Limits(tokens=60_000))
    yield "somebody in its thread waits for it", _plan(SIDE_BY_SIDE, (TEXT,), thread="x")
    yield "it waits in its thread", _plan((TEXT,), SIDE_BY_SIDE, thread="x", begins=0.005)
    yield "three in a thread", _plan((TEXT,), SIDE_BY_SIDE, (TEXT,), thread="x")
    yield "no turn is left for tools", _plan(SIDE_BY_SIDE, budget=Budget(turns=1))
    yield "one call too many", _plan(SIDE_BY_SIDE, budget=Budget(tool_calls=1))
    yield "it is late while it writes", _plan((LONG,), deadline=0.06)
    yield "it is late while tools run", _plan(asking(call("pay", seconds=3.0)), deadline=0.5)
    yield "its reader is slow", _plan(SIDE_BY_SIDE, pause=0.02)
    asked = asking(call("sign", seconds=0.01), call("pick", question="Which?"))
    yield "somebody is there to decide", _plan(asked, attended=True)
    yield "it was resumed", _plan(SIDE_BY_SIDE, lives=(Life(dies_at=4), Life()))
    yield "it was resumed twice", _plan(SIDE_BY_SIDE, lives=(Life(dies_at=3), Life(0.004, dies_at=3), Life()))


def _plan(
    *turns: tuple[Reply, ...], begins: float = 0.0, agent: str = "clerk", pause: float = 0.0, **said: Any
) -> Plan:
    """Runs side by side, each of these turns. What is said of a plan goes there, what is said of a run to all runs."""
    attended = bool(said.pop("attended", False))
    of_plan = {name: said.pop(name) for name in ("limits", "windows", "first", "lives") if name in said}
    asked = [
        Asked(f"run {n}", one, agent, options=dict(said), pause=pause, attended=attended, begins=0.0 if n else begins)
        for n, one in enumerate(turns)
    ]
    return Plan(seed=0, asked=tuple(asked), **of_plan)


SCENES: dict[str, Plan] = dict(_plans())


def cut_at(plan: Plan, cut: Cut, *, by: By = "handle", delay: float = 0.0) -> Plan:
    """The scene in which its first run is cancelled at that moment of its last process; its journal is that slow."""
    victim = replace(plan.asked[0], cut=replace(cut, life=len(plan.lives) - 1), by=by)
    return replace(plan, asked=(victim, *plan.asked[1:]), lives=_slow(plan.lives, delay))


def ended_at(plan: Plan, life: Life) -> Plan:
    """The scene in which its first process ends in that way, and a second one carries on."""
    return replace(plan, lives=(life, *_slow(plan.lives, life.delay)))


def _slow(lives: Sequence[Life], delay: float) -> tuple[Life, ...]:
    return tuple(replace(life, delay=life.delay or delay) for life in lives)
