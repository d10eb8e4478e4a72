"""`agentrt demo`: ask about Python and the packages installed here."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module

from rich.console import Console

from agentrt.agent import Agent, Budget
from agentrt.cli.configured import overridden, runtime_options
from agentrt.cli.demo_world import demo_tools
from agentrt.cli.leaving import run_command
from agentrt.cli.view import RunView
from agentrt.configuration.config import Configuration
from agentrt.errors import RunFailed, SettingInvalid
from agentrt.local.rules import RulesProvider
from agentrt.local.wire import serve
from agentrt.offloop import aside
from agentrt.providers import Provider
from agentrt.runs.asked import as_deadline
from agentrt.runtime import Runtime
from agentrt.server.files import Page
from agentrt.verbs import stream

INSTRUCTIONS = """\
You answer questions about the Python language and about the Python packages installed on this machine.
Find out by the tools, call those that do not depend on each other in one turn, and say nothing they did not say.
Cite what you used as [1], [2] behind each statement and list the sources at the end: number, title, address.
If the tools do not tell, say that you cannot tell.
"""

EXAMPLES = (
    "which installed packages need anyio, and what does each of them do?",
    "how does `with` work?",
    "what does httpx2 need, and under which condition?",
)

GRACE = 0.5
"""Seconds that a cancelled tool has: Ctrl-C is to leave within one."""

RULES = "local:rules"

THREAD = "demo"


def demo(arguments: argparse.Namespace) -> int:
    """Run the demo; returns its exit code."""
    # The client's package takes about a second to import: it may come while documents are indexed.
    threading.Thread(target=import_module, args=("openai",), daemon=True).start()
    configuration = Configuration.read(arguments.config)
    stragglers: list[str] = []
    return run_command(_demo(arguments, configuration, stragglers), left_behind=lambda: bool(stragglers))


async def _demo(arguments: argparse.Namespace, configuration: Configuration, stragglers: list[str]) -> int:
    console = Console()
    budget, _ = Budget(turns=arguments.turns), as_deadline(_deadline(arguments))
    agent = Agent(name="demo", model=arguments.model, instructions=INSTRUCTIONS, budget=budget)
    question = " ".join(arguments.question).strip()
    if arguments.serve and question:
        raise SettingInvalid("a question and --serve together: ask on the page")
    options = runtime_options(configuration, arguments.journal, grace=GRACE)
    configured: Sequence[Provider] = options.pop("providers", ())
    async with (
        _providers(arguments.model) as providers,
        Runtime(**options, providers=(*providers, *configured)) as runtime,
    ):
        runtime.check(agent)
        try:
            async with demo_tools(console, arguments.corpus, arguments.without) as tools:
                agent = Agent(name="demo", model=arguments.model, instructions=INSTRUCTIONS, tools=tools, budget=budget)
                _introduce(console, arguments.model)
                if arguments.serve:
                    return await _serve(arguments, configuration, agent)
                if question:
                    return await _ask(console, agent, question, _deadline(arguments))
                return await _chat(console, agent, _deadline(arguments))
        finally:
            stragglers += runtime.stragglers


@asynccontextmanager
async def _providers(model: str) -> AsyncGenerator[tuple[Provider, ...], None]:
    """Who answers by the rules, if nobody else is to; models are the Runtime's to find."""
    if model != RULES:
        yield ()
        return
    async with serve(RulesProvider()) as server:
        yield (Provider(name="local", base_url=f"{server.url}/v1"),)


def _deadline(arguments: argparse.Namespace) -> float:
    if arguments.deadline is not None:
        return float(arguments.deadline)
    return 900.0 if arguments.model.startswith("local:") and arguments.model != RULES else 120.0


def _introduce(console: Console, model: str) -> None:
    if model == RULES:
        text = (
            "No language model is in use: local:rules plans by rules and answers by quoting.\n"
            "To use one: OPENAI_API_KEY=... ./dev demo --model openai:gpt-5-mini"
        )
    elif model.startswith("local:"):
        text = f"Asking {model}, on this machine: its first words may take minutes."
    else:
        text = f"Asking {model}."
    console.print(text, style="dim", highlight=False)


async def _serve(arguments: argparse.Namespace, configuration: Configuration, agent: Agent) -> int:
    from agentrt.cli.serve import serve_until_told  # noqa: PLC0415 - it brings websockets

    options = {"page": Page(title="agentrt demo", examples=EXAMPLES), **configuration.serve}
    return await serve_until_told(agent, browse=arguments.open, **overridden(options, arguments, ["port"]))


async def _ask(console: Console, agent: Agent, question: str, deadline: float) -> int:
    with RunView(console) as view:
        async with stream(agent, question, thread=THREAD, deadline=deadline) as running:
            async for event in running:
                view.show(event)
            try:
                await running.answer()
            except RunFailed as failed:
                print(f"agentrt: {failed}", file=sys.stderr)
                return 1
    return 0


async def _chat(console: Console, agent: Agent, deadline: float) -> int:
    """Questions from standard input, each seeing those before it, until it ends."""
    if console.is_terminal:
        console.print("Ask away; an empty line or Ctrl-D leaves.", style="dim")
    while True:
        if console.is_terminal:
            console.print("\n[bold]>[/bold] ", end="")
        line = await aside(sys.stdin.readline)
        if line.strip() in {"", "quit", "exit"}:
            return 0
        await _ask(console, agent, line.strip(), deadline)
