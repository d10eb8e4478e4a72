"""What a seed says: who asks what and when, what the model answers, what goes wrong, and how the processes end."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from agentrt import Budget, Limits
from agentrt.messages import ToolCall
from agentrt.testing import Window, call, reply

Reply = Any
"""What `agentrt.testing.reply` makes."""

By = Literal["handle", "verb", "stream"]
"""How a run is begun: by a handle, whose loss cancels nothing; or by a verb, whose cancel or leaving does."""


How = Literal["now", "after_tools", "after_turn", "call", "steer", "steer now"]
"""What is done to a run: it is cancelled in a mode, or one of its calls is; or something is said into it."""


@dataclass(frozen=True)
class Cut:
    """A moment: so many steps of the loop from now, in front of what is ready then or behind it; or so many seconds.

    `life` is the process in which a run is cut that is carried by several, counted from 0; None is each of them.
    """

    steps: int | None = None
    seconds: float = 0.0
    behind: bool = False
    life: int | None = None
    how: How = "now"


@dataclass(frozen=True)
class Asked:
    """One run. Its name is its id, and what the model is asked."""

    name: str
    turns: tuple[Reply, ...]
    agent: str = "clerk"
    by: By = "handle"
    begins: float = 0.0
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    cut: Cut | None = None
    pause: float = 0.0
    """Seconds that its reader takes over each event."""
    attended: bool = False
    """Somebody is there to decide about its calls; otherwise it rests until somebody comes."""


@dataclass(frozen=True)
class Life:
    """A process: how slow its journal is, which append it loses, and how it ends if not by itself.

    It dies at an append, or at a moment; or it leaves, which cancels its runs or suspends them.
    """

    delay: float = 0.0
    loses: int | None = None
    dies_at: int | None = None
    cut: Cut | None = None
    by: Literal["death", "cancel", "suspend"] = "death"


@dataclass(frozen=True)
class Plan:
    """All of it. The last life ends by itself."""

    seed: int
    asked: tuple[Asked, ...]
    lives: tuple[Life, ...] = (Life(),)
    limits: Limits = field(default_factory=Limits)
    windows: tuple[Window, ...] = ()
    faults: float = 0.0
    """The part of all requests that meets a fault."""
    first: tuple[str, ...] = ()
    """The faults of the first requests, by name; "" is none."""


SECONDS = (0.0, 0.0, 0.01, 0.01, 0.5, 3.0)
BAD = ("", "{", "[1]", '{"seconds": "long"}', '{"seconds": 1}{"seconds": 2}', '{"nobody": 1}', "null")


HOWS: tuple[How, ...] = ("now", "after_tools", "after_turn", "call", "steer", "steer now")


NAMES = (
    "look", "look", "post", "post", "pay", "pay", "pay", "send", "slow", "paced", "plain", "tell", "stubborn",
    "careful", "fail", "crm", "crm", "find", "delegate", "within", "nobody", "bad",
    "lined", "lined", "again", "known", "quiet", "count", "sign", "sign", "pick",
)  # fmt: skip


def _a_call(random: Random, place: int) -> ToolCall:  # noqa: C901, PLR0911, PLR0912 - one case for each tool
    """Ids are the provider's: many count from zero in every reply, and some say one twice."""
    call_id = random.choice(("", f"call_{place}", f"call_{place}", "call_0"))
    name = random.choice(NAMES)
    seconds = random.choice(SECONDS)
    match name:
        case "look" | "post" | "pay" | "send" | "slow" | "paced" | "careful" | "lined" | "sign":
            return call(name, call_id=call_id, seconds=seconds)
        case "stubborn":
            return call(name, call_id=call_id, seconds=random.choice((0.5, 1.0, 3.0)))
        case "tell":
            return call(name, call_id=call_id, times=random.randrange(4), seconds=min(seconds, 0.5))
        case "again":
            return call(name, call_id=call_id, fails=random.randrange(4))
        case "quiet":
            return call(name, call_id=call_id, seconds=seconds, beats=random.random() < 0.5)
        case "known":
            return call(name, call_id=call_id, sku=random.choice("ab"))
        case "pick":
            return call(name, call_id=call_id, question="Which?")
        case "plain":
            return call(name, call_id=call_id, times=random.randrange(3))
        case "fail":
            how = random.choice(("value", "tool", "exit", "cancel", "group", "other"))
            return call(name, call_id=call_id, how=how)
        case "crm" | "find":
            fails = random.choices(("throttled", "unsent", "ill"), k=random.choice((0, 0, 1, 2)))
            return call(name, call_id=call_id, fails=fails, seconds=seconds)
        case "delegate":
            return call(name, call_id=call_id, twice=random.random() < 0.3)
        case "bad":
            return ToolCall(call_id, random.choice(("look", "pay", "plain", "crm")), random.choice(BAD))
        case _:
            return call(name, call_id=call_id)


