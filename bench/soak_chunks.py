"""Fuzzed chunks: replies of every dialect, broken in every way that the grammar of the conformance suite knows."""

from __future__ import annotations

from collections import Counter
from random import Random

from tests.conformance.dialects import SPOKEN, reply
from tests.conformance.grammar import parts_of
from tests.conformance.promises import adds_up, same

REPLIES = 100


def chunks(seed: int, replies: int = REPLIES) -> Counter[str]:
    """So many replies of each dialect, each read whole and in parts.

    Raises:
        Exception: an assembler raised something other than a `ProviderError`, or broke one of its promises.
    """
    chance = Random(seed)
    done: Counter[str] = Counter()
    for name, spoken in SPOKEN.items():
        for _ in range(replies):
            data = reply(spoken, chance)
            done[f"chunks of {name}"] += data.count(b"data:") or 1
            outcome = same(spoken.make, data, parts_of(data, chance))
            if outcome.done is None:
                done["failures"] += 1
                continue
            done["replies"] += 1
            if name == "chat":
                adds_up(outcome)
    return done
