"""What a call brings to its gate, and what it is handed there."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agentrt.errors import ProviderError
from agentrt.events import CallAttempted, Passing


def _nobody(_event: Passing) -> None:
    pass


class Knock(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks of its gate.

    Attributes:
        tokens: What to reserve of the token limit for each attempt: input and expected output.
        deadline: When the wait must be over at the latest, in the loop's clock; None waits as long as it takes.
        watch: Is told, without awaiting, of every wait, attempt and retry.
        model: What is asked, to name it in events.
        call_id: The tool call that asks, None for the model.
    """

    tokens: int = 0
    deadline: float | None = None
    watch: Callable[[Passing], None] = _nobody
    model: str = ""
    call_id: str | None = None


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
    error: str | None = "internal"  # until the work is seen to end in another way
    sent: bool = True

    def report(
        self,
        *,
        status: int | None = None,
        request_id: str | None = None,
        first_byte: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> None:
        """Say what is known so far; it may be said in parts, and None takes nothing back.

        With both token figures the reservation is settled to their sum; without, it stands. Seconds of
        `first_byte` count from sending the request.
        """
        self.status = self.status if status is None else status
        self.request_id = self.request_id if request_id is None else request_id
        self.first_byte = self.first_byte if first_byte is None else first_byte
        self.input_tokens = self.input_tokens if input_tokens is None else input_tokens
        self.output_tokens = self.output_tokens if output_tokens is None else output_tokens

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

    def attempted(self, provider: str, model: str, now: float) -> CallAttempted:
        """The event that tells of this attempt, which ends now."""
        return CallAttempted(
            provider=provider,
            model=model,
            attempt=self.attempt,
            seconds=now - self.started,
            queued=self.queued,
            status=self.status,
            request_id=self.request_id,
            first_byte=self.first_byte,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            error=self.error,
        )


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A gate at one moment.

    Attributes:
        in_flight: Calls whose work is running.
        waiting: Calls in line.
        granted: Attempts let through since the gate was made.
        requests: Requests that could leave now, None where they are not limited; tokens likewise. Negative
            while more was taken than was there.
        cooling_until: When the provider's pause ends, in the loop's clock; None outside of one.
    """

    key: str
    in_flight: int
    waiting: int
    granted: int
    requests: float | None
    tokens: float | None
    cooling_until: float | None
