"""An answer that is a value, without a key and without a network: a receipt is read, and once corrected.

    python examples/structured_output.py

The model's first answer has a mistake. It is told which, and its second answer is what the program works with.
"""

from __future__ import annotations

import asyncio
from datetime import date

from pydantic import BaseModel, Field, model_validator

from agentrt import Agent, Runtime, stream
from agentrt.events import OutputRejected
from agentrt.testing import ScriptedModel


class Item(BaseModel):
    name: str
    cents: int = Field(ge=0)


class Receipt(BaseModel):
    shop: str
    day: date
    items: list[Item]
    total_cents: int

    @model_validator(mode="after")
    def adds_up(self) -> Receipt:
        total = sum(item.cents for item in self.items)
        if total != self.total_cents:
            raise ValueError(f"the items add up to {total} cents, and total_cents is {self.total_cents}")
        return self


READ = '{"shop": "Lamps & Co", "day": "2026-11-20", "items": [{"name": "lamp", "cents": 1950}], "total_cents": %d}'

reader = Agent(
    name="reader", model="openai:gpt-5-mini", instructions="Read the receipt; amounts are in cents.", output=Receipt
)


async def main() -> None:
    model = ScriptedModel([READ % 1905, READ % 1950])
    async with Runtime(providers=[model.provider("openai")]):
        async with stream(reader, "Lamps & Co, 20 Nov 2026: 1 lamp 19.50. Total 19.50.") as running:
            async for event in running:
                if isinstance(event, OutputRejected):
                    print(event.message)
            receipt = (await running.answer()).output
    print(f"{receipt.shop}, {receipt.day:%d.%m.%Y}: {receipt.total_cents / 100:.2f} for {len(receipt.items)} item")


if __name__ == "__main__":
    asyncio.run(main())
