from __future__ import annotations

import httpx2
import pytest

from agentrt import ProviderError, raise_for_provider
from agentrt.errors import ProviderExhausted, ProviderRefused, ProviderThrottled, ProviderUnavailable


def raised(status: int, body: bytes = b"", **headers: str) -> ProviderError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(ProviderError) as error:
        raise_for_provider(httpx2.Response(status, headers=named, content=body))
    return error.value


def test_an_answer_that_is_no_refusal_passes() -> None:
    for status in (200, 204, 304):
        raise_for_provider(httpx2.Response(status))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b"slow down", ProviderThrottled),
        (429, b'{"error": {"code": "insufficient_quota"}}', ProviderExhausted),
        (503, b"", ProviderUnavailable),
        (409, b"", ProviderUnavailable),
        (404, b'{"message": "no such customer"}', ProviderRefused),
    ],
)
def test_a_refusal_is_the_error_of_its_status_and_words(status: int, body: bytes, kind: type[ProviderError]) -> None:
    error = raised(status, body)
    assert type(error) is kind
    assert error.status == status


def test_what_the_headers_say_is_kept() -> None:
    error = raised(429, b"", Retry_After="12", X_Request_Id="r1", X_RateLimit_Remaining="0")
    assert (error.retry_after, error.request_id) == (12.0, "r1")
    assert dict(error.headers) == {"x-ratelimit-remaining": "0"}


def test_a_date_is_read_by_the_clock_of_who_sent_it() -> None:
    until = "Wed, 21 Oct 2026 07:28:30 GMT"
    assert raised(503, Retry_After=until, Date="Wed, 21 Oct 2026 07:28:00 GMT").retry_after == 30.0
    assert raised(503, Retry_After=until).retry_after is None
    assert raised(503, Retry_After=until, Date="today").retry_after is None
    assert raised(503, Retry_After="7", Date="today").retry_after == 7.0


def test_headers_may_be_a_plain_mapping() -> None:
    class Answer:
        status_code = 429
        headers = {"Retry-After": "3"}  # noqa: RUF012
        content = b""

    with pytest.raises(ProviderThrottled) as error:
        raise_for_provider(Answer())
    assert error.value.retry_after == 3.0
