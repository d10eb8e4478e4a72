"""A body from wire bytes to decoded bytes, within its limits. Pure: bytes in; bytes or an error out."""

from __future__ import annotations

import zlib

from agentrt.egress.policy import EgressPolicy
from agentrt.errors import EgressFailed, EgressRefused

_PLAIN = {"", "identity"}
_GZIP = {"gzip", "x-gzip"}
_STEP = 64 * 1024
"""Bytes decompressed at a time, so that a bomb is noticed before it has gone off. No ratio is asked of the first
step: a small page of blanks is not a bomb."""


class Body:
    """Gathers one response's body: `feed` for every piece from the wire, then `finish` once.

    Raises:
        EgressRefused: A limit of the policy was passed, or the encoding is neither gzip nor identity.
        EgressFailed: The bytes are not gzip, or they end in the middle.
    """

    def __init__(self, policy: EgressPolicy, encoding: str) -> None:
        if encoding not in _PLAIN | _GZIP:
            raise EgressRefused(f'the body is encoded as "{encoding}"; only gzip and identity are read')
        self._policy = policy
        self._gzip = encoding in _GZIP
        self._inflate = _new_inflate()
        self._wire = 0
        self._decoded = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the wire."""
        self._wire += len(data)
        if self._wire > self._policy.max_bytes:
            raise EgressRefused(f"the body is larger than {self._policy.max_bytes} bytes")
        if not self._gzip:
            self._keep(data)
            return
        while data:
            if self._inflate.eof:  # a gzip file may be several, one after the other
                self._inflate = _new_inflate()
            self._decompress(data)
            data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail

    def finish(self) -> bytes:
        """The whole body."""
        while self._gzip and self._wire and not self._inflate.eof:
            if not self._decompress(b""):  # what zlib still held back
                raise EgressFailed("the gzip body ends in the middle")
        return bytes(self._decoded)

    def _decompress(self, data: bytes) -> int:
        try:
            decoded = self._inflate.decompress(data, _STEP)
        except zlib.error as error:
            raise EgressFailed(f"the body is said to be gzip and is not: {error}") from error
        self._keep(decoded)
        return len(decoded)

    def _keep(self, decoded: bytes) -> None:
        self._decoded += decoded
        size = len(self._decoded)
        if size > self._policy.max_decoded:
            raise EgressRefused(f"the body is larger than {self._policy.max_decoded} bytes when decompressed")
        if size > _STEP and size > self._policy.max_ratio * self._wire:
            raise EgressRefused(f"the body grows more than {self._policy.max_ratio} times by decompression")


def _new_inflate() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)
