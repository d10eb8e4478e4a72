"""What a call brings to its gate, and what it is handed there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from agentrt.errors import ProviderError
from agentrt.events import CallAttempted, Passing, Priority


def _nobody(_event: Passing) -> None:
    pass


MOST_RETRIES = 2
"""Attempts after the first, of one model's turn or one tool's call."""

MOST_RETRIES_OF_A_RUN = 6


class Spare:
    """Retries that are left to a run, over all its calls."""

    __slots__ = ("left",)

    def __init__(self, left: int = MOST_RETRIES_OF_A_RUN) -> None:
        self.left = left


class Knock(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks of its gate.

    Attributes:
        tokens: Input tokens to reserve for each attempt.
        output: Output tokens to reserve on top; None takes what this provider's calls have mostly needed so far.
        deadline: When the wait must be over at the latest, in the loop's clock; None waits as long as it takes.
        watch: Is told, without awaiting, of every wait, attempt and retry.
        model: What is asked: it decides the limit group, and names the call in events.
        call_id: The tool call that asks, None for the model.
        priority: Who waits for this: a person, or a queue of documents.
        tenant: On whose behalf; tenants have equal shares, and a tenant's runs have equal shares of its own.
        run: Within the tenant.
        retries: Attempts after the first that may be made; 0 for what must not be done twice.
        spare: What is left to the whole run for retries.
        idempotent: Asking twice does no harm: a slow attempt may be hedged by a second one, where the gate hedges.
        turn_away: Refuse at once while the key's breaker is open or its quota is used up: there is another to ask.
    """

    tokens: int = 0
    output: int | None = 0
    deadline: float | None = None
    watch: Callable[[Passing], None] = _nobody
    model: str = ""
    call_id: str | None = None
    priority: Priority = "interactive"
    tenant: str = ""
    run: str = ""
    retries: int = MOST_RETRIES
    spare: Spare | None = None
    idempotent: bool = False
    turn_away: bool = False


class Grant(msgspec.Struct, eq=False, kw_only=True):
    """Leave to make one attempt, the `attempt`-th of its call, counted from 1.

    The rest is what the gate writes down about it; the work says its part by `report`.
    """

    attempt: int
    tokens: int
    queued: float
    started: float
    status: int | None = None
    request_id: str | None = None
    first_byte: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    received: int | None = None
    error: str | None = "internal"  # until the work is seen to end in another way
    sent: bool = True
    probe: bool = False
    learn: Callable[[Mapping[str, str]], None] | None = None

    def report(  # noqa: PLR0913 - all that can be known of an attempt
        self,
        *,
        status: int | None = None,
        request_id: str | None = None,
        first_byte: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        received: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say what is known so far; it may be said in parts, and None takes nothing back.

        With both token figures the reservation is settled to their sum; without, it stands. Seconds of
        `first_byte` count from sending the request. From the `headers` of an answer the gate learns at once what
        the provider says of its limits.
        """
        self.status = self.status if status is None else status
        self.request_id = self.request_id if request_id is None else request_id
        self.first_byte = self.first_byte if first_byte is None else first_byte
        self.input_tokens = self.input_tokens if input_tokens is None else input_tokens
        self.output_tokens = self.output_tokens if output_tokens is None else output_tokens
        self.cached_tokens = self.cached_tokens if cached_tokens is None else cached_tokens
        self.received = self.received if received is None else received
        if headers and self.learn is not None:
            self.learn(headers)

    def failed(self, error: ProviderError) -> None:
        """Write down what the provider's error says of this attempt."""
        self.report(status=error.status, request_id=error.request_id)
        self.error = error.code
        self.sent = error.sent

    @property
    def unused(self) -> int:
        """What is left of the reserved tokens; negative where more was used, 0 where nobody knows."""
        if not self.sent:
            return self.tokens
        if self.input_tokens is None or self.output_tokens is None:
            return 0
        return self.tokens - self.input_tokens - self.output_tokens

    def attempted(self, provider: str, knock: Knock, now: float) -> CallAttempted:
        """The event that tells of this attempt, which ends now."""
        return CallAttempted(
            provider=provider,
            model=knock.model,
            attempt=self.attempt,
            seconds=now - self.started,
            queued=self.queued,
            status=self.status,
            request_id=self.request_id,
            first_byte=self.first_byte,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            received=self.received,
            error=self.error,
            call_id=knock.call_id,
        )


class GroupStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A limit group at one moment.

    Attributes:
        models: The pattern of the models' names; "*" for all that no other group has.
        in_flight: Calls whose work is running.
        waiting: Calls in line.
        requests: Requests that could leave now, None where they are not limited; tokens likewise. Negative
            while more was taken than was there.
        requests_a_second: The limit kept to, as configured or as the provider's headers say; tokens likewise.
        expected_output: Output tokens reserved for a call that does not say how many.
        hedged: Second attempts made because the first was slow.
    """

    models: str
    in_flight: int
    waiting: int
    requests: float | None
    tokens: float | None
    requests_a_second: float | None
    tokens_a_second: float | None
    expected_output: int
    hedged: int


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A gate at one moment. Moments are in the loop's clock.

    Attributes:
        in_flight: Calls whose work is running.
        concurrency: How many may be, now: fewer than configured after a throttled answer.
        waiting: Calls in line, of both classes.
        background: Those of them that are in the background class.
        granted: Attempts let through since the gate was made.
        retried: Those of them that were retries.
        retry_points: What is left of the budget for retries, of 500.
        cooling_until: When the provider's pause ends; None outside of one.
        exhausted_until: Until when calls are refused because quota or money is used up; None where they are not.
        breaker: "closed", "open" or "half_open".
        groups: Its limit groups, in the order in which a model's name is looked for.
    """

    key: str
    in_flight: int
    concurrency: int
    waiting: int
    background: int
    granted: int
    retried: int
    retry_points: int
    cooling_until: float | None
    exhausted_until: float | None
    breaker: Literal["closed", "open", "half_open"]
    groups: tuple[GroupStatistics, ...]

    @property
    def requests(self) -> float | None:
        """Requests that could leave now for a model without a limit group of its own."""
        return self.groups[-1].requests

    @property
    def tokens(self) -> float | None:
        """Tokens, likewise."""
        return self.groups[-1].tokens
