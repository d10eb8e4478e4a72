"""`agentrt`: parse the arguments, call one verb, leave in order.

Exit codes: 0 done, 1 it failed (one line on standard error says why), 2 wrong arguments, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from agentrt import __version__
from agentrt.cli.leaving import INTERRUPTED
from agentrt.errors import AgentrtError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    top = argparse.ArgumentParser(prog="agentrt", description="A runtime for LLM agents that call tools.")
    top.add_argument("--version", action="version", version=f"agentrt {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_serve(commands)
    _add_ingest(commands)
    _add_runs(commands)
    _add_config(commands)
    _add_models(commands)
    return top


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="ask about Python and the packages installed here",
        description="Index the Python reference and the READMEs of the packages installed here, and answer "
        "questions about them. Needs neither key nor network.",
    )
    demo.add_argument("question", nargs="*", help="what to ask; without it, a chat")
    demo.add_argument(
        "--model",
        default="local:rules",
        metavar="PROVIDER:NAME",
        help="who answers: local:rules (the default; no language model), openai:NAME, by OPENAI_API_KEY or "
        "OPENAI_BASE_URL, or a model on this machine, local:qwen-1.5b or local:FILE.gguf (see `agentrt models`)",
    )
    demo.add_argument("--corpus", metavar="URL", help="a manifest.jsonl to index in place of the built-in corpus")
    demo.add_argument(
        "--without", action="append", default=[], metavar="TOOL", help="leave a tool out, to see how it answers then"
    )
    demo.add_argument(
        "--deadline",
        type=float,
        metavar="SECONDS",
        help="in the terminal: give up after (default: 120, or 900 for a language model on this machine)",
    )
    demo.add_argument("--turns", type=int, default=10, help="how often the model may be asked (default: 10)")
    demo.add_argument("--serve", action="store_true", help="answer on a web page in place of the terminal")
    demo.add_argument("--port", type=int, help="of the page (default: 8080); 0 is any free one")
    demo.add_argument("--journal", help="where the page's conversations are kept: sqlite:FILE")
    demo.add_argument("--open", action="store_true", help="open the page in a browser")
    _add_file(demo)
    demo.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve an agent by WebSocket, with a page",
        description="Serve an agent of your own. Runs go on when a client is gone, and with a journal on disk also "
        "when the server is stopped and started again. Tools that use Context.deps need a program of yours: "
        "await serve(agent, deps=...).",
    )
    serve.add_argument(
        "agent", metavar="MODULE:AGENT", help="an agent or a list of them, such as clerk of shop.py: shop:clerk"
    )
    serve.add_argument("--host", metavar="ADDRESS", help="one that only this machine reaches (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="default: 8080; 0 is any free one")
    serve.add_argument("--journal", help="where runs are kept: memory (the default) or sqlite:FILE")
    serve.add_argument("--grace", type=float, metavar="SECONDS", help="what runs have left when it stops (default: 5)")
    serve.add_argument("--no-page", dest="page", action="store_const", const=False, help="serve the socket only")
    _add_file(serve)
    serve.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_ingest(commands: Commands) -> None:
    ingest = commands.add_parser(
        "ingest",
        help="put documents into an index that agents search",
        description="Read text, Markdown, reStructuredText, HTML and PDF into an index. Run again, it does only what "
        "has changed. What could not be read is kept in quarantine: `agentrt ingest quarantine --index FILE` lists it. "
        'A line of a manifest is {"path": ...}, a file beside it, or {"url": ...}, and may have a title.',
    )
    ingest.add_argument(
        "source", metavar="SOURCE", help="a folder, a file, a manifest.jsonl, or the address of a page or a manifest"
    )
    ingest.add_argument("--index", metavar="FILE", help="the index, such as kb.sqlite; made if absent")
    ingest.add_argument(
        "--embed",
        metavar="PROVIDER:NAME",
        help="make vectors, too, for searches by meaning: local:minilm, or openai:text-embedding-3-small and the like, "
        "by OPENAI_API_KEY or OPENAI_BASE_URL; to be given every time",
    )
    ingest.add_argument("--dims", type=int, metavar="N", help="numbers in a vector, where the model is not OpenAI's")
    ingest.add_argument("--workers", type=int, metavar="N", help="documents that are parsed at once (default: 2)")
    ingest.add_argument(
        "--allow",
        action="append",
        metavar="HOST:PORT",
        help="may be fetched from though it is not public, such as 127.0.0.1:8000; repeatable",
    )
    ingest.add_argument(
        "--stop-after", type=int, metavar="N", help="give up after so many failures in a row (default: 20)"
    )
    ingest.add_argument(
        "--prune", action="store_const", const=True, help="remove what the source named once and names no more"
    )
    ingest.add_argument("--json", action="store_true", help="print the report as JSON, or the quarantine, one a line")
    _add_file(ingest)
    ingest.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_runs(commands: Commands) -> None:
    runs = commands.add_parser(
        "runs",
        help="list the runs of a journal, show one, replay it, or resume it",
        description="Read a journal, and carry on what was cut off there.",
    )
    actions = runs.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="its runs, in the order in which they started")
    listed.add_argument("--thread", metavar="NAME", help="only those of one thread")
    listed.add_argument("--unfinished", action="store_true", help="only those that have not ended")
    show = actions.add_parser("show", help="the facts of one run, a line each")
    replay = actions.add_parser("replay", help="one run as it was seen when it ran")
    resume = actions.add_parser("resume", help="take over a run that was cut off, and carry it on")
    for action in (show, replay, resume):
        action.add_argument("run", metavar="RUN", help="its id, or the beginning of it")
    replay.add_argument(
        "--speed", type=float, metavar="N", help="N times as fast as it was; 1 is as it was (default: all at once)"
    )
    replay.add_argument(
        "--check",
        metavar="MODULE:AGENT",
        help="print the move that follows from each fact, up to the first fact that does not follow",
    )
    resume.add_argument("agent", metavar="MODULE:AGENT", help="its agent, such as clerk of shop.py: shop:clerk")
    _add_file(resume)
    for action in (listed, show):
        action.add_argument("--json", action="store_true", help="print JSON, one object a line")
    for action in actions.choices.values():
        action.add_argument("--journal", required=True, metavar="PATH", help="the file, such as chat.db")
        action.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_config(commands: Commands) -> None:
    config = commands.add_parser(
        "config",
        help="show what is configured, and where each value comes from",
        description="Read the configuration as the other commands do and print it. Keys are not shown.",
    )
    _add_file(config)
    config.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_file(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", metavar="FILE", help="settings (default: what AGENTRT_CONFIG names, else agentrt.toml if it exists)"
    )


def _add_models(commands: Commands) -> None:
    models = commands.add_parser(
        "models",
        help="download, list and remove language models that run on this machine",
        description="Language models for local:NAME. They are kept in AGENTRT_MODELS, or else in the user's cache. "
        'To run one needs the extra: pip install "agentrt[local]".',
    )
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="which there are, and where")
    actions.add_parser("get", help="download one; what came before an interruption is kept").add_argument(
        "model", metavar="NAME", help="such as qwen-1.5b"
    )
    actions.add_parser("remove", help="delete one").add_argument("model", metavar="NAME", help="such as qwen-1.5b")
    for action in actions.choices.values():
        action.add_argument("--debug", action="store_true", help="show tracebacks")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = parser().parse_args(argv)
    try:
        return _command(arguments.command)(arguments)
    except AgentrtError as error:
        if arguments.debug:
            raise
        print(f"agentrt: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """Imported only now, so that --help and wrong arguments answer at once."""
    if name == "ingest":
        from agentrt.cli.ingest import ingest  # noqa: PLC0415

        return ingest
    if name == "config":
        from agentrt.cli.config import config  # noqa: PLC0415

        return config
    if name == "runs":
        from agentrt.cli.runs import runs  # noqa: PLC0415

        return runs
    if name == "models":
        from agentrt.cli.models import models  # noqa: PLC0415

        return models
    if name == "serve":
        from agentrt.cli.serve import serve  # noqa: PLC0415

        return serve
    from agentrt.cli.demo import demo  # noqa: PLC0415

    return demo


if __name__ == "__main__":
    sys.exit(main())
