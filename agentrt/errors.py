"""Every error agentrt raises, drawn once.

::

    AgentrtError
    |-- ConfigurationError          the programmer: something cannot work as written
    |   |-- SettingInvalid            a value that makes no sense: of an agent, a limit, a call of a verb
    |   |-- ToolInvalid               a function that cannot become a tool; two tools of one name
    |   |-- ProviderUnknown           a model name whose provider nobody described
    |   `-- KeyMissing                a provider that needs a key and has none
    |-- ToolError                   a tool: raise it to tell the model what went wrong
    |-- Tripped                     a guardrail: raise or return it to end the run
    |-- ProviderError               a provider: one attempt at a call failed
    |   |-- ProviderUnreachable       no connection, or no byte in time
    |   |-- ProviderUnavailable       5xx and their kin: it is ill
    |   |-- ProviderThrottled         429 and their kin: we are too fast
    |   |-- ProviderExhausted         no quota or no money left: asking again is useless
    |   |-- ProviderRefused           4xx: this request is wrong
    |   |   `-- ContextTooLong          it does not fit the model's window
    |   `-- ReplyIncomplete           the reply broke off or is not one
    |-- GateTimeout                 the gate: the wait cannot end before the deadline
    |-- EgressRefused               the way out: an address, size, type or time we do not allow
    |-- EgressFailed                the way out: it is allowed, but it did not come
    |   `-- HostResting               its host wants to be left alone for longer than we wait (egress/hosts.py)
    |-- Unreadable                  the pipeline: a document or a source came and cannot be used
    |   `-- DocumentFailed            at which stage, and whether that may change (pipeline/document.py)
    |-- IngestStopped               the pipeline: too many in a row failed alike (pipeline/document.py)
    |-- IndexFailed                 the index: its file cannot be opened, read or written
    |-- JournalFailed               the journal: a fact could not be kept
    `-- RunFailed                   a run ended without an answer; carries the partial one
        |-- BudgetExceeded
        |-- DeadlineExceeded
        |-- RunCancelled
        |-- ProviderFailed
        |-- OutputInvalid
        `-- GuardrailTripped

`code` is stable and goes over the wire; the text is for people and may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from agentrt.messages import Answer

Retry = Literal["never", "transient", "throttled"]
"""What asking again would do: nothing good, good after a moment, good once the provider lets us."""


class AgentrtError(Exception):
    """The root: `except AgentrtError` catches what agentrt raises on purpose and nothing else."""

    code: str = "internal"


class ConfigurationError(AgentrtError):
    """Something cannot work as it is written; the message says what to write instead."""

    code = "configuration"


class SettingInvalid(ConfigurationError):
    """A value that makes no sense: of an agent, a budget, a limit, a provider, a call of a verb."""

    code = "setting_invalid"


class ToolInvalid(ConfigurationError):
    """A function that cannot become a tool, or two tools of one name."""

    code = "tool_invalid"


class ProviderUnknown(ConfigurationError):
    """A model was named whose provider nobody described."""

    code = "provider_unknown"


class KeyMissing(ConfigurationError):
    """The provider needs an API key and none was given."""

    code = "key_missing"


class ToolError(AgentrtError):
    """Raise it inside a tool: its text goes to the model as the call's result.

    Any other exception does too, but only its class and text; this one says that the text was
    written for the model. `code` is shown to viewers.
    """

    code = "tool_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code


class Tripped(AgentrtError):
    """Raise or return it in a guardrail: the run ends as failed, and the text says why."""

    code = "guardrail"


class ProviderError(AgentrtError):
    """One attempt at a call to a provider failed.

    Attributes:
        status: HTTP status, or None where there was no response.
        retry_after: Seconds the provider asked us to stay away, or None.
        request_id: The provider's own id of the request, to quote in a complaint.
        shown: Whether part of the reply had already been shown to viewers.
        sent: Whether the request may have reached the provider (if not, it cost nothing).
        headers: What the answer's headers say of limits, by lower-case name; empty where there was no answer.
    """

    code = "provider_error"
    retry: Retry = "never"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.request_id = request_id
        self.sent = sent
        self.headers: Mapping[str, str] = {}
        self.shown = False


class ProviderUnreachable(ProviderError):
    """No connection, a broken TLS handshake, or no first byte in time."""

    code = "provider_unreachable"
    retry = "transient"


class ProviderUnavailable(ProviderError):
    """408, 409, 5xx and 529: the provider is ill; it may be well in a moment."""

    code = "provider_unavailable"
    retry = "transient"


class ProviderThrottled(ProviderError):
    """429 with a rate code, 498: we knock too often; the whole gate waits."""

    code = "provider_rate_limited"
    retry = "throttled"


class ProviderExhausted(ProviderError):
    """`insufficient_quota`, a spend limit, 402: asking again changes nothing."""

    code = "provider_exhausted"


class ProviderRefused(ProviderError):
    """The provider calls the request wrong (400, 401, 403, 404, 413, 422); it would say so again."""

    code = "provider_refused"


class ContextTooLong(ProviderRefused):
    """The conversation does not fit the model's window."""

    code = "context_length_exceeded"


class ReplyIncomplete(ProviderError):
    """The reply broke off, carried an error, or is no reply at all; none of its calls is run."""

    code = "reply_incomplete"
    retry = "transient"


class GateTimeout(AgentrtError):
    """Waiting for the provider's gate cannot end before the deadline; where that is known it is not begun.

    Attributes:
        eta: Seconds until the grant could have come, at the earliest; 0 where only a permit is missing.
        reason: What the wait is for: concurrency, rate, tokens, cooldown or breaker; "deadline" where it had passed
            already.
    """

    code = "provider_timeout"

    def __init__(self, message: str, *, eta: float, reason: str) -> None:
        super().__init__(message)
        self.eta = eta
        self.reason = reason


class EgressRefused(AgentrtError):
    """The way out was refused: an address, port, size, type, redirect or time that is not allowed."""

    code = "egress_refused"


class EgressFailed(AgentrtError):
    """What was asked for is allowed, but did not come: no such name, no connection, a broken answer."""

    code = "egress_failed"


class Unreadable(AgentrtError):
    """A document or a manifest came, and cannot be used; the text says why."""

    code = "unreadable"


class IndexFailed(AgentrtError):
    """The index could not be read or written; nothing of what was asked for has been done."""

    code = "index_failed"


class JournalFailed(AgentrtError):
    """A fact could not be kept, so nothing after it may happen."""

    code = "journal_failed"


class RunFailed(AgentrtError):
    """A run ended without an answer.

    Attributes:
        answer: What there is all the same: `.messages`, `.usage`, `.run_id` and the text shown so far.
        reason: The stable code of what ended it.
    """

    code = "run_failed"

    def __init__(self, message: str, *, answer: Answer, reason: str | None = None) -> None:
        super().__init__(message)
        self.answer = answer
        self.reason = reason or type(self).code


class BudgetExceeded(RunFailed):
    """The run used up its turns, tool calls or tokens."""

    code = "budget_exceeded"


class DeadlineExceeded(RunFailed):
    """The run's deadline passed."""

    code = "run_timeout"


class RunCancelled(RunFailed):
    """Somebody cancelled the run."""

    code = "cancelled"


class ProviderFailed(RunFailed):
    """The model could not be asked, or would not answer; `reason` is the provider error's code."""

    code = "provider_failed"


class OutputInvalid(RunFailed):
    """The answer is not of the form the agent promises."""

    code = "output_invalid"


class GuardrailTripped(RunFailed):
    """A guardrail would not let the input or the answer pass; `answer.output` is empty."""

    code = "guardrail"
