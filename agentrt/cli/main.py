"""`agentrt`: parse the arguments, call one verb, leave in order.

Exit codes: 0 done, 1 it failed (one line on standard error says why), 2 wrong arguments, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from agentrt import __version__
from agentrt.cli.leaving import INTERRUPTED
from agentrt.errors import AgentrtError


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    top = argparse.ArgumentParser(prog="agentrt", description="A runtime for LLM agents that call tools.")
    top.add_argument("--version", action="version", version=f"agentrt {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
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
        help="who answers: local:rules (the default; no language model) or openai:NAME, by OPENAI_API_KEY or "
        "OPENAI_BASE_URL",
    )
    demo.add_argument("--corpus", metavar="URL", help="a manifest.jsonl to index in place of the built-in corpus")
    demo.add_argument(
        "--without", action="append", default=[], metavar="TOOL", help="leave a tool out, to see how it answers then"
    )
    demo.add_argument("--deadline", type=float, default=120.0, metavar="SECONDS", help="give up after (default: 120)")
    demo.add_argument("--turns", type=int, default=10, help="how often the model may be asked (default: 10)")
    demo.add_argument("--debug", action="store_true", help="show tracebacks")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = parser().parse_args(argv)
    try:
        from agentrt.cli.demo import demo  # noqa: PLC0415 - so that --help and wrong arguments answer at once

        return demo(arguments)
    except AgentrtError as error:
        if arguments.debug:
            raise
        print(f"agentrt: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
