"""What viewers are told of a run that failed: a code of the protocol, and a sentence that gives nothing away."""

from __future__ import annotations

_MESSAGES = {
    "provider_rate_limited": "The model's provider limits how often it may be asked, and did not let this run through.",
    "provider_timeout": "The model's provider could not be asked before the deadline.",
    "provider_error": "The model's provider failed.",
    "context_length_exceeded": "The conversation is too long for the model.",
    "content_filtered": "The answer was stopped by the provider's content filter, or refused by the model.",
    "budget_exceeded": "The run has used up its budget.",
    "run_timeout": "The run's deadline passed.",
    "internal": "Something went wrong inside; the server's log says more.",
}
"""What a viewer reads, by the wire's code. Never an exception's text: it may quote what is nobody's business."""

_CODES = {
    "provider_unreachable": "provider_error",
    "provider_unavailable": "provider_error",
    "provider_exhausted": "provider_error",
    "provider_refused": "provider_error",
    "reply_incomplete": "provider_error",
}
"""Our codes that are another one on the wire; what stands in neither table is "internal" there."""


def on_the_wire(code: str | None) -> tuple[str, str]:
    """The code and the sentence for an end with one of our codes, or none."""
    given = code or "internal"
    wired = _CODES.get(given, given if given in _MESSAGES else "internal")
    return wired, _MESSAGES[wired]
