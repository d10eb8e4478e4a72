"""Whether a failed attempt is made again, when, and what else follows: the retry table as one pure function.

===================================================  ======  ========  ====  ====  =========
failure                                              again   hold      cost  ill   exhausted
===================================================  ======  ========  ====  ====  =========
no connection, no first byte in time, a cut reply    yes     no        14    yes   no
500, 502, 503, 504, 529                              yes     if timed  14    yes   no
408, 409                                             yes     if timed  14    no    no
429 for the rate, 498, 402 in flight                 yes     yes       5     no    no
no quota, no money                                   no      no        0     no    yes
any other 4xx, a context that is too long            no      no        0     no    no
===================================================  ======  ========  ====  ====  =========

What kind of failure it was stands on the error (`ProviderError.retry`). "If timed": where a Retry-After came.
Full jitter spreads the calls that failed together over the whole interval, so that they do not come back
together (AWS Architecture Blog, "Exponential Backoff And Jitter").
"""

from __future__ import annotations

from random import Random

import msgspec

from agentrt.errors import ProviderError, ProviderExhausted
from agentrt.gate.grant import MOST_RETRIES
from agentrt.gate.spending import THROTTLED_COST, TRANSIENT_COST

MOST_RETRIES_ONCE_SHOWN = 1
"""A reply that people have begun to read is taken back once, not twice."""

_BASE = {"transient": 0.25, "throttled": 1.0}
_COST = {"transient": TRANSIENT_COST, "throttled": THROTTLED_COST, "never": 0}
_LONGEST = 20.0
_LONGEST_SPREAD = 5.0
_LONGEST_ASKED = 86_400.0
"""Seconds a provider is left alone at most, whatever it says: a slip in a header must not close a key for good."""
_CLASH = frozenset({408, 409})
"""A request that timed out or met another: no sign of illness."""


class Decision(msgspec.Struct, frozen=True):
    """What follows from a failed attempt.

    Attributes:
        again: This call may be made again after `delay` seconds, as far as table and deadline go; what it costs and
            whether the key can afford it is the budget's to say.
        delay: Seconds; what remains of the failure even where this call gives up.
        hold: Nobody may knock for `delay` seconds, which stands even where this call itself gives up.
        cost: Points that the retry costs.
        ill: The breaker counts it as a failure. What is not ill is a sign of life or says nothing; the status tells.
        exhausted: The key has no quota or no money left.
        late: It would be made again, were it not for the deadline: `delay` seconds from now is too late.
    """

    again: bool
    delay: float = 0.0
    hold: bool = False
    cost: int = 0
    ill: bool = False
    exhausted: bool = False
    late: bool = False


def decide(
    error: ProviderError, retries: int, left: float | None, random: Random, *, most: int = MOST_RETRIES
) -> Decision:
    """Judge a failure after `retries` retries of `most`, `left` seconds before the deadline (None: there is none).

    A provider that names a time means everybody: with Retry-After the whole gate waits, never less
    than it asked for, up to a day. A call whose pause would outlast its deadline gives up at once.
    """
    if error.retry == "never":
        return Decision(again=False, exhausted=isinstance(error, ProviderExhausted))
    delay = _pause(error, retries, random)
    allowed = retries < (min(most, MOST_RETRIES_ONCE_SHOWN) if error.shown else most)
    in_time = left is None or delay <= left
    return Decision(
        again=allowed and in_time,
        delay=delay,
        hold=error.retry == "throttled" or error.retry_after is not None,
        cost=_COST[error.retry],
        ill=error.retry == "transient" and error.status not in _CLASH,
        late=allowed and not in_time,
    )


def _pause(error: ProviderError, retries: int, random: Random) -> float:
    asked = error.retry_after
    if asked is None:
        return random.uniform(0.0, min(_LONGEST, _BASE[error.retry] * 2.0**retries))
    asked = min(asked, _LONGEST_ASKED)
    return asked + random.uniform(0.0, min(_LONGEST_SPREAD, asked / 4))
