"""Long campaigns against what must never happen: `python -m bench.soak NAME [--seeds N] [--seconds S]`.

`chunks` are replies in pieces, `gate` contended gates, `runs` whole worlds on the virtual clock, `steps` scenes that
are cut short at each of their steps, `kills` processes that are killed.

A campaign is one function: it is given a seed, does one round of what the seed says, raises if a promise was broken,
and tells what it did, by name and number. The same seed is the same round: one that failed can be run alone, with
`--first SEED --seeds 1`. A later campaign is a function and a line in `CAMPAIGNS`; `tests/test_soak.py` runs a few
small rounds of each.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable

from bench.soak_chunks import chunks
from bench.soak_gate import gate
from bench.soak_kills import kills
from bench.soak_runs import runs
from bench.soak_steps import ALL, steps

Campaign = Callable[[int], Counter[str]]

CAMPAIGNS: dict[str, tuple[Campaign, int]] = {
    "chunks": (chunks, 2_000),
    "gate": (gate, 5),
    "runs": (runs, 10_000),
    "steps": (steps, len(ALL)),
    "kills": (kills, 60),
}
"""By name, with the number of seeds that is a full campaign."""


def failing(campaign: Campaign, seeds: range, seconds: float, done: Counter[str]) -> list[int]:
    """Runs seed after seed for so long; adds up what was done, prints what failed, and gives the seeds that did."""
    failed: list[int] = []
    until = time.monotonic() + seconds
    for seed in seeds:
        if time.monotonic() >= until:
            break
        done["seeds"] += 1
        try:
            done.update(campaign(seed))
        except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
            failed.append(seed)
            print(f"seed {seed} failed:\n{traceback.format_exc()}", file=sys.stderr)
        if done["seeds"] == 1:
            gc.freeze()  # what is loaded by now stays: who collects garbage after each seed need not look at it
    return failed


def main() -> None:
    """Run one campaign, and exit with 1 if a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CAMPAIGNS)
    parser.add_argument("--seeds", type=int, help="at most so many; without --seconds, the full campaign if left out")
    parser.add_argument("--seconds", type=float, help="begin no seed after so long")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    campaign, full = CAMPAIGNS[arguments.name]
    count = arguments.seeds or (full if arguments.seconds is None else sys.maxsize - arguments.first)
    seeds = range(arguments.first, arguments.first + count)
    done: Counter[str] = Counter()
    began, used = time.monotonic(), os.times()
    failed = failing(campaign, seeds, arguments.seconds or float("inf"), done)
    first, last = seeds[0], seeds[0] + done["seeds"] - 1
    cpu = sum(os.times()[:4]) - sum(used[:4])
    print(f"{arguments.name}, seeds {first} to {last}, {time.monotonic() - began:.0f} s, {cpu:.0f} s of CPU")
    for name, number in sorted(done.items(), key=lambda item: -item[1]):
        print(f"{number:>12,}  {name}")
    if failed:
        raise SystemExit(f"failed: seeds {', '.join(map(str, failed))}")
    print("no seed failed")


if __name__ == "__main__":
    main()