def _a_turn(random: Random) -> Reply:
    return reply(
        random.choice(("", "Let me see.", "Ünd so wéiter 😀")),
        calls=[_a_call(random, place) for place in range(random.choice((1, 1, 2, 3, 5)))],
        pieces=random.choice((1, 2, 5)),
        pause=random.choice((0.0, 0.0, 0.01, 1.0)),
        finish=random.choice((None,) * 12 + ("length", "stop")),
        usage=random.choice(((10, 5), (10, 5), None)),
    )


def _an_answer(random: Random) -> Reply:
    return reply(
        "It is done.",
        pieces=random.choice((1, 4)),
        pause=random.choice((0.0, 0.01, 1.0)),
        finish=random.choice((None,) * 12 + ("length", "content_filter")),
        usage=random.choice(((10, 5), None)),
    )


def _a_cut(random: Random) -> Cut:
    behind = random.random() < 0.5
    how: How = random.choice((*HOWS, "now", "now", "now", "now"))
    if random.random() < 0.6:
        return Cut(steps=random.randrange(1, random.choice((10, 60, 200))), behind=behind, how=how)
    return Cut(seconds=random.choice((0.0, 0.01, random.uniform(0.0, 8.0))), behind=behind, how=how)


def _a_run(random: Random, place: int) -> Asked:
    options: dict[str, Any] = {}
    if random.random() < 0.4:
        options["thread"] = random.choice("xy")
    if random.random() < 0.25:
        options["deadline"] = random.choice((0.01, 1.0, random.uniform(0.0, 20.0) + 0.001))
    if random.random() < 0.3:
        tokens = random.choice((None, 20, 60))
        options["budget"] = Budget(turns=random.randint(1, 4), tool_calls=random.choice((1, 5, 100)), tokens=tokens)
    if random.random() < 0.3:
        options["principal"] = random.choice(("ada", "bob"))
    if random.random() < 0.2:
        options["priority"] = "background"
    return Asked(
        name=f"run {place}",
        turns=(*(_a_turn(random) for _ in range(random.choice((0, 1, 1, 2, 3)))), _an_answer(random)),
        agent=random.choice(("clerk", "clerk", "doubled")),
        by=random.choice(("handle", "handle", "verb", "stream")),
        begins=random.choice((0.0, 0.0, 0.0, random.uniform(0.0, 2.0))),
        options=options,
        cut=_a_cut(random) if random.random() < 0.4 else None,
        pause=random.choice((0.0, 0.0, 0.02)),
        attended=random.random() < 0.5,
    )


def _a_life(random: Random, *, last: bool) -> Life:
    delay = random.choice((0.0, 0.0, 0.001, 0.05))
    loses = random.randrange(1, 30) if random.random() < 0.1 and not last else None
    if last:
        return Life(delay)
    if random.random() < 0.8:
        return Life(delay, dies_at=random.randrange(1, random.choice((5, 20, 60))), loses=loses)
    return Life(delay, loses=loses, cut=_a_cut(random), by=random.choice(("death", "cancel", "suspend")))


LIMITS = (
    Limits(),
    Limits(),
    Limits(concurrency=1),
    Limits(concurrency=2),
    Limits(requests=60, per=60.0, burst=1.0, concurrency=3),
    Limits(requests=600, tokens=60_000, per=60.0, burst=1.0),
)
WINDOWS = (
    (),
    (),
    (),
    (Window(5, per=1.0),),
    (Window(3, per=10.0, kind="fixed"), Window(50_000, of="tokens", kind="sliding")),
)


def plan_of(seed: int) -> Plan:
    """What this seed says."""
    random = Random(seed)
    deaths = random.choice((0, 0, 1, 1, 2, 3))
    return Plan(
        seed=seed,
        asked=tuple(_a_run(random, place) for place in range(random.choice((1, 2, 3, 4)))),
        lives=(*(_a_life(random, last=False) for _ in range(deaths)), _a_life(random, last=True)),
        limits=random.choice(LIMITS),
        windows=random.choice(WINDOWS),
        faults=random.choice((0.0, 0.0, 0.1, 0.3, 0.8)),
    )
