"""What a grant writes down, and what it leaves to settle."""

from __future__ import annotations

from agentrt.errors import ProviderThrottled, ProviderUnreachable
from agentrt.gate.grant import Grant, Knock


def a_grant(tokens: int = 100) -> Grant:
    return Grant(attempt=2, tokens=tokens, queued=0.5, started=10.0)


def test_a_report_may_be_given_in_parts() -> None:
    grant = a_grant()
    grant.report(status=200, request_id="req-1", first_byte=0.2)
    grant.report(input_tokens=10)
    grant.report(output_tokens=0)
    assert (grant.status, grant.request_id, grant.first_byte) == (200, "req-1", 0.2)
    assert (grant.input_tokens, grant.output_tokens) == (10, 0)


def test_with_both_figures_the_rest_of_the_reservation_is_unused() -> None:
    grant = a_grant()
    grant.report(input_tokens=30, output_tokens=20)
    assert grant.unused == 50
    grant.report(output_tokens=90)
    assert grant.unused == -20


def test_with_one_figure_or_none_the_reservation_stands() -> None:
    grant = a_grant()
    assert grant.unused == 0
    grant.report(input_tokens=30)
    assert grant.unused == 0


def test_what_was_never_sent_cost_nothing() -> None:
    grant = a_grant()
    grant.failed(ProviderUnreachable("no route", sent=False))
    assert grant.unused == 100


def test_the_event_tells_the_attempt() -> None:
    grant = a_grant()
    grant.report(status=200, first_byte=0.2)
    grant.failed(ProviderThrottled("slow down", status=429, request_id="req-9"))
    event = grant.attempted("openai", Knock(model="gpt-5-mini"), 12.5)
    assert (event.provider, event.model, event.attempt) == ("openai", "gpt-5-mini", 2)
    assert (event.queued, event.seconds, event.first_byte) == (0.5, 2.5, 0.2)
    assert (event.status, event.request_id, event.error) == (429, "req-9", "provider_rate_limited")


def test_a_knock_that_nobody_watches_may_be_told_anything() -> None:
    Knock().watch(a_grant().attempted("openai", Knock(), 10.0))
