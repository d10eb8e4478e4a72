"""What a run has spent, as it is told. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agentrt.messages import Usage
from agentrt.server import agui_events as ui

_NOTHING = 1e-9
"""US dollars: what two sums of the same may differ by."""


class Spending:
    """Tokens by who was asked, and the cost of all."""

    def __init__(self) -> None:
        self._by_model: dict[str, Usage] = {}
        self._usd = 0.0

    def add(self, usage: Usage, asked: str | None = None) -> Iterator[ui.AguiEvent]:
        """Spent by asking this "provider:model"; None if runs inside of this one did, which tell theirs.

        What the run has cost so far is told when it has grown.
        """
        if asked is not None:
            self._by_model[asked] = self._by_model.get(asked, Usage()) + usage
        if usage.usd:
            self._usd += usage.usd
            yield ui.Custom(name="agentrt.cost", value={"usd": round(self._usd, 9)})

    def finish(self, usage: Usage) -> Iterator[ui.AguiEvent]:
        """The run is over, and this is what it has spent: runs inside of it may have, of which nothing was told."""
        if usage.usd > self._usd + _NOTHING:
            yield from self.add(Usage(usd=usage.usd - self._usd))

    def usage(self) -> tuple[ui.Usage, ...]:
        """One entry for each model that was asked."""
        told: list[ui.Usage] = []
        for name, spent in self._by_model.items():
            provider, _, model = name.partition(":")
            told.append(
                ui.Usage(
                    provider=provider,
                    model=model,
                    input_tokens=spent.input_tokens,
                    output_tokens=spent.output_tokens,
                    total_tokens=spent.total_tokens,
                    cached_input_tokens=spent.cached_tokens,
                )
            )
        return tuple(told)
