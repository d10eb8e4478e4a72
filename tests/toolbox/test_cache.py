from __future__ import annotations

import gc
import weakref
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentrt.toolbox.cache import Cache
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import tool
from agentrt.toolbox.identical import Question, question


class Deps:
    pass


@tool(effect="read", cache=5)
async def look(context: Context[Deps | None], key: str) -> str:
    return key


def asked(key: str, deps: Deps | None = None) -> Question:
    made = question(look, {"key": key}, Context(deps))
    assert made is not None
    return made


def test_a_text_is_kept_until_its_time_is_over_and_not_at_that_moment() -> None:
    cache = Cache()
    cache.put(asked("a"), "1", 10.0, 5.0)
    assert (cache.get(asked("a"), 10.0), cache.get(asked("a"), 14.9)) == ("1", "1")
    assert (cache.get(asked("b"), 14.9), cache.get(asked("a"), 15.0)) == (None, None)
    assert (len(cache), cache.used) == (0, 0)


def test_times_differ_and_each_ends_by_itself() -> None:
    cache = Cache()
    for key, seconds in (("long", 100.0), ("short", 1.0), ("middle", 10.0)):
        cache.put(asked(key), key, 0.0, seconds)
    assert [cache.get(asked(key), 5.0) for key in ("long", "short", "middle")] == ["long", None, "middle"]
    assert [cache.get(asked(key), 50.0) for key in ("long", "short", "middle")] == ["long", None, None]
    assert len(cache) == 1


def test_the_newer_text_takes_the_place_of_the_older() -> None:
    cache = Cache()
    cache.put(asked("a"), "old", 0.0, 5.0)
    cache.put(asked("a"), "newer", 3.0, 5.0)
    assert cache.get(asked("a"), 6.0) == "newer"
    assert (len(cache), cache.used) == (1, len('{"key":"a"}') + len("newer"))


def test_the_oldest_goes_when_there_are_too_many() -> None:
    cache = Cache(entries=3)
    for key in "abcd":
        cache.put(asked(key), key, 0.0, 5.0)
    assert [cache.get(asked(key), 1.0) for key in "abcd"] == [None, "b", "c", "d"]


def test_the_oldest_go_when_there_are_too_many_bytes() -> None:
    cache = Cache(size=400)
    for key in "abcde":
        cache.put(asked(key), "ü" * 40, 0.0, 5.0)  # 80 bytes, and 11 of arguments
    assert [cache.get(asked(key), 1.0) is not None for key in "abcde"] == [False, True, True, True, True]
    assert cache.used == 4 * 91


def test_a_text_that_would_push_out_too_many_is_not_kept_and_pushes_out_none() -> None:
    cache = Cache(size=400)
    cache.put(asked("a"), "small", 0.0, 5.0)
    cache.put(asked("b"), "x" * 90, 0.0, 5.0)
    assert (cache.get(asked("a"), 1.0), cache.get(asked("b"), 1.0)) == ("small", None)


def test_what_has_run_out_holds_nothing_once_the_cache_is_asked() -> None:
    cache, deps = Cache(), Deps()
    gone = weakref.ref(deps)
    cache.put(asked("a", deps), "1", 0.0, 5.0)
    del deps
    gc.collect()
    assert gone() is not None, "or its id might become another's"
    cache.get(asked("b"), 6.0)
    gc.collect()
    assert gone() is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 120), st.integers(0, 4), st.integers(1, 9))))
def test_whatever_is_put_in_the_bounds_hold_and_only_the_last_text_comes_out(steps: list[Any]) -> None:
    cache, now, last = Cache(entries=3, size=300), 0.0, dict[str, tuple[str, float]]()
    for key, size, later, seconds in steps:
        now += later
        text = key * size
        cache.put(asked(key), text, now, float(seconds))
        last[key] = text, now + seconds
        assert len(cache) <= 3
        assert cache.used == sum(11 + len(kept[0]) for kept in cache._kept.values()) <= 300
        for other, (expected, end) in last.items():
            assert cache.get(asked(other), now) in ({expected, None} if now < end else {None})
