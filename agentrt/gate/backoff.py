"""Whether a failed attempt is made again, and when: the retry table as one pure function.

What kind of failure it was stands on the error (`ProviderError.retry`); here stands what follows. Full
jitter spreads the calls that failed together over the whole interval, so that they do not come back
together (AWS Architecture Blog, "Exponential Backoff And Jitter").
"""

from __future__ import annotations

from random import Random

import msgspec

from agentrt.errors import ProviderError

MOST_RETRIES = 2
MOST_RETRIES_ONCE_SHOWN = 1
"""A reply that people have begun to read is taken back once, not twice."""

_BASE = {"transient": 0.25, "throttled": 1.0}
_LONGEST = 20.0
_LONGEST_SPREAD = 5.0


class Decision(msgspec.Struct, frozen=True):
    """What follows from a failed attempt.

    `again`: this call is made again after `delay` seconds. `hold`: nobody may knock for `delay` seconds,
    which stands even where this call itself gives up.
    """

    again: bool
    delay: float = 0.0
    hold: bool = False


def decide(error: ProviderError, retries: int, left: float | None, random: Random) -> Decision:
    """Judge a failure after `retries` retries, `left` seconds before the deadline (None: there is none).

    A provider that names a time means everybody: with Retry-After the whole gate waits, never less
    than it asked for. A call whose pause would outlast its deadline gives up at once.
    """
    if error.retry == "never":
        return Decision(again=False)
    delay = _pause(error, retries, random)
    most = MOST_RETRIES_ONCE_SHOWN if error.shown else MOST_RETRIES
    in_time = left is None or delay <= left
    hold = error.retry == "throttled" or error.retry_after is not None
    return Decision(again=retries < most and in_time, delay=delay, hold=hold)


def _pause(error: ProviderError, retries: int, random: Random) -> float:
    asked = error.retry_after
    if asked is None:
        return random.uniform(0.0, min(_LONGEST, _BASE[error.retry] * 2.0**retries))
    return asked + random.uniform(0.0, min(_LONGEST_SPREAD, asked / 4))
