from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.egress.body import Body
from agentrt.egress.policy import MIB, EgressPolicy
from agentrt.errors import EgressFailed, EgressRefused

POLICY = EgressPolicy()


def read(pieces: list[bytes], encoding: str, policy: EgressPolicy = POLICY) -> bytes:
    body = Body(policy, encoding)
    for piece in pieces:
        body.feed(piece)
    return body.finish()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(st.binary(max_size=2000), st.integers(1, 700))
def test_a_body_is_the_same_however_it_is_cut(data: bytes, size: int) -> None:
    assert read(cut(data, size), "identity") == data
    assert read(cut(gzip.compress(data), size), "gzip") == data


def test_a_gzip_of_several_members_is_all_read() -> None:
    both = gzip.compress(b"one ") + gzip.compress(b"two")

    assert read([both], "gzip") == b"one two"
    assert read(cut(both, 1), "gzip") == b"one two"


def test_what_the_decompressor_held_back_is_not_lost() -> None:
    policy = EgressPolicy(max_ratio=2000)
    data = bytes(3 * MIB)

    assert read([gzip.compress(data)], "gzip", policy) == data


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "compress"])
def test_an_encoding_other_than_gzip_is_refused(encoding: str) -> None:
    with pytest.raises(EgressRefused, match="only gzip and identity"):
        Body(POLICY, encoding)


def test_a_body_over_the_limit_on_the_wire_is_refused() -> None:
    policy = EgressPolicy(max_bytes=100)

    assert len(read([bytes(100)], "", policy)) == 100
    with pytest.raises(EgressRefused, match="larger than 100 bytes"):
        read([bytes(60), bytes(41)], "", policy)


def test_a_body_over_the_limit_when_decompressed_is_refused() -> None:
    policy = EgressPolicy(max_decoded=MIB, max_ratio=10_000)

    with pytest.raises(EgressRefused, match="when decompressed"):
        read([gzip.compress(bytes(2 * MIB))], "gzip", policy)


def test_a_bomb_is_ended_before_it_has_gone_off() -> None:
    bomb = gzip.compress(bytes(200 * MIB), 9)
    tracemalloc.start()
    try:
        with pytest.raises(EgressRefused, match="grows more than 100 times"):
            read([bomb], "gzip")
        with pytest.raises(EgressRefused, match="when decompressed"):
            read([bomb], "gzip", EgressPolicy(max_ratio=2000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * MIB


def test_a_small_page_of_blanks_is_not_a_bomb() -> None:
    assert read([gzip.compress(bytes(60_000))], "gzip") == bytes(60_000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"plain text", id="not gzip"),
        pytest.param(zlib.compress(b"text"), id="zlib without the gzip frame"),
        pytest.param(gzip.compress(b"text" * 100)[:-9], id="cut off"),
        pytest.param(gzip.compress(b"text" * 100)[:-8] + bytes(8), id="wrong checksum"),
        pytest.param(gzip.compress(b"text") + b"rubbish", id="rubbish behind it"),
    ],
)
def test_bytes_that_are_not_gzip_are_told_as_broken(data: bytes) -> None:
    with pytest.raises(EgressFailed, match="gzip"):
        read([data], "gzip")
    with pytest.raises(EgressFailed, match="gzip"):
        read(cut(data, 1), "gzip")
