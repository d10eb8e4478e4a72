"""The example of an agent's tests is collected here as it stands."""

from examples.testing_clerk import (
    test_a_busy_provider_is_asked_again_when_it_said,
    test_a_warehouse_that_does_not_answer_is_said_to_the_model_after_five_seconds,
    test_the_model_is_told_what_is_on_the_shelf,
    test_what_was_recorded_is_said_again,
    test_whenever_it_is_cancelled_nothing_is_left_behind,
)

__all__ = [
    "test_a_busy_provider_is_asked_again_when_it_said",
    "test_a_warehouse_that_does_not_answer_is_said_to_the_model_after_five_seconds",
    "test_the_model_is_told_what_is_on_the_shelf",
    "test_what_was_recorded_is_said_again",
    "test_whenever_it_is_cancelled_nothing_is_left_behind",
]
