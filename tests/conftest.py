"""How the tests run: the same examples every time, and no deadline on a busy machine."""

from __future__ import annotations

import asyncio.constants
import linecache
import traceback
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")

STACK = 4
"""Frames that asyncio notes with each callback, future and task in development mode, to say where they came from.

Of a future it would note all of them, some fifty under pytest, and look whether each one's file has changed. That is
most of what the mode costs; everything that it checks is checked all the same.
"""


def _unchanged(_filename: str | None = None) -> None:
    """No file of ours changes while the tests run."""


vars(asyncio.constants)["DEBUG_STACK_DEPTH"] = STACK
traceback.extract_stack.__defaults__ = (None, STACK)
vars(linecache)["checkcache"] = _unchanged


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let the report of a test that logs half a surrogate pair travel from its worker as any other."""
    return _sendable((yield))


def _sendable(told: Any) -> Any:
    match told:
        case str():
            return told.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {key: _sendable(value) for key, value in told.items()}
        case list() | tuple():
            return type(told)(map(_sendable, told))
        case _:
            return told
