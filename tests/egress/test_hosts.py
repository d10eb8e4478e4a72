from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrt.egress import hosts
from agentrt.egress.hosts import HostResting, Hosts
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import EgressFailed
from agentrt.testing import assert_no_leaks, run_virtual


def some(**settings: Any) -> Hosts:
    return Hosts(EgressPolicy(**settings))


def now() -> float:
    return asyncio.get_running_loop().time()


class Requests:
    """Asks hosts; notes when each request began, by host, and how many one host had at once."""

    def __init__(self, hosts: Hosts, seconds: float = 1.0) -> None:
        self.hosts = hosts
        self.seconds = seconds
        self.began: list[tuple[str, float]] = []
        self.busy: dict[str, int] = {}
        self.most: dict[str, int] = {}

    async def ask(self, name: str = "a", port: int = 443) -> None:
        async with self.hosts.turn(name, port):
            self.began.append((name, now()))
            self.busy[name] = self.busy.get(name, 0) + 1
            self.most[name] = max(self.most.get(name, 0), self.busy[name])
            try:
                await asyncio.sleep(self.seconds)
            finally:
                self.busy[name] -= 1

    def times(self, name: str = "a") -> list[float]:
        return [at for host, at in self.began if host == name]


def test_a_host_is_asked_so_many_at_once_and_the_next_one_does_not_wait_for_it() -> None:
    async def main() -> None:
        requests = Requests(some(per_host_concurrency=2))
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(requests.ask("a"))
            group.create_task(requests.ask("b"))
        assert requests.most == {"a": 2, "b": 1}
        assert requests.times() == pytest.approx([0, 0, 1, 1, 2, 2])
        assert requests.times("b") == [0]

    run_virtual(main())


def test_two_ports_of_a_name_are_two_hosts() -> None:
    async def main() -> None:
        requests = Requests(some(per_host_concurrency=1))
        async with asyncio.TaskGroup() as group:
            group.create_task(requests.ask("a", 80))
            group.create_task(requests.ask("a", 443))
        assert requests.times() == [0, 0]

    run_virtual(main())


def test_a_host_is_asked_at_its_pace() -> None:
    async def main() -> None:
        requests = Requests(some(per_host_rate=(1, 2)), seconds=0.1)
        async with asyncio.TaskGroup() as group:
            for name in ("a", "a", "a", "b"):
                group.create_task(requests.ask(name))
        assert requests.times() == pytest.approx([0, 2, 4], abs=1e-4)
        assert requests.times("b") == [0]

    run_virtual(main())


def test_a_host_that_wants_to_be_left_alone_is_waited_for() -> None:
    async def main() -> None:
        requests = Requests(some())
        requests.hosts.rest("a", 443, 10)
        requests.hosts.rest("c", 443, 10)
        requests.hosts.rest("c", 443, 5)  # takes nothing back
        async with asyncio.TaskGroup() as group:
            group.create_task(requests.ask("c"))
            group.create_task(requests.ask("a"))
            group.create_task(requests.ask("b"))
            await asyncio.sleep(4)
            requests.hosts.rest("a", 443, 11)  # said to one that was asked before
        assert requests.times() == pytest.approx([15])
        assert requests.times("b") == [0]
        assert requests.times("c") == pytest.approx([10])

    run_virtual(main())


def test_a_host_that_wants_to_be_left_alone_for_too_long_is_not_waited_for() -> None:
    async def main() -> None:
        requests = Requests(some(per_host_wait=30))
        requests.hosts.rest("a", 443, 100)
        await asyncio.sleep(1)
        with pytest.raises(HostResting, match='"a" wants to be left alone for another 99 s') as resting:
            await requests.ask()
        assert (resting.value.retry_after, now()) == (99, 1)
        await asyncio.sleep(99)
        await requests.ask()

    run_virtual(main())


def test_no_host_is_left_alone_for_more_than_a_day() -> None:
    async def main() -> None:
        requests = Requests(some())
        requests.hosts.rest("a", 443, 999_999_999)
        await asyncio.sleep(86_400)
        await requests.ask()

    run_virtual(main())


def test_who_waits_hears_that_it_has_become_too_long() -> None:
    async def main() -> None:
        requests = Requests(some(per_host_wait=30))
        requests.hosts.rest("a", 443, 5)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(_resting(requests))
            await asyncio.sleep(1)
            requests.hosts.rest("a", 443, 100)
        assert asking.result() == pytest.approx(5)

    run_virtual(main())


async def _resting(requests: Requests) -> float:
    with pytest.raises(HostResting):
        await requests.ask()
    return now()


def test_a_line_that_is_too_long_ends_in_an_error_that_may_pass() -> None:
    async def main() -> None:
        requests = Requests(some(per_host_concurrency=1, per_host_wait=3), seconds=10)
        async with asyncio.TaskGroup() as group:
            group.create_task(requests.ask())
            await asyncio.sleep(1)
            with pytest.raises(EgressFailed, match='"a" is asked by too many here: no turn came within 3 s'):
                await requests.ask()
            assert now() == pytest.approx(4)

    run_virtual(main())


def test_the_wait_does_not_count_against_the_time_of_the_request() -> None:
    async def main() -> None:
        requests = Requests(some(per_host_concurrency=1), seconds=5)
        async with asyncio.TaskGroup() as group:
            group.create_task(requests.ask())
            async with asyncio.timeout(2) as clock:
                await asyncio.sleep(1)
                async with requests.hosts.turn("a", 443, clock):
                    assert now() == pytest.approx(5)
                    assert clock.when() == pytest.approx(6)

    run_virtual(main())


@pytest.mark.parametrize("when", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5])
def test_whoever_is_cancelled_gives_the_place_back(when: float) -> None:
    async def main() -> None:
        requests = Requests(some(per_host_concurrency=1, per_host_rate=(1, 2)))
        requests.hosts.rest("a", 443, 1)
        async with assert_no_leaks():
            tasks = [asyncio.create_task(requests.ask()) for _ in range(4)]
            await asyncio.sleep(when)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.wait(tasks)
            await requests.ask()
        assert requests.busy == {"a": 0}

    run_virtual(main())


def test_of_many_hosts_only_those_asked_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "REMEMBERED", 10)

    async def main() -> None:
        requests = Requests(some(per_host_rate=(1, 1000), per_host_wait=1), seconds=0.01)
        async with requests.hosts.turn("busy", 443):
            for n in range(100):
                await requests.ask(f"h{n}")
            assert len(requests.hosts) == 10
            with pytest.raises(EgressFailed):
                await requests.ask("busy")  # not forgotten while it is asked
        with pytest.raises(EgressFailed):
            await requests.ask("h99")
        await requests.ask("h0")

    run_virtual(main())


def test_the_one_asked_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "REMEMBERED", 2)

    async def main() -> None:
        requests = Requests(some(per_host_rate=(2, 1000), per_host_wait=1))
        for name in ("a", "b", "a", "c"):
            await requests.ask(name)
        with pytest.raises(EgressFailed):
            await requests.ask("a")

    run_virtual(main())
