"""What answers tell of limits and of their length is heeded by the calls after them."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest

from agentrt.errors import ProviderThrottled
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.limits import Limits
from agentrt.testing.virtual import run_virtual
from tests.gate.world import Work, a_gate, now, work_of


def telling(**headers: str) -> Work:
    async def work(grant: Grant) -> str:
        grant.report(headers={name.replace("_", "-"): value for name, value in headers.items()})
        return "done"

    return work


def test_a_lower_limit_in_an_answers_headers_holds_at_once() -> None:
    async def main() -> None:
        gate, started = a_gate(requests=600, per=60, burst=0), list[float]()
        await gate.call(telling(x_ratelimit_limit_requests="60"))
        assert gate.statistics().groups[0].requests_a_second == pytest.approx(1)
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(gate.call(work_of(0, started)))
        assert [b - a for a, b in pairwise(started)] == pytest.approx([1 / 0.99] * 4, rel=0.01)

    run_virtual(main())


def test_headers_are_heeded_before_the_answer_is_over() -> None:
    async def main() -> None:
        gate = a_gate(requests=600, per=60)

        async def work(grant: Grant) -> None:
            grant.report(headers={"x-ratelimit-limit-requests": "60"})
            assert gate.statistics().requests is not None
            assert gate.statistics().groups[0].requests_a_second == pytest.approx(1)

        await gate.call(work)

    run_virtual(main())


def test_the_headers_of_a_refusal_teach_too_and_only_the_models_own_group() -> None:
    async def main() -> None:
        groups = {"chat-*": Limits(requests=600, per=60)}
        gate = Gate("openai", Limits(requests=600, per=60), random=Random(1), groups=groups, wall=lambda: 0.0)

        async def work(grant: Grant) -> str:
            if grant.attempt == 1:
                error = ProviderThrottled("429", retry_after=1.0)
                error.headers = {"x-ratelimit-limit-requests": "60"}
                raise error
            return "done"

        await gate.call(work, Knock(model="chat-5"))
        chat, others = gate.statistics().groups
        assert chat.requests_a_second == pytest.approx(1)
        assert others.requests_a_second == pytest.approx(10)

    run_virtual(main())


def test_output_that_the_caller_does_not_limit_is_reserved_as_calls_have_needed_so_far() -> None:
    async def main() -> None:
        gate, reserved = a_gate(tokens=1_000_000, per=1), list[int]()

        async def work(grant: Grant) -> None:
            reserved.append(grant.tokens)
            grant.report(input_tokens=10, output_tokens=20)

        for _ in range(40):
            await gate.call(work, Knock(tokens=10, output=None))
        await gate.call(work, Knock(tokens=10, output=300))
        assert reserved[0] == 10 + 500
        assert reserved[-2:] == [10 + 20, 310]
        assert gate.statistics().groups[0].expected_output == 20

    run_virtual(main())


def test_what_nobody_reserves_by_experience_is_no_experience() -> None:
    async def main() -> None:
        gate = a_gate(tokens=1_000_000)

        async def work(grant: Grant) -> None:
            grant.report(input_tokens=10, output_tokens=0)  # an embedding

        for _ in range(40):
            await gate.call(work, Knock(tokens=10))
        assert gate.statistics().groups[0].expected_output == 500

    run_virtual(main())


def test_when_nothing_remains_nobody_goes_until_there_is_more() -> None:
    async def main() -> None:
        gate, started = a_gate(requests=600, per=60, burst=1), list[float]()
        await gate.call(telling(x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="20s"))
        await gate.call(work_of(0, started))
        assert started[0] >= 20
        assert now() <= 21

    run_virtual(main())
