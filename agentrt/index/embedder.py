"""What an embedder is: texts go in, unit vectors come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Embedder(Protocol):
    """Turns texts into vectors whose scalar product says how near two texts are in meaning."""

    @property
    def name(self) -> str:
        """Model and version, and `dims` where they can be chosen; vectors of two names are never compared."""
        ...

    @property
    def dims(self) -> int:
        """Numbers in a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        """One vector for each text, in their order: `dims` float32, little-endian, of length 1."""
        ...

    async def aclose(self) -> None:
        """Let go of model or connection. Calling it twice is allowed."""
        ...
