"""The terminal view of a run: tool calls side by side on one time axis, then the answer as it comes.

While calls run, a live table shows them; when text begins, the table stays where it is and the text
follows below, printed piece by piece. Without a terminal the same is printed as plain lines.
"""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from agentrt.cli.timeline import Row, Timeline
from agentrt.cli.wrap import Wrap
from agentrt.events import AnyEvent, Rewound, RunEnded, RunStarted, TextDelta, ToolReturned, ToolStarted

_STYLES = {"running": "cyan", "writing": "cyan", "ok": "green", "error": "red", "timeout": "red", "cancelled": "yellow"}
_MARKS = {"writing": "✎", "ok": "✓", "error": "✗", "timeout": "✗", "cancelled": "■"}
_BAR = 24
_REST = 20 + _BAR + 10 + 16
"""Cells of a row that its detail leaves to mark, name, bar, time and note."""
_COLUMNS: tuple[tuple[JustifyMethod, int], ...] = (
    ("left", 1), ("left", 5), ("left", 4), ("left", 1), ("right", 8), ("left", 0),
)  # fmt: skip
"""Mark, name, detail, bar, time, note: how they stand, and the cells they keep on a narrow terminal."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_REFRESH = 12.0
"""Frames a second of the live table."""


class RunView:
    """Shows one run. Feed it with `show`; leave its block to put the terminal right."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._timeline = Timeline()
        self._live: Live | None = None
        self._clock = console.get_time
        self._offset = 0.0
        self._drawn = 0
        self._wrap: Wrap | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._timeline.interrupt(self._clock() + self._offset)
        self._settle()

    def show(self, event: AnyEvent) -> None:
        """Take in one event and draw what it changed."""
        self._timeline.add(event)
        match event:
            case RunStarted():
                self._offset = event.at - self._clock()
                self._open()
            case ToolStarted() if self._live is None:
                self._drawn = len(self._timeline.rows) - 1  # a model spoke before it called: a table below its words
                self._open()
            case TextDelta():
                self._say(event.text)
            case Rewound():
                self._say("\n[the reply broke off; asking again]\n")
            case ToolReturned() if not self._console.is_terminal:
                self._console.print(f"  {event.name}: {event.status}, {event.seconds * 1e3:.0f} ms", highlight=False)
            case RunEnded():
                self._settle()
                self._end_words()
                self._total(event)
            case _:
                pass

    def _open(self) -> None:
        """Begin a live table of the rows from here on."""
        self._end_words()
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=_REFRESH)
            self._live.start()

    def _say(self, text: str) -> None:
        self._settle()
        if self._wrap is None:
            self._wrap = Wrap(self._console.width if self._console.is_terminal else sys.maxsize)
            self._console.print()
        self._print(self._wrap.feed(text))

    def _end_words(self) -> None:
        """Print the word that was held back, and end its line."""
        if self._wrap is not None:
            self._print(self._wrap.rest() + "\n")
            self._wrap = None

    def _print(self, text: str) -> None:
        if text:
            self._console.print(_harmless(text), end="", markup=False, highlight=False, soft_wrap=True)

    def _settle(self) -> None:
        """Draw the table once more and leave it where it stands."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _table(self) -> RenderableType:
        now = self._timeline.seconds or self._timeline.now(self._clock() + self._offset)
        span = max([now, *(row.ended or now for row in self._timeline.rows)], default=0.0) or 1e-9
        table = Table.grid(padding=(0, 1))
        for justify, least in _COLUMNS:
            table.add_column(justify=justify, min_width=least, no_wrap=True, overflow="ellipsis")
        for row in self._timeline.rows[self._drawn :]:
            style = _STYLES.get(row.state, "cyan")
            ended = now if row.ended is None else row.ended
            mark: RenderableType = (
                Text(_MARKS[row.state], style) if row.state in _MARKS else Spinner("dots", style=style)
            )
            table.add_row(
                mark,
                Text(row.label, "bold" if row.label == "model" else ""),
                Text(_detail(row, max(12, self._console.width - _REST)), "dim"),
                bar(row.started, ended, span, style if row.label != "model" else "blue"),
                f"{(ended - row.started) * 1e3:,.0f} ms",
                Text(row.note, style),
            )
        return Group("", table)

    def _total(self, event: RunEnded) -> None:
        timeline, usage = self._timeline, event.usage
        about = "about " if usage.estimated else ""
        self._console.print(
            f"\n{_many(timeline.turns, 'turn')}, {_many(timeline.calls, 'tool call')}, "
            f"{about}{usage.input_tokens:,} tokens in and {usage.output_tokens:,} out, {timeline.seconds:.2f} s",
            style="dim",
            highlight=False,
        )


def _harmless(text: str) -> str:
    """Without what would steer the terminal: models and documents are not trusted with it."""
    return _CONTROLS.sub("", text)


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def bar(started: float, ended: float, span: float, style: str) -> Text:
    """A bar on an axis of `span` seconds, at least one cell long."""
    left = min(_BAR - 1, int(started / span * _BAR))
    length = max(1, min(_BAR - left, round((ended - started) / span * _BAR)))
    text = Text(" " * left)
    text.append("━" * length, style)
    text.append(" " * (_BAR - left - length))
    return text


def _short(value: str) -> str:
    """Of an address the path says enough."""
    return urlsplit(value).path or value if value.startswith(("http://", "https://")) else value


def _detail(row: Row, width: int) -> str:
    """A call's arguments, short; the end of a long one says more than its beginning."""
    try:
        arguments = msgspec.json.decode(row.detail, type=dict[str, Any])
    except msgspec.DecodeError:
        return _harmless(row.detail[:width])
    shown = _harmless(", ".join(_short(str(value)) for value in arguments.values()))
    return shown if len(shown) <= width else f"…{shown[1 - width :]}"
