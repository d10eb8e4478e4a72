"""What agentrt costs over the loop one writes by hand: `python -m bench.overhead`.

The references in `bench/reference/` and agentrt do the same task in turn within one measurement, so that the ratios
hold on a machine whose speed drifts; what is printed are medians. The provider is a process of its own. CPU is that
of this process, user and system; a crowd of runs has a process of its own (`bench.overhead_crowd`). A reference whose
packages are missing is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.overhead_crowd import IDEAL, Figures, measured
from bench.overhead_sides import Job, available, side, sides
from bench.provider import provider

BASE = "httpx"
"""The side whose CPU is 1."""
TURNS = "turns-5-tokens-20"
FAN_OUT = "calls-50-turns-1"
FEW, MANY = 100, 2100
CROWDED = ("aiohttp", "httpx", "agentrt", "agentrt fast", "agentrt fast, SQLite")
STOCK = ("httpx", "agentrt")
HUGE = 1000
"""Runs at once from which on the stock transport is left out: it looks at all connections with every request."""
Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Amount:
    """How much is measured: rounds of the interleaved rows, jobs of a side in each, rounds of a crowd, their sizes."""

    rounds: int
    times: int
    crowd_rounds: int
    crowds: tuple[int, ...]


WHOLE = Amount(rounds=15, times=10, crowd_rounds=3, crowds=(20, 200, 1000))
QUICK = Amount(rounds=1, times=1, crowd_rounds=1, crowds=(2,))


def row(what: str, side: str, said: str, goal: str = "") -> None:
    """One line of the table."""
    print(f"{what:<24} {side:<22} {said:<82} {goal}", flush=True)


def goal(holds: bool, said: str) -> str:
    """A goal, and whether it is met."""
    return f"{said}: {'yes' if holds else 'NO'}"


async def cpu(job: Job, model: str, times: int) -> float:
    """Seconds of CPU that one job takes, the mean of `times`."""
    before = time.process_time()
    for _ in range(times):
        await job(model)
    return (time.process_time() - before) / times


async def interleaved(jobs: dict[str, Job], model: str, amount: Amount, times: int | None = None) -> Samples:
    """CPU of each side, round by round."""
    for job in jobs.values():
        await cpu(job, model, 3)
    samples: Samples = {name: [] for name in jobs}
    for _ in range(amount.rounds):
        for name, job in jobs.items():
            samples[name].append(await cpu(job, model, times or amount.times))
    return samples


def ratio(samples: Samples, name: str, base: str = BASE) -> float | None:
    """The median of a side's ratios to the base, if that was measured."""
    if base not in samples:
        return None
    return statistics.median(a / b for a, b in zip(samples[name], samples[base], strict=True))


async def a_run(jobs: dict[str, Job], amount: Amount) -> None:
    """Five turns with a tool each, and an answer."""
    samples = await interleaved(jobs, TURNS, amount)
    goals = {"agentrt": 1.3, "agentrt fast": 0.65}
    for name, took in samples.items():
        share, most = ratio(samples, name), goals.get(name)
        said = f"{statistics.median(took) * 1e3:6.2f} ms CPU" + (f"  {share:5.2f}x" if share is not None else "")
        row("run of 5 turns x 1 tool", name, said, goal(share <= most, f"<= {most}x") if share and most else "")


async def a_token(jobs: dict[str, Job], amount: Amount) -> None:
    """One more token: the slope between replies of few and of many. Ours is an event, read by `stream`."""
    few = await interleaved(jobs, f"turns-0-tokens-{FEW}", amount, 1)
    many = await interleaved(jobs, f"turns-0-tokens-{MANY}", amount, 1)
    goals = {"agentrt": 40.0, "agentrt fast": 10.0}
    for name in jobs:
        slope = (statistics.median(many[name]) - statistics.median(few[name])) / (MANY - FEW) * 1e6
        most = goals.get(name)
        row("a streamed token", name, f"{slope:6.1f} us CPU", goal(slope <= most, f"<= {most:g} us") if most else "")


