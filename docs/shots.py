"""Makes docs/page-light.png and docs/page-dark.png: the page over a real server and a real run, in Chromium.

The model is scripted and the tools wait as long as services do, so that the picture is the same on every machine; all
else is what it is. Run it as `.venv/bin/python docs/shots.py`; it needs chromium.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, async_playwright

from agentrt import Agent, Context, Runtime, ToolError, tool
from agentrt.server.files import Page
from agentrt.server.listen import serving
from agentrt.testing import ScriptedModel, call, reply

QUESTION = "Can we ship forty A-1207 to Oslo by Friday, and what does it cost?"
ANSWER = """\
Yes: **forty A-1207** can be in Oslo on Thursday, for **€ 61.40**.

| carrier | arrives | price |
|---|---|---|
| Nordfrakt | Thursday | € 61.40 |
| Parcel Post | next Monday | € 38.20 |

- 31 of them lie in Hamburg and 12 in Lyon; *Gdansk* did not answer in time. [1]
- Lamps travel insured, so nothing has to be added to the price. [2]
"""
SHELVES = {"hamburg": (0.62, 31), "lyon": (0.94, 12)}
CARRIERS = {"nordfrakt": (0.81, "Thursday, EUR 61.40"), "parcel-post": (1.27, "next Monday, EUR 38.20")}


@tool(effect="read", timeout=1.1)
async def stock(sku: str, warehouse: str) -> int:
    """Units of an article in a warehouse."""
    seconds, units = SHELVES.get(warehouse, (60.0, 0))
    await asyncio.sleep(seconds)
    return units


@tool(effect="read")
async def quote(carrier: str, to: str, units: int) -> str:
    """What a carrier asks, and when it arrives."""
    if carrier not in CARRIERS:
        await asyncio.sleep(0.34)
        raise ToolError(f"{carrier} does not deliver to {to}")
    seconds, offer = CARRIERS[carrier]
    await asyncio.sleep(seconds)
    return offer


@tool(effect="read")
async def search(ctx: Context, query: str) -> str:
    """Search the handbook."""
    await asyncio.sleep(0.47)
    pages = {"stock-levels": "How stock is counted", "insurance": "Insurance of lamps", "oslo": "Deliveries to Norway"}
    found = [{"id": page, "title": title, "uri": f"https://handbook.example/{page}"} for page, title in pages.items()]
    await ctx.emit({"sources": found})
    return "Lamps travel insured."


def model() -> ScriptedModel:
    def answer(request: dict[str, Any]) -> Any:
        turns = sum(message["role"] == "assistant" for message in request["messages"])
        if turns == 0:
            stores = [call("stock", sku="A-1207", warehouse=place) for place in ("hamburg", "lyon", "gdansk")]
            calls = [*stores, call("search", query="insurance of lamps, deliveries to Oslo")]
            return reply(calls=calls, pieces=6, pause=0.03, usage=(412, 71))
        if turns == 1:
            carriers = ("nordfrakt", "parcel-post", "alpine")
            calls = [call("quote", carrier=carrier, to="Oslo", units=40) for carrier in carriers]
            return reply(calls=calls, pieces=6, pause=0.03, usage=(655, 64))
        return reply(ANSWER, pieces=80, pause=0.012, usage=(861, 122))

    return ScriptedModel(answer)


async def shot(browser: Browser, url: str, scheme: Literal["light", "dark"]) -> None:
    page = await browser.new_page(
        viewport={"width": 1040, "height": 900}, color_scheme=scheme, device_scale_factor=1.5, reduced_motion="reduce"
    )
    await page.goto(url)
    await page.locator("textarea").fill(QUESTION)
    await page.keyboard.press("Enter")
    await page.get_by_text("tokens in").wait_for()
    await page.mouse.move(0, 0)
    await page.screenshot(path=Path(__file__).parent / f"page-{scheme}.png")
    await page.close()


async def main() -> None:
    clerk = Agent(name="clerk", model="scripted:clerk", tools=[stock, quote, search])
    async with (
        Runtime(providers=[model().provider("scripted")]),
        serving(clerk, port=0, page=Page(title="clerk")) as up,
    ):
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--force-color-profile=srgb"]
            )
            for scheme in ("light", "dark"):
                await shot(browser, up.url, scheme)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
