"""The page in a browser, over a real server: what people see."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

from agentrt.testing import ScriptedModel, call, reply
from agentrt.testing.faults import status
from tests.page.world import World, in_a_browser, world

pytestmark = in_a_browser

PLACES = ["cellar", "attic", "garden", "shed"]
CALLS = reply("I look everywhere.", calls=[call("look", place=place) for place in PLACES])
TALE = " ".join(f"word{n}" for n in range(300))

OVER = "document.querySelector('footer:not([hidden])') && !document.body.classList.contains('busy')"


ALL = ".bubble, .prose, summary, .name, .word, .time, .chip, footer p"


def live(n: int) -> str:
    return f"document.querySelectorAll('.bar.live').length === {n}"


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_calls_that_run_at_once_are_bars_side_by_side() -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS, reply("Nothing **anywhere**.", pieces=4)])) as here:
            await here.ask("Where is it?")
            await here.until(live(4))
            bars = await here.page.evaluate(
                "[...document.querySelectorAll('.bar.live')].map((bar) => bar.getBoundingClientRect().toJSON())"
            )
            assert max(bar["left"] for bar in bars) < min(bar["right"] for bar in bars)
            assert all(above["bottom"] < below["top"] for above, below in pairwise(bars))
            assert await here.shown("summary b") == ["4 tool calls"]
            assert "4 running" in (await here.shown("summary span"))[0]
            assert await here.shown(".name b") == ["model", *["look"] * 4]
            assert await here.shown(".name i") == ["", *PLACES]
            grown = await _width(here)
            await here.until(f"document.querySelector('.bar.live').getBoundingClientRect().width > {grown} + 20")
            here.go.set()
            await here.until(OVER)
            assert await here.page.locator(".bar.ok").count() == 4
            assert await here.page.locator(".bar.live").count() == 0
            assert await here.shown(".bubble") == ["Where is it?"]
            assert await here.shown(".prose") == ["I look everywhere.", "Nothing anywhere."]
            assert await here.shown(".prose strong") == ["anywhere"]
            assert "20 tokens in, 10 out" in (await here.shown("footer"))[0]
            assert await here.page.inner_text("#live") == "Nothing **anywhere**."

    run(main())


async def _width(here: World) -> float:
    box = await here.page.locator(".bar.live").first.bounding_box()
    assert box is not None
    return box["width"]


PILLS = """() => {
    window.pills = [];
    const pill = document.querySelector("#pill");
    new MutationObserver(() => pills.push(pill.textContent)).observe(
        pill, { childList: true, characterData: true, subtree: true }
    );
}"""


def test_a_cut_socket_is_seen_and_costs_no_word_and_doubles_none() -> None:
    model = ScriptedModel([reply(TALE, pieces=200, pause=0.01)])

    async def main() -> None:
        async with world(model) as here:
            await here.ask("Tell.")
            await here.until("document.querySelector('.prose')?.textContent.length > 200")
            here.line.up = False
            here.line.cut()
            await here.until("document.querySelector('#pill').textContent.startsWith('reconnecting')")
            seen = await here.page.inner_text(".prose")
            assert TALE.startswith(seen.strip())
            await here.page.evaluate(PILLS)  # what it says may be gone before a busy machine looks again
            here.line.up = True
            await here.page.evaluate("dispatchEvent(new Event('online')) && undefined")
            await here.until("pills.some((said) => /^replayed [\\d,]+ events?$/.test(said))")
            await here.until(OVER)
            assert await here.shown(".prose") == [TALE]
            assert await here.shown(".bubble") == ["Tell."]
            await here.until("document.querySelector('#pill').textContent === 'connected'")
            assert len(model.requests) == 1

    run(main())


def test_escape_stops_the_run_and_its_tools() -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS])) as here:
            await here.ask("Where is it?")
            await here.until(live(4))
            await here.page.keyboard.press("Escape")
            await here.until(OVER)
            assert sorted(here.cancelled) == sorted(PLACES)
            assert await here.page.locator(".bar.cancelled").count() == 4
            assert (await here.shown("footer"))[0].startswith("Stopped · ")
            assert await here.page.locator(".problem").count() == 0
            assert here.server.active_runs == 0

    run(main())


def test_the_button_stops_it_too() -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS])) as here:
            await here.ask("Where is it?")
            await here.until(live(4))
            assert await here.page.get_attribute("#send", "title") == "Stop (Esc)"
            await here.page.click("#send")
            await here.until(OVER)
            assert len(here.cancelled) == 4

    run(main())


def test_a_reload_shows_everything_again_and_goes_on_with_what_runs() -> None:
    model = ScriptedModel([reply("Hello."), CALLS, reply("Nothing anywhere.")])

    async def main() -> None:
        async with world(model) as here:
            await here.ask("Hi.")
            await here.until(OVER)
            await here.ask("Where is it?")
            await here.until(live(4))
            await here.page.reload()
            await here.until(live(4))
            assert await here.shown(".bubble") == ["Hi.", "Where is it?"]
            here.go.set()
            await here.until("document.querySelectorAll('footer:not([hidden])').length === 2")
            answers = await here.shown(".prose")
            assert answers == ["Hello.", "I look everywhere.", "Nothing anywhere."]
            before = await here.shown(ALL)
            await here.page.reload()
            await here.until("document.querySelectorAll('footer:not([hidden])').length === 2")
            await here.until(f"document.querySelectorAll('{ALL}').length === {len(before)}")
            assert await here.shown(ALL) == before
            assert len(model.requests) == 3

    run(main())


def test_a_new_chat_is_another_thread() -> None:
    model = ScriptedModel([reply("Hello."), reply("Who?")])

    async def main() -> None:
        async with world(model) as here:
            await here.ask("I am Ada.")
            await here.until(OVER)
            await here.page.click("#renew")
            assert await here.shown(".bubble") == []
            assert await here.page.is_visible("#empty")
            await here.ask("Who am I?")
            await here.until(OVER)
            assert [len(request["messages"]) for request in model.requests] == [1, 1]

    run(main())


def test_with_several_agents_one_can_be_chosen() -> None:
    model = ScriptedModel([reply("Hello."), reply("Ahoy.")])

    async def main() -> None:
        async with world(model, "clerk", "pirate") as here:
            await here.page.select_option("#agents", "pirate")
            await here.ask("Hi.")
            await here.until(OVER)
            await here.page.click("footer .quiet")
            assert '"agent":"pirate"' in await here.page.inner_text("#drawer")
            await here.page.reload()
            await here.until("document.querySelector('#agents').value === 'pirate'")

    run(main())


def test_an_error_is_a_card_with_a_way_on() -> None:
    model = ScriptedModel([reply("Hello.")])
    model.faults.then(status(400, message="secret"))

    async def main() -> None:
        async with world(model) as here:
            await here.ask("Hi.")
            await here.until(OVER)
            problem = (await here.shown(".problem"))[0]
            assert "provider_error" in problem
            assert "secret" not in problem
            await here.page.click(".problem button")
            await here.until("document.querySelectorAll('footer:not([hidden])').length === 2")
            assert await here.shown(".prose") == ["Hello."]

    run(main())


def test_a_run_that_the_server_does_not_know_is_said_to_be_gone() -> None:
    async def main() -> None:
        async with world(ScriptedModel([])) as here:
            await here.page.evaluate(
                "localStorage.setItem('agentrt.thread', JSON.stringify("
                "{id: 't1', agent: '', runs: [{id: 'long-ago', question: 'Do you remember?'}]}))"
            )
            await here.page.reload()
            await here.until(OVER)
            assert await here.shown(".bubble") == ["Do you remember?"]
            assert "does not keep this run any more" in (await here.shown(".problem"))[0]

    run(main())


def test_a_lane_opens_the_drawer_and_escape_gives_the_focus_back() -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS, reply("Nothing anywhere.")])) as here:
            here.go.set()
            await here.ask("Where is it?")
            await here.until(OVER)
            lane = here.page.locator(".lane").nth(2)
            await lane.focus()
            await here.page.keyboard.press("Enter")
            drawer = await here.page.inner_text("#drawer")
            assert '"place": "attic"' in drawer
            assert "nothing in attic" in drawer
            assert await here.page.evaluate("document.activeElement.id") == "about"
            await here.page.locator(".lane").nth(3).focus()
            await here.until("document.querySelector('#drawer').textContent.includes('nothing in garden')")
            await here.page.keyboard.press("Escape")
            assert not await here.page.is_visible("#drawer")
            assert await here.page.evaluate("document.activeElement.ariaLabel") == "look garden, ok"

    run(main())


def test_the_events_can_be_kept() -> None:
    async def main() -> None:
        async with world(ScriptedModel([reply("Hello.")])) as here:
            await here.ask("Hi.")
            await here.until(OVER)
            await here.page.click("footer .quiet")
            async with here.page.expect_download() as waiting:
                await here.page.click("#drawer .quiet")
            file = await (await waiting.value).path()
            lines = file.read_text().splitlines()
            assert '"RUN_STARTED"' in lines[0]
            assert '"RUN_FINISHED"' in lines[-1]

    run(main())


def test_the_theme_is_chosen_once() -> None:
    async def main() -> None:
        async with world(ScriptedModel([])) as here:
            ground = "getComputedStyle(document.documentElement).backgroundColor"
            light = await here.page.evaluate(ground)
            await here.page.click("#theme")
            dark = await here.page.evaluate(ground)
            assert dark != light
            await here.page.reload()
            assert await here.page.evaluate(ground) == dark

    run(main())


MARKDOWN = [
    ("one\ntwo", "<p>one<br>two</p>"),
    ("# Head #\ntext", "<h3>Head</h3><p>text</p>"),
    ("**b** *e* _e_ `c` 2 * 3 * 4 snake_case_name", None),
    ("- a\n- b\n  - c\n\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"),
    ("3. a\n   still a\n4. b", '<ol start="3"><li>a<br>still a</li><li>b</li></ol>'),
    ("- a\n    - b\n        - c", "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>"),
    ("```py\nx = '<b>'\n", '<pre tabindex="0" data-language="py"><code>x = \'&lt;b&gt;\'\n</code></pre>'),
    ("> said\n> so\n\nthen", "<blockquote><p>said<br>so</p></blockquote><p>then</p>"),
    ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
    ("[x](javascript:alert(1)) ![i](http://a.b/c.png)", None),
    ("\\*not\\* **un", "<p>*not* **un</p>"),
    ("", ""),
]


def test_markdown_becomes_nodes_and_text_stays_text() -> None:
    async def main() -> None:
        async with world(ScriptedModel([])) as here:
            for text, html in MARKDOWN:
                got = await here.page.evaluate(DRAWN, [text, []])
                if html is not None:
                    assert got == html, text
            inline = await here.page.evaluate(DRAWN, [MARKDOWN[2][0], []])
            assert inline == (
                "<p><strong>b</strong> <em>e</em> <em>e</em> <code>c</code> 2 * 3 * 4 snake_case_name</p>"
            )
            hostile = await here.page.evaluate(DRAWN, [MARKDOWN[9][0], []])
            assert 'href="javascript' not in hostile
            assert "<img" not in hostile
            link = await here.page.evaluate(DRAWN, ["[the guide](https://www.a.org/b/) and https://c.org/d.", []])
            assert 'target="_blank" rel="noopener noreferrer"' in link
            assert "the guide <small>a.org/b</small></a>" in link
            assert link.endswith("c.org/d</a>.</p>")
            table = await here.page.evaluate(DRAWN, ["| a | b |\n|---|--:|\n| 1 | `2` |\n\nend", []])
            assert "<tr><th>a</th><th>b</th></tr><tr><td>1</td><td><code>2</code></td></tr>" in table

    run(main())


DRAWN = """async ([text, cuts]) => {
    const { Prose } = await import("/markdown.js");
    const prose = new Prose(document.createElement("div"));
    for (const cut of [...cuts, text.length]) prose.update(text.slice(0, cut), true);
    return prose.element.innerHTML;
}"""

LONG = "\n\n".join(text for text, _ in MARKDOWN) + "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nThe end.\n"


def test_markdown_that_grows_becomes_what_it_is_when_it_is_whole() -> None:
    async def main() -> None:
        async with world(ScriptedModel([])) as here:
            whole = await here.page.evaluate(DRAWN, [LONG, []])
            for step in (1, 2, 3, 7, 31):
                assert await here.page.evaluate(DRAWN, [LONG, list(range(0, len(LONG), step))]) == whole

    run(main())


SPANS: list[tuple[list[tuple[int, int | None]], int, int]] = [
    ([], 0, 0),
    ([(1, 5), (2, 6), (4, 8)], 3, 12),
    ([(1, 2), (2, 3)], 1, 2),
    ([(1, None), (5, 5)], 2, 9),
]


def test_how_many_ran_at_once_is_counted() -> None:
    together = "async (calls) => (await import('/gantt.js')).together(calls, 10)"

    async def main() -> None:
        async with world(ScriptedModel([])) as here:
            for spans, most, work in SPANS:
                calls = [{"at": {"startedAt": start, "endedAt": end}} for start, end in spans]
                got = await here.page.evaluate(together, [*calls, {"at": {}}])
                assert got == {"most": most, "work": work}

    run(main())
