"""This Python environment as a database: what is installed, what needs what, which files came with it.

"Need" has one meaning here: a Requires-Dist line whose marker holds in this environment when no extra is
asked for. Lines that hold only with an extra are kept apart, one row for each extra that makes them hold.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

SCHEMA = """
CREATE TABLE distributions (
    name TEXT PRIMARY KEY,      -- normalised: lower case, one hyphen for each run of - _ .
    version TEXT NOT NULL,
    summary TEXT NOT NULL,
    url TEXT NOT NULL           -- the address of its README, '' where it has none
) STRICT, WITHOUT ROWID;
CREATE TABLE requirements (
    distribution TEXT NOT NULL REFERENCES distributions (name),
    requires_name TEXT NOT NULL,
    specifier TEXT NOT NULL,
    marker TEXT NOT NULL,       -- '' for none
    condition TEXT NOT NULL,    -- the marker less the extra
    extra TEXT,                 -- the extra it takes; NULL: needed without one
    holds INTEGER NOT NULL      -- 1 if the marker holds here (given the extra)
) STRICT;
CREATE TABLE files (
    distribution TEXT NOT NULL REFERENCES distributions (name),
    path TEXT NOT NULL,
    size INTEGER                -- bytes, NULL where the record does not say
) STRICT;
CREATE INDEX requirements_by_need ON requirements (requires_name, holds);
CREATE INDEX requirements_by_distribution ON requirements (distribution);
CREATE INDEX files_by_distribution ON files (distribution);
"""

_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_ONLY_EXTRA = re.compile(r"""^\s*extra\s*==\s*["'][^"']+["']\s*$""")
_AND_EXTRA = re.compile(r"""\s+and\s+extra\s*==\s*["'][^"']+["']\s*$""")


def installed() -> Iterator[tuple[str, Distribution]]:
    """What is installed, by normalised name; of two with one name the first on `sys.path`, as for an import."""
    seen: set[str] = set()
    for distribution in distributions():
        if "Name" not in distribution.metadata:
            continue  # A broken or half-removed installation.
        name = canonicalize_name(distribution.metadata["Name"])
        if name not in seen:
            seen.add(name)
            yield name, distribution


def header(distribution: Distribution, name: str, default: str = "") -> str:
    """The first value of a header of the distribution's metadata."""
    values = distribution.metadata.get_all(name)
    return str(values[0]) if values else default


def readme(distribution: Distribution) -> str:
    """The long description in the distribution's metadata, '' if it has none."""
    text = header(distribution, "Description").strip()  # `importlib` finds it here wherever it stands.
    return "" if text == "UNKNOWN" else text


def build_environment(path: Path, address: Callable[[str], str]) -> int:
    """Write the environment to a new SQLite database at `path`, replacing a file of that name; returns its rows.

    `address` gives the address of the README of a distribution by its normalised name. Blocking: about a
    second for a hundred distributions, so call it off the loop.
    """
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    try:
        # It is built anew at every start; a crash in between loses nothing worth a sync.
        database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        database.execute("BEGIN")
        for name, distribution in installed():
            url = address(name) if readme(distribution) else ""
            about = (name, distribution.version, header(distribution, "Summary"), url)
            database.execute("INSERT INTO distributions VALUES (?, ?, ?, ?)", about)
            database.executemany(
                "INSERT INTO requirements VALUES (?, ?, ?, ?, ?, ?, ?)", _requirements(name, distribution)
            )
            database.executemany("INSERT INTO files VALUES (?, ?, ?)", _files(name, distribution))
        database.execute("COMMIT")
        return database.total_changes
    finally:
        database.close()


_RequirementRow = tuple[str, str, str, str, str, str | None, int]


def _requirements(name: str, distribution: Distribution) -> Iterator[_RequirementRow]:
    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # Nobody can say what it needs.
        required, specifier = canonicalize_name(requirement.name), str(requirement.specifier)
        for marker, condition, extra, holds in _held(requirement):
            yield name, required, specifier, marker, condition, extra, int(holds)


def _held(requirement: Requirement) -> Iterator[tuple[str, str, str | None, bool]]:
    """The marker, its condition, the extra it takes and whether it then holds."""
    if requirement.marker is None:
        yield "", "", None, True
        return
    marker = str(requirement.marker)
    extras = sorted(set(_EXTRA.findall(marker)))
    if requirement.marker.evaluate({"extra": ""}) or not extras:
        yield marker, marker, None, requirement.marker.evaluate({"extra": ""})
        return
    condition = "" if _ONLY_EXTRA.match(marker) else _AND_EXTRA.sub("", marker) if len(extras) == 1 else marker
    for extra in extras:
        yield marker, condition, extra, requirement.marker.evaluate({"extra": extra})


def _files(name: str, distribution: Distribution) -> Iterator[tuple[str, str, int | None]]:
    # Read from the record itself: `Distribution.files` looks at each file on the disk, 12,000 of them.
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if row:
            yield name, row[0], int(row[2]) if len(row) > 2 and row[2].isdigit() else None
