"""The world of the demo: a corpus on loopback, an index filled from it, this environment as a database.

All of it lives in this process and is gone when the block is left. The tools over it are those that
users get from `agentrt_tools`; nothing here is made easier for the demo.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from agentrt.cli.stages import bars
from agentrt.egress.egress import Egress
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import AgentrtError, SettingInvalid
from agentrt.index.sqlite import SqliteIndex
from agentrt.local.corpus import MANIFEST, corpus_handler, language_reference, readme_path, readmes
from agentrt.local.environment import build_environment
from agentrt.local.wire import serve
from agentrt.offloop import aside
from agentrt.pipeline.journey import Parts
from agentrt.pipeline.pipeline import Pipeline
from agentrt.pipeline.report import Report
from agentrt.pipeline.source import RemoteManifest
from agentrt.toolbox.define import Tool
from agentrt_tools.database import Template, database_tools
from agentrt_tools.fetch import fetch_tool
from agentrt_tools.retrieval import search_tool

_NAME = "lower(replace(replace(:package, '_', '-'), '.', '-'))"

TEMPLATES = (
    Template(
        name="dependents",
        description="Installed packages that need the given package, with the condition under which they do. "
        "A row with an extra needs it only when installed with that extra. `url` is the package's README.",
        sql=f"""
            SELECT d.name, d.version, r.condition, r.extra, d.url
            FROM requirements r JOIN distributions d ON d.name = r.distribution
            WHERE r.requires_name = {_NAME} AND r.holds
            ORDER BY r.extra IS NOT NULL, d.name, r.extra
        """,  # noqa: S608 - the text put in is a constant; what the model says is a parameter
        parameters={"package": "Name of a package, e.g. anyio."},
    ),
    Template(
        name="requirements",
        description="What an installed package needs, with version, condition and extra.",
        sql=f"""
            SELECT requires_name AS name, specifier, condition, extra FROM requirements
            WHERE distribution = {_NAME} AND holds ORDER BY extra IS NOT NULL, requires_name
        """,  # noqa: S608
        parameters={"package": "Name of an installed package, e.g. openai."},
    ),
    Template(
        name="about",
        description="Version, summary, README address, number of files and bytes of an installed package.",
        sql=f"""
            SELECT d.name, d.version, d.summary, d.url, count(f.path) AS files, sum(f.size) AS bytes
            FROM distributions d LEFT JOIN files f ON f.distribution = d.name
            WHERE d.name = {_NAME} GROUP BY d.name
        """,  # noqa: S608
        parameters={"package": "Name of an installed package, e.g. openai."},
    ),
)
"""What the demo's model may ask of the database; free SQL is off."""

_TYPES = EgressPolicy().content_types | {"application/octet-stream"}
"""Many a server knows no type for ".jsonl"."""

DATABASE = "database"
"""What `--without` calls the three tools of the database together."""


@asynccontextmanager
async def demo_tools(
    console: Console, corpus: str | None, without: Sequence[str]
) -> AsyncGenerator[tuple[Tool, ...], None]:
    """The demo's tools, over an index that has been filled, with progress shown, from `corpus` or our own.

    Raises:
        AgentrtError: the corpus's address does not answer, or holds nothing that could be indexed.
        SettingInvalid: `without` names a tool that there is not.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentrt-demo-")))
        documents = await aside(lambda: language_reference() + readmes())
        server = await stack.enter_async_context(serve(corpus_handler(documents)))
        manifest = corpus or server.url + MANIFEST
        if not manifest.startswith(("http://", "https://")):
            raise SettingInvalid(f"--corpus {manifest}: expected the address of a manifest, http://...")
        origins = frozenset(urlsplit(url).netloc for url in (manifest, server.url))
        egress = await stack.enter_async_context(Egress(EgressPolicy(allow=origins, content_types=_TYPES)))
        index = SqliteIndex()
        stack.push_async_callback(index.aclose)
        await _fill(console, index, egress, manifest)
        database = folder / "environment.sqlite"
        await aside(lambda: build_environment(database, lambda name: server.url + readme_path(name)))
        tools: tuple[Tool, ...] = (
            search_tool(index),
            fetch_tool(egress, max_chars=20_000),
            *database_tools(database, TEMPLATES),
        )
        yield _less(tools, without)


def _less(tools: tuple[Tool, ...], without: Sequence[str]) -> tuple[Tool, ...]:
    named = {template.name for template in TEMPLATES}
    known = {tool.name for tool in tools} | {DATABASE}
    for name in without:
        if name not in known:
            raise SettingInvalid(f"--without {name}: there is no such tool; there are {', '.join(sorted(known))}")
    left_out = {*without, *(named if DATABASE in without else ())}
    return tuple(tool for tool in tools if tool.name not in left_out)


async def _fill(console: Console, index: SqliteIndex, egress: Egress, manifest: str) -> Report:
    """Index what the manifest names, with one bar a stage."""
    source = RemoteManifest(manifest, egress)
    with bars(console) as show:
        report = await Pipeline(source, Parts(index=index, egress=egress), progress=show).run()
    if not report.stored:
        raise AgentrtError(f"none of the {report.total} documents of {manifest} could be indexed: {_first(report)}")
    failed = f", {report.quarantined} failed ({_first(report)})" if report.failures else ""
    console.print(
        f"Indexed {report.stored} documents in {report.passages} passages, {report.seconds:.1f} s{failed}.",
        style="dim",
        highlight=False,
    )
    return report


def _first(report: Report) -> str:
    return f"{report.failures[0].url}: {report.failures[0].error}" if report.failures else "it names none"
