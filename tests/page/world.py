"""What the browser tests share: an agent whose tools wait for the test, a server, a line that can be cut, a browser."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright

from agentrt import Agent, Runtime, tool
from agentrt.server.listen import Server, serving
from agentrt.testing import ScriptedModel

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


class Line:
    """A way for bytes between browser and server, that can be cut and kept cut."""

    def __init__(self) -> None:
        self.url = ""
        self.up = True
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break every connection, without a goodbye."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def to(self, url: str) -> AsyncGenerator[Line, None]:
        address = urlsplit(url)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not self.up:
                writer.transport.abort()
                return
            other_reader, other_writer = await asyncio.open_connection(address.hostname, address.port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, other_writer))
                group.create_task(self._carry(other_reader, writer))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            yield self
        finally:
            server.close()
            self.cut()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class World:
    """Everything a test needs. The agent's tool `look(place)` waits until `go` is set."""

    def __init__(self, page: Page, line: Line, server: Server, go: asyncio.Event, cancelled: list[str]) -> None:
        self.page = page
        self.line = line
        self.server = server
        self.go = go
        self.cancelled = cancelled
        self.complaints: list[str] = []
        page.on("console", lambda message: self._complained(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _complained(self, kind: str, text: str) -> None:
        # That a socket which was cut could not be opened again at once is the browser's to say.
        if kind in {"error", "warning"} and not text.startswith("WebSocket connection to"):
            self.complaints.append(text)

    async def ask(self, question: str) -> None:
        await self.page.fill("#input", question)
        await self.page.press("#input", "Enter")

    async def until(self, script: str) -> None:
        """Wait until this is true in the page. (Playwright's own way evaluates text, which the page forbids.)"""
        look = f"const look = () => ({script}) ? done() : requestAnimationFrame(look); look();"
        async with asyncio.timeout(20):
            await self.page.evaluate(f"() => new Promise((done) => {{ {look} }})")

    async def shown(self, selector: str) -> list[str]:
        return await self.page.locator(selector).all_inner_texts()


def look_tool(go: asyncio.Event, cancelled: list[str]) -> Callable[[str], Awaitable[str]]:
    async def look(place: str) -> str:
        """Look there.

        Args:
            place: Where.
        """
        try:
            await go.wait()
        except asyncio.CancelledError:
            cancelled.append(place)
            raise
        return f"nothing in {place}"

    return look


async def _open(browser: Browser, url: str) -> Page:
    page = await browser.new_page(viewport={"width": 1000, "height": 900})
    await page.add_init_script(WATCH)
    await page.goto(url)
    await page.wait_for_selector('#pill[data-state="connected"]')
    return page


@asynccontextmanager
async def world(model: ScriptedModel, *agents: str) -> AsyncGenerator[World, None]:
    """On leaving, the browser must have had nothing to complain of."""
    go, cancelled = asyncio.Event(), list[str]()
    tools = [tool(look_tool(go, cancelled), effect="read")]
    served = [Agent(name=name, model="scripted:m", tools=tools) for name in agents or ("clerk",)]
    async with asyncio.timeout(60), Runtime(providers=[model.provider("scripted")]) as runtime:
        async with serving(served, port=0, runtime=runtime) as server, Line().to(server.url) as line:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = await _open(browser, line.url)
                here = World(page, line, server, go, cancelled)
                yield here
                assert await page.evaluate("window.violations") == []
                assert here.complaints == []
                await browser.close()
