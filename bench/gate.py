"""What the gate is worth: `python -m bench.gate`, or with `--quick` within a minute.

First agentrt beside what one reaches for without it, then what only it promises. Loopback measurements and
those of CPU are at the real clock; the rest runs on the virtual one and comes out the same everywhere.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version

from bench import gate_beside, gate_cost, gate_fairness, gate_trouble
from bench.gate_alone import Figure


def environment() -> str:
    """Where this was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("openai", "aiolimiter", "httpx2"))
    where = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}"
    return f"{where}, {os.cpu_count()} CPUs, {packages}"


def alone(*, quick: bool) -> Iterable[Callable[[], list[Figure]]]:
    """What needs no other beside it, one measurement each."""
    hour, minutes = (300.0, 60.0) if quick else (3600.0, 600.0)
    yield lambda: gate_fairness.windows("requests", hour)
    yield lambda: gate_fairness.windows("tokens", hour)
    yield lambda: [gate_fairness.tenants("requests", minutes)]
    yield lambda: [gate_fairness.tenants("tokens", minutes)]
    yield gate_fairness.largest
    yield gate_trouble.outages
    yield gate_trouble.refusals
    yield lambda: [gate_trouble.cancels(20_000)]
    yield lambda: [gate_cost.doomed(200 if quick else 1000)]
    yield lambda: [gate_cost.passes(10 if quick else 30)]


def main() -> None:
    """Measure and print; the exit status says whether all goals of the second part are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls, shorter hours; the same goals")
    parser.add_argument("--only", choices=("beside", "alone"), help="one of the two parts")
    arguments = parser.parse_args()
    began = time.perf_counter()
    print(environment())
    if arguments.only != "alone":
        gate_beside.table(200 if arguments.quick else 500, quick=arguments.quick)
    missed = 0
    if arguments.only != "beside":
        hour = "five minutes" if arguments.quick else "an hour"
        print(f"\nagentrt alone; its hour at ten times the rate is {hour}")
        for measure in alone(quick=arguments.quick):
            for figure in measure():
                missed += figure.met is False
                mark = "" if figure.met is not False else "   MISSED"
                print(f"  {figure.name}: {figure.got}   [goal {figure.goal}]{mark}", flush=True)
    print(f"\nmeasured in {time.perf_counter() - began:.0f} s")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
