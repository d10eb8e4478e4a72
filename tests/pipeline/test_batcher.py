from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentrt.pipeline.batcher import Batch, Batcher

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 12)),
        st.tuples(st.just("wait"), st.integers(0, 5)),
        st.tuples(st.just("end"), st.just(0)),
    )
)


def test_a_batch_is_full_by_number_or_by_weight() -> None:
    batcher = Batcher[str](most=3, weight=10, seconds=1)
    assert batcher.add("a", 0) is None
    assert batcher.add("b", 0) is None
    assert batcher.add("c", 0) == Batch(("a", "b", "c"), "full")
    assert batcher.add("d", 0, 4) is None
    assert batcher.room == 6
    assert batcher.add("e", 0, 9) == Batch(("d", "e"), "full")
    assert batcher.add("f", 0, 11) == Batch(("f",), "full")


def test_the_first_item_sets_the_time_and_no_later_one_moves_it() -> None:
    batcher = Batcher[str](most=9, weight=9, seconds=2)
    batcher.add("a", 10)
    assert batcher.due(11.5) is None
    batcher.add("b", 11.5)
    assert batcher.due(11.9) is None
    assert batcher.due(12) == Batch(("a", "b"), "timer")
    assert (batcher.due_at, batcher.due(99), batcher.end()) == (None, None, None)


def test_the_end_gives_what_there_is() -> None:
    batcher = Batcher[str](most=9, weight=9, seconds=2)
    batcher.add("a", 0)
    assert batcher.end() == Batch(("a",), "end")
    assert batcher.room == 9


@given(STEPS, st.integers(1, 5), st.integers(1, 20), st.integers(0, 4))
def test_every_item_comes_out_once_in_order_in_a_batch_that_keeps_its_promise(
    steps: list[tuple[str, int]], most: int, weight: int, seconds: int
) -> None:
    batcher = Batcher[tuple[int, int, float]](most=most, weight=weight, seconds=seconds)
    now, added = 0.0, list[tuple[int, int, float]]()
    batches: list[Batch[tuple[int, int, float]]] = []
    for what, number in steps:
        batch = None
        if what == "add":
            added.append((len(added), number, now))
            batch = batcher.add(added[-1], now, number)
        elif what == "wait":
            now += number
            due_at = batcher.due_at
            batch = batcher.due(now)
            assert (batch is not None) == (due_at is not None and due_at <= now)
        else:
            batch = batcher.end()
        if batch is not None:
            batches.append(batch)
            heavy = [item[1] for item in batch.items]
            assert (batch.why == "full") == (len(heavy) == most or sum(heavy) >= weight)
            assert sum(heavy[:-1]) < weight
            assert len(heavy) <= most
            assert batch.why != "timer" or now - batch.items[0][2] >= seconds
        assert batcher.room > 0
    last = batcher.end()
    assert [item for batch in [*batches, *([last] if last else [])] for item in batch.items] == added
