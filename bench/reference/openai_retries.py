"""Many calls at once as one writes them first: the openai package as it comes, with its own retries."""

from __future__ import annotations

from openai import AsyncOpenAI


class Retries:
    """Sends what is asked for and leaves the limits to the package, which tries three times by default."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def ask(self, tokens: int) -> str:
        """One call that may use so many tokens."""
        completion = await self._client.chat.completions.create(
            model="bench", messages=[{"role": "user", "content": "Go on."}], max_completion_tokens=tokens
        )
        return completion.choices[0].message.content or ""
