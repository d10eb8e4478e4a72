"""Makes docs/demo.svg: runs the demo in a real terminal (tmux), looks at it many times a second, and puts
what it saw into one picture that plays. Run it as `.venv/bin/python docs/record.py`; it needs tmux.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

WIDTH, HEIGHT = 100, 38
QUESTION = "which installed packages need anyio, and what does each of them do?"
HOLD = 6.0
"""Seconds for which the last frame stays."""


def tmux(*arguments: str) -> str:
    return subprocess.run(["tmux", "-L", "agentrt", *arguments], capture_output=True, text=True, check=True).stdout


def frames() -> list[tuple[float, str]]:
    """What the terminal showed and when, each change once; seconds from the first."""
    shown = f'$ ./dev demo "{QUESTION}"'
    command = f'printf "%s\\n" {shlex.quote(shown)}; {sys.executable} -m agentrt.cli.main demo "{QUESTION}"; cat'
    tmux("new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), command)
    seen: list[tuple[float, str]] = []
    began = time.monotonic()
    while time.monotonic() - began < 60:
        screen = tmux("capture-pane", "-e", "-p")
        if screen.strip() and (not seen or seen[-1][1] != screen):
            seen.append((time.monotonic() - began, screen))
        if re.search(r"turns, \d+ tool calls", screen):
            break
        time.sleep(0.2)
    tmux("kill-server")
    return [(at - seen[0][0], screen) for at, screen in seen]


def drawn(screen: str, name: str) -> str:
    console = Console(width=WIDTH, record=True, file=io.StringIO(), force_terminal=True)
    lines = screen.rstrip("\n").split("\n")
    console.print(Text.from_ansi("\n".join(lines + [""] * (HEIGHT - len(lines)))))
    return console.export_svg(title="agentrt demo", theme=DIMMED_MONOKAI, unique_id=name)


def animated(seen: list[tuple[float, str]]) -> str:
    """One SVG that shows each frame for as long as it stood."""
    total = seen[-1][0] + HOLD
    head, body = "", ""
    for n, (at, screen) in enumerate(seen):
        svg = drawn(screen, f"f{n}")
        until = seen[n + 1][0] if n + 1 < len(seen) else total
        start, end = at / total * 100, until / total * 100
        still = int(n + 1 == len(seen))  # what shows the last frame where nothing plays
        style = f"#f{n}{{opacity:{still};animation:k{n} {total:.2f}s step-end infinite}}"
        style += f"@keyframes k{n}{{0%{{opacity:{int(n == 0)}}}{start:.3f}%{{opacity:1}}{end:.3f}%{{opacity:0}}}}"
        opening, _, rest = svg.partition(">")
        head = head or opening
        inner = rest.rpartition("</svg>")[0]
        body += f'<style>{style}</style><g id="f{n}">{inner}</g>\n'
    return f"{head}>{body}</svg>\n"


if __name__ == "__main__":
    picture = Path(__file__).with_name("demo.svg")
    picture.write_text(animated(frames()))
    print(f"{picture.name}: {picture.stat().st_size // 1024} KiB")
