"""What comes back from outside: a document, or the news that there is none."""

from __future__ import annotations

import msgspec


class Fetched(msgspec.Struct, frozen=True):
    """One answer. `url` is where it was found, after redirects.

    `content_type` is in lower case and without parameters; `charset` is the name of a codec that Python has.
    `body` is decompressed; it is empty unless `status` is 2xx, for no other body is read. `retry_after` is for how many
    seconds the server wants to be left alone, or None; a date in that header is not read.
    """

    url: str
    status: int
    content_type: str
    charset: str
    body: bytes
    retry_after: float | None = None

    @property
    def text(self) -> str:
        """The body as text; bytes that are not text become U+FFFD."""
        return self.body.decode(self.charset, "replace")
