"""Whether a function can be called in another process, which is told no more than its name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from agentrt.errors import ToolInvalid


def check_travels(function: Callable[..., Any], tool_name: str) -> None:
    """Refuse a function that a worker process could not find by its module and name.

    That its name leads to it can only be seen once its module is there; `Processes.start` does.

    Raises:
        ToolInvalid: the text says what to write instead.
    """
    refused = _refusal(function)
    if refused is not None:
        raise ToolInvalid(f'tool "{tool_name}": run_in="process", but {refused}')


@cache
def main_module() -> tuple[str, bool]:
    """What the program's `__main__` is for another process: a module's name and False, or a file's path and True.

    The name is empty if it is neither, but a prompt, a notebook, `python -c` or an archive.
    """
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return ("" if spec.name == "__main__" else spec.name), False
    path = getattr(main, "__file__", None)
    if path is None or not Path(path).is_file():
        return "", False
    return str(Path(path).resolve()), True


def _refusal(function: Callable[..., Any]) -> str | None:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if sys.platform == "win32":
        return "worker processes are for Linux and macOS"
    if inspect.iscoroutinefunction(function):
        return "it is async, and runs on the loop; write it with def alone"
    if inspect.ismethod(function) or not isinstance(module, str) or not isinstance(name, str):
        return "it is a method or an object; a process is told a name, so write a function of a module that makes it"
    if "<" in name:
        return f"{name} is a lambda or within a function; a process is told a name, so define it at a module's top"
    if module == "__main__" and not main_module()[0]:
        return "it is defined at a prompt, in a notebook or by python -c; write it into a module"
    return None
