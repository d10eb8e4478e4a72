"""Limits shared through Redis or Valkey: a block is one round trip, decided by one script on the server.

The pools of one limit group are one hash: their levels, and the server's time at which they were so. Both
are taken from or neither is, for the script runs alone. The time is the server's, so the clocks of the
processes need not agree; what it answers is a duration. A pool that nobody asks for is full when its key expires.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from agentrt.gate.leases import LeasesDown
from agentrt.gate.stock import Ask, Pool

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SCRIPT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local wait, full = 0, nil

local function lease(pool, rate, capacity, amount, back)
  if rate <= 0 then return end
  local kept = redis.call('HMGET', KEYS[1], pool, pool .. '_at')
  local level = capacity
  if kept[1] then
    level = math.min(capacity, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * rate)
    level = math.min(capacity, level + back)
  end
  if amount > 0 then
    wait = math.max(wait, (math.min(amount, capacity) - level) / rate)
    level = level - amount
  end
  full = math.max(full or 0, (capacity - level) / rate)
  redis.call('HSET', KEYS[1], pool, string.format('%.17g', level), pool .. '_at', string.format('%.6f', now))
end

local n = {}
for i, text in ipairs(ARGV) do n[i] = tonumber(text) end
lease('requests', n[1], n[2], n[3], n[4])
lease('tokens', n[5], n[6], n[7], n[8])
if full then redis.call('PEXPIRE', KEYS[1], math.ceil(full * 1000) + 1000) end
return string.format('%.6f', wait)
"""


class RedisLeases:
    """Limits shared by all processes that use one Redis or Valkey server (extra: redis).

    Args:
        url: Where it is, as in "redis://host:6379/0"; "rediss://" with TLS, "unix://" for a socket.
        prefix: What the names of its keys begin with. The rest is a hash. Who shares limits has the same
            prefix, and who uses another account of the same provider has another one.
        timeout: Seconds for one block, the connection included, after which the server counts as down.
    """

    def __init__(self, url: str, *, prefix: str = "agentrt", timeout: float = 0.5) -> None:
        from redis.asyncio import Redis  # noqa: PLC0415 - an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415

        self._prefix = prefix
        self._failures = (RedisError, OSError)
        # Its own timeouts are off: in Python 3.11 they may swallow a cancel (`asyncio.wait_for`).
        self._redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 0)
        )
        self._timeout = timeout
        self._script: Any = self._redis.register_script(_SCRIPT)

    async def lease(self, name: tuple[str, str], ask: Ask) -> float:
        """One block, in one round trip; see `Leases`."""
        arguments = [
            *_arguments(ask.request_pool, ask.requests, ask.back_requests),
            *_arguments(ask.token_pool, ask.tokens, ask.back_tokens),
        ]
        try:
            async with asyncio.timeout(self._timeout):
                return float(await self._script(keys=[self._key(name)], args=arguments))
        except TimeoutError:
            raise LeasesDown(f"expected Redis to hand out limits within {self._timeout:g} s, nothing came") from None
        except self._failures as error:
            raise LeasesDown(f"expected Redis to hand out limits, came {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close its connections."""
        await self._redis.aclose()

    def _key(self, name: tuple[str, str]) -> str:
        return f"{self._prefix}:{sha256(msgspec.json.encode(name)).hexdigest()[:32]}"


def _arguments(pool: Pool, amount: float, back: float) -> list[str]:
    return [repr(float(number)) for number in (pool.rate, pool.capacity, amount, back)]
