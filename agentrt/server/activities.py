"""Activities: what goes on in a run beside its messages, each shown once and then changed. Pure.

An activity's id is its kind without our prefix, and what it is about: `tool:<call>`. Times are ms since 1970.
"""

from __future__ import annotations

from typing import Any

from agentrt.server import agui_events as ui

MODEL = "agentrt.model"
TOOL = "agentrt.tool"
SOURCES = "agentrt.sources"
APPROVAL = "agentrt.approval"

Place = tuple[str, str]
"""Kind of an activity, and what it is about."""


def shown(kind: str, which: str, **content: Any) -> ui.ActivitySnapshot:
    """The activity with all that it holds, in place of what it held before."""
    return ui.ActivitySnapshot(message_id=_id(kind, which), activity_type=kind, content=content)


def changed(kind: str, which: str, **content: Any) -> ui.ActivityDelta:
    """A change of an activity that was shown."""
    patch = tuple(ui.Add(f"/{name}", value) for name, value in content.items())
    return ui.ActivityDelta(message_id=_id(kind, which), activity_type=kind, patch=patch)


def ms(seconds: float) -> int:
    """Seconds as the wire has them."""
    return round(seconds * 1000)


def _id(kind: str, which: str) -> str:
    return f"{kind.removeprefix('agentrt.')}:{which}"
