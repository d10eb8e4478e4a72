"""The tools of one agent, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic

from typing_extensions import TypeVar

from agentrt.errors import ToolInvalid
from agentrt.messages import ToolSpec
from agentrt.toolbox.define import Tool

# mypy cannot infer what tools of different signatures in one list have in common; Any lets it accept them.
D_contra = TypeVar("D_contra", contravariant=True, default=Any)


class Registry(Generic[D_contra]):
    """Tools in the order in which they were given.

    Raises:
        ToolInvalid: two of them have one name, or one is no tool.
    """

    def __init__(self, tools: Iterable[Tool[D_contra]]) -> None:
        self._tools: dict[str, Tool[D_contra]] = {}
        for tool in tools:
            if not isinstance(tool, Tool):  # pyright: ignore[reportUnnecessaryIsInstance] - not all users check types
                raise ToolInvalid(f"{getattr(tool, '__name__', repr(tool))} is not a tool; write @tool above it")
            if tool.name in self._tools:
                raise ToolInvalid(f'two tools are called "{tool.name}"; give one another name: @tool(name=...)')
            self._tools[tool.name] = tool
        self.specs: tuple[ToolSpec, ...] = tuple(tool.spec for tool in self._tools.values())

    def __iter__(self) -> Iterator[Tool[D_contra]]:
        return iter(self._tools.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    def get(self, name: str) -> Tool[D_contra] | None:
        """The tool of that name, or None: the model may ask for what does not exist."""
        return self._tools.get(name)
