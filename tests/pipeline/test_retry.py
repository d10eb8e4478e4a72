from __future__ import annotations

from random import Random

import pytest

from agentrt.errors import (
    EgressFailed,
    EgressRefused,
    IndexFailed,
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnreachable,
    SettingInvalid,
)
from agentrt.pipeline.document import DocumentFailed
from agentrt.pipeline.retry import (
    class_of,
    counts_in_a_row,
    in_words,
    is_about_the_content,
    is_fatal,
    is_transient,
    pause,
)

MISSING = DocumentFailed("the server answered 404", kind="http_404")
BUSY = DocumentFailed("the server answered 503", kind="http_503", transient=True, retry_after=7.0)

TABLE: list[tuple[Exception, bool, bool, bool]] = [
    # error, transient, fatal, about the content
    (MISSING, False, False, True),
    (BUSY, True, False, False),
    (EgressFailed("x"), True, False, False),
    (EgressRefused("x"), False, False, True),
    (ConnectionResetError(), True, False, False),
    (TimeoutError(), True, False, False),
    (FileNotFoundError(), False, False, True),
    (ProviderThrottled("x", status=429), True, False, False),
    (ProviderUnavailable("x", status=503), True, False, False),
    (ProviderUnreachable("x"), True, False, False),
    (ProviderRefused("x", status=400), False, False, True),
    (ProviderRefused("x", status=413), False, False, True),
    (ProviderRefused("x", status=401), False, True, False),
    (ProviderRefused("x", status=404), False, True, False),
    (ProviderExhausted("x", status=429), False, True, False),
    (SettingInvalid("x"), False, True, False),
    (IndexFailed("x"), False, True, False),
    (ValueError("x"), False, False, True),
]


@pytest.mark.parametrize(("error", "transient", "fatal", "content"), TABLE, ids=lambda value: repr(value)[:40])
def test_each_error_is_of_one_class(error: Exception, transient: bool, fatal: bool, content: bool) -> None:
    assert (is_transient(error), is_fatal(error), is_about_the_content(error)) == (transient, fatal, content)


def test_pauses_spread_over_a_growing_interval_and_never_end_before_we_may_come() -> None:
    random = Random(1)
    for retries, longest in ((0, 0.25), (3, 2.0), (12, 20.0)):
        pauses = [pause(EgressFailed("x"), retries, random) for _ in range(300)]
        assert 0 <= min(pauses) < longest / 10
        assert longest * 0.9 < max(pauses) <= longest
    assert all(7 <= pause(BUSY, 0, random) <= 7.25 for _ in range(100))
    assert pause(ProviderError("x", retry_after=3), 0, random) >= 3


def test_documents_that_are_nothing_for_an_index_say_nothing_about_the_others() -> None:
    assert counts_in_a_row(MISSING)
    assert counts_in_a_row(ValueError())
    for kind in ("empty", "unsupported", "too_large"):
        assert not counts_in_a_row(DocumentFailed("x", kind=kind))


def test_an_error_has_a_class_and_words() -> None:
    assert (class_of(MISSING), in_words(MISSING)) == ("http_404", "the server answered 404")
    assert (class_of(EgressRefused("no")), in_words(EgressRefused("no"))) == ("egress_refused", "no")
    assert (class_of(KeyError("x")), in_words(KeyError("x"))) == ("KeyError", "KeyError: 'x'")
