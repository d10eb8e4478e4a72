"""`agentrt serve`: agents of your own behind a socket, and the page."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import signal
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Unpack

from agentrt.agent import Agent
from agentrt.cli.configured import overridden, runtime_options
from agentrt.cli.leaving import run_command
from agentrt.configuration.config import Configuration
from agentrt.errors import SettingInvalid
from agentrt.runtime import Runtime
from agentrt.server.listen import ServeOptions, serving
from agentrt.server.settings import ServeSettings

_NAME = re.compile(r"(?!.*\.py:)[\w.]+:[\w.]+")


def serve(arguments: argparse.Namespace) -> int:
    """Serve the agent that was named; returns the exit code."""
    configuration = Configuration.read(arguments.config)
    agents = imported(arguments.agent, debug=arguments.debug)
    stragglers: list[str] = []
    return run_command(_serve(arguments, configuration, agents, stragglers), left_behind=lambda: bool(stragglers))


async def _serve(
    arguments: argparse.Namespace, configuration: Configuration, agents: Sequence[Agent[Any]], stragglers: list[str]
) -> int:
    runtime = Runtime(**runtime_options(configuration, arguments.journal))
    options = overridden(configuration.serve, arguments, ("host", "port", "page"))
    if arguments.grace is not None:
        options["settings"] = replace(options.get("settings") or ServeSettings(), grace=arguments.grace)
    try:
        async with runtime:
            return await serve_until_told(agents, **options, runtime=runtime)
    finally:
        stragglers += runtime.stragglers


def imported(name: str, *, debug: bool = False) -> Sequence[Agent[Any]]:
    """The agents that "module:attribute" names; looked for in this folder first.

    Raises:
        SettingInvalid: there is none.
    """
    if not _NAME.fullmatch(name):
        raise SettingInvalid(f'"{name}": expected MODULE:AGENT; "shop:clerk" is `clerk` of shop.py in this folder')
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = import_module(module)
    except Exception as error:
        if debug:
            raise
        hint = "" if isinstance(error, ModuleNotFoundError) and error.name == module else "; --debug shows where"
        raise SettingInvalid(f'"{module}" cannot be imported: {type(error).__name__}: {error}{hint}') from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise SettingInvalid(f'"{module}" has no "{attribute}"')
        found = getattr(found, part)
    kind = type(found).__name__
    agents: Sequence[Any] = found if kind in ("list", "tuple") else [found]
    if agents and all(isinstance(one, Agent) for one in agents):
        return agents
    raise SettingInvalid(f'"{name}" is of type {kind}; expected an Agent, or a list of at least one')


async def serve_until_told(
    agent: Agent[Any] | Sequence[Agent[Any]], *, browse: bool = False, **options: Unpack[ServeOptions]
) -> int:
    """Serve until SIGTERM, which is a good end, or until cancelled."""
    logging.basicConfig(format="agentrt: %(message)s", level=logging.WARNING)
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        if not terminated:
            terminated = True
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    grace = (options.get("settings") or ServeSettings()).grace
    try:
        async with serving(agent, **options) as server:
            _say(f"open {server.url}" if options.get("page", True) else f"serving {server.ws_url}")
            if browse:
                webbrowser.open(server.url)
            try:
                await loop.create_future()
            finally:
                if server.active_runs:
                    _say(f"stopping; what runs has up to {grace:g} s to end. Ctrl-C leaves at once.")
    except asyncio.CancelledError:
        if not terminated:
            raise
        task.uncancel()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)
