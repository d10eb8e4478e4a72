"""The table: agentrt's gate beside what one reaches for without it, before a provider that really limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from agentrt.gate.leases import LocalLeases
from agentrt.testing import InMemoryTransport, run_virtual
from agentrt.testing.windows import Seen
from bench.gate_contenders import CONTENDERS, LEASED, contender
from bench.gate_processes import ask_in_processes, provider_process
from bench.gate_world import BURST, MEAN, RATE, By, Calls, Outcome, calls, drive, provider


class Row(msgspec.Struct, frozen=True):
    """One contender under one load.

    Attributes:
        share: Part of what the provider would have let through until it let the last one through, or until all
            could have been served, if that is later.
        refused: How many 429s it sent.
        failed: Calls that came to nothing.
        seconds: Until the last call had ended.
    """

    name: str
    share: float
    refused: int
    failed: int
    seconds: float


def _row(name: str, by: By, wanted: Calls, seen: Sequence[Seen], outcomes: Sequence[Outcome]) -> Row:
    began = min(outcome.began for outcome in outcomes)
    seconds = max(outcome.began + outcome.seconds for outcome in outcomes) - began
    seen = [one for one in seen if one.at >= began]
    passed = sum((one.tokens / MEAN if by == "tokens" else 1) for one in seen if one.refused is None)
    last = max(one.at for one in seen if one.refused is None) - began
    allowed = BURST + RATE * max(last, wanted.ideal(by))
    refused = sum(one.refused is not None for one in seen)
    return Row(name, passed / allowed, refused, sum(outcome.failed for outcome in outcomes), seconds)


def on_loopback(name: str, by: By, wanted: Calls, processes: int) -> Row:
    """On sockets, at the real clock, everybody in a process of their own."""
    with provider_process(by) as (base_url, seen):
        outcomes = ask_in_processes(name, base_url, by, wanted, processes)
        return _row(name, by, wanted, seen(), outcomes)


def in_memory(name: str, by: By, wanted: Calls, clients: int) -> Row:
    """In memory, on the virtual clock, where CPU costs no time; processes are clients that share leases at most."""

    async def main() -> Row:
        limited, leases = provider(by), LocalLeases()
        async with AsyncExitStack() as stack:
            asking = [
                await stack.enter_async_context(
                    contender(name, leases)("http://bench.invalid/v1", InMemoryTransport(limited), by, 1 / clients)
                )
                for _ in range(clients)
            ]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(drive(client, wanted.share(n, clients))) for n, client in enumerate(asking)]
        return _row(name, by, wanted, limited.quota.seen, [task.result() for task in tasks])

    return run_virtual(main())


def table(count: int, *, quick: bool) -> None:
    """Print it."""
    at_once, flood = calls(count), calls(2 * count, within=2 * count / (10 * RATE))
    bys: tuple[By, ...] = ("requests", "tokens")
    for by in bys:
        for processes in (1, 4):
            names = [*CONTENDERS] if processes == 1 else [*CONTENDERS, LEASED]
            if not quick or (by == "requests" and processes == 1):
                _print(
                    f"{count} calls at once on loopback",
                    by,
                    processes,
                    [on_loopback(name, by, at_once, processes) for name in names],
                )
            _print(
                f"{2 * count} calls at 10x the rate, virtual clock",
                by,
                processes,
                [in_memory(name, by, flood, processes) for name in names],
            )


def _print(load: str, by: By, processes: int, rows: Sequence[Row]) -> None:
    each = "" if processes == 1 else f", {processes} processes with 1/{processes} of the limits each or leases of all"
    print(f"\n{load}, {by} limited{each}")
    print(f"  {'':24}{'share used':>12}{'429s':>8}{'failed':>8}{'seconds':>9}")
    for row in rows:
        print(f"  {row.name:24}{row.share:12.1%}{row.refused:8}{row.failed:8}{row.seconds:9.1f}")
    print(f"  {'goal':24}{'>= 95 %':>12}{'0':>8}{'0':>8}")