async def fan_out(names: Collection[str], base_url: str, amount: Amount) -> None:
    """Fifty calls of 100 ms in one turn."""
    for name in names:
        async with side(name, base_url, 0.1) as job:
            await job(FAN_OUT)
            walls, spent = list[float](), list[float]()
            for _ in range(amount.rounds):
                began, before = time.perf_counter(), time.process_time()
                await job(FAN_OUT)
                walls.append((time.perf_counter() - began) / 0.1)
                spent.append((time.process_time() - before) / 50 * 1e6)
        wall, call = statistics.median(walls), statistics.median(spent)
        said = f"wall {wall:4.2f}x ideal, {call:4.0f} us CPU a call"
        kept = goal(wall <= 1.35 and call <= 250, "<= 1.35x, <= 250 us") if name.startswith("agentrt") else ""
        row("50 tools of 100 ms", name, said, kept)


def crowd(names: Collection[str], base_url: str, runs: int, rounds: int) -> None:
    """So many runs at once."""
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            figures[name].append(measured(name, base_url, runs))
    middle = {name: _medians(many) for name, many in figures.items()}
    lean = middle.get("aiohttp", {}).get("p50")
    for name, one in middle.items():
        said = (
            f"{one['rate']:5.0f}/s  p50 {one['p50'] * 1e3:5.0f} ms  p99/p50 {one['p99'] / one['p50']:4.2f}  "
            f"{one['cpu'] * 1e3:4.1f} ms CPU  gap {one['gap'] * 1e3:3.0f} ({one['gap_cpu'] * 1e3:.0f}) ms  "
            f"{one['rss']:3.0f} KB"
        )
        row(f"{runs} runs at once", name, said, "; ".join(_goals_of_crowd(runs, name, one, lean)))


def _medians(many: list[Figures]) -> Figures:
    return {key: statistics.median(one[key] for one in many) for key in many[0]}


def _goals_of_crowd(runs: int, name: str, one: Figures, lean: float | None) -> Iterable[str]:
    if not name.startswith("agentrt"):
        return
    if runs == 20:
        yield goal(one["p50"] <= 1.2 * IDEAL, f"p50 <= {1.2 * IDEAL * 1e3:.0f} ms")
    elif runs == 200 and "fast" in name:
        yield goal(one["rate"] >= 150, ">= 150/s")
    elif runs == HUGE:
        if lean is not None:
            yield goal(one["p50"] <= 1.5 * lean, "p50 <= 1.5x aiohttp")
        yield goal(one["p99"] <= 1.2 * one["p50"], "p99 <= 1.2x p50")
        yield goal(one["gap"] <= 0.05, "gap <= 50 ms")
        yield goal(one["rss"] <= 60, "<= 60 KB")


def importing(rounds: int) -> None:
    """CPU of the front door's import, modules compiled before as they are from the second start on."""
    code = (
        "import time; t = time.process_time(); from agentrt import Agent, tool, run; import sys; "
        "print(time.process_time() - t, 'openai' in sys.modules, 'websockets' in sys.modules)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", code]
        outputs = [subprocess.check_output(command, env=environ, text=True).split() for _ in range(rounds + 1)]
    middle = statistics.median(float(seconds) for seconds, *_ in outputs[1:]) * 1e3
    said = f"{middle:6.0f} ms CPU; openai loaded: {outputs[0][1]}, websockets: {outputs[0][2]}"
    row("import of the front door", "agentrt", said, goal(middle <= 250, "<= 250 ms"))


async def in_turn(base_url: str, amount: Amount) -> None:
    """What one process measures, side after side."""
    names = available()
    async with sides(names, base_url) as jobs:
        await a_run(jobs, amount)
        await a_token(jobs, amount)
    await fan_out([name for name in names if name != "openai SDK"], base_url, amount)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="hardly measure; see that it works")
    amount = QUICK if parser.parse_args().quick else WHOLE
    with provider() as (base_url, _log):
        asyncio.run(in_turn(base_url, amount))
        for runs in amount.crowds:
            names = available(CROWDED if runs < HUGE else [name for name in CROWDED if name not in STOCK])
            crowd(names, base_url, runs, amount.crowd_rounds)
    importing(amount.rounds)


if __name__ == "__main__":
    main()
