from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agentrt.local.environment import build_environment, header, installed, readme

HERE = f'python_version >= "{sys.version_info.major}.{sys.version_info.minor}"'
ELSEWHERE = 'python_version < "3.0"'


def install(site: Path, name: str, *lines: str, version: str = "1.0", body: str = "", files: str = "") -> None:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    head = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", f"Summary: All about {name}", *lines]
    (folder / "METADATA").write_text("\n".join(head) + "\n\n" + body)
    (folder / "RECORD").write_text(files)


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two places for packages, and nothing else installed."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    monkeypatch.setattr(sys, "path", [str(one), str(other)])
    return one, other


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def build(tmp_path: Path) -> Path:
    path = tmp_path / "environment.db"
    build_environment(path, lambda name: f"http://x/{name}")
    return path


def test_distributions_are_kept_under_their_normalised_names(tmp_path: Path, sites: tuple[Path, Path]) -> None:
    install(sites[0], "Big_Thing.py", body="# Big\n")
    install(sites[0], "small")
    assert rows(build(tmp_path), "SELECT * FROM distributions ORDER BY name") == [
        ("big-thing-py", "1.0", "All about Big_Thing.py", "http://x/big-thing-py"),
        ("small", "1.0", "All about small", ""),
    ]


def test_of_two_with_one_name_the_first_on_the_path_counts(tmp_path: Path, sites: tuple[Path, Path]) -> None:
    install(sites[0], "thing_", version="1.0", files="thing.py,,10\n")
    install(sites[1], "Thing-", version="2.0", files="a.py,,1\nb.py,,2\n")
    path = build(tmp_path)
    assert rows(path, "SELECT name, version FROM distributions") == [("thing-", "1.0")]
    assert rows(path, "SELECT path FROM files") == [("thing.py",)]


def test_a_need_is_a_requirement_that_holds_here_without_an_extra(tmp_path: Path, sites: tuple[Path, Path]) -> None:
    install(
        sites[0],
        "thing",
        "Requires-Dist: Always.One >=1,<2",
        f"Requires-Dist: here; {HERE}",
        f"Requires-Dist: elsewhere; {ELSEWHERE}",
        'Requires-Dist: optional; extra == "More"',
        f'Requires-Dist: both (>=3); ({HERE}) and extra == "more"',
        f'Requires-Dist: never; {ELSEWHERE} and extra == "more"',
        'Requires-Dist: twice; extra == "all" or extra == "more"',
        "Requires-Dist: what is this?",
    )
    query = "SELECT requires_name, specifier, condition, extra, holds FROM requirements ORDER BY requires_name, extra"
    assert rows(build(tmp_path), query) == [
        ("always-one", "<2,>=1", "", None, 1),
        ("both", ">=3", HERE, "more", 1),
        ("elsewhere", "", ELSEWHERE, None, 0),
        ("here", "", HERE, None, 1),
        ("never", "", ELSEWHERE, "more", 0),
        ("optional", "", "", "more", 1),
        ("twice", "", 'extra == "all" or extra == "more"', "all", 1),
        ("twice", "", 'extra == "all" or extra == "more"', "more", 1),
    ]


def test_files_come_with_their_sizes(tmp_path: Path, sites: tuple[Path, Path]) -> None:
    install(sites[0], "thing", files='"a, b.py",sha256=x,12\nthing/RECORD,,\n\n')
    query = "SELECT distribution, path, size FROM files ORDER BY path"
    assert rows(build(tmp_path), query) == [("thing", "a, b.py", 12), ("thing", "thing/RECORD", None)]


def test_a_broken_installation_is_passed_over(tmp_path: Path, sites: tuple[Path, Path]) -> None:
    (sites[0] / "half-1.0.dist-info").mkdir()
    install(sites[0], "whole")
    assert rows(build(tmp_path), "SELECT name FROM distributions") == [("whole",)]


def test_a_description_is_found_where_new_and_old_metadata_keep_it(sites: tuple[Path, Path]) -> None:
    install(sites[0], "new", body="\n# New\n\nIt is new.\n")
    install(sites[0], "old", "Description: Old", "        ===", "        ", "        It is old.")
    install(sites[0], "unknown", "Description: UNKNOWN")
    found = dict(installed())
    assert readme(found["new"]) == "# New\n\nIt is new."
    assert readme(found["old"]).startswith("Old\n===")
    assert readme(found["unknown"]) == ""
    assert header(found["new"], "License", "none") == "none"


def test_building_again_replaces_what_was_there(tmp_path: Path, sites: tuple[Path, Path]) -> None:
    install(sites[0], "one")
    build(tmp_path)
    assert rows(build(tmp_path), "SELECT count(*) FROM distributions") == [(1,)]


def test_the_environment_of_these_tests_is_told_in_thousands_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "environment.db"
    written = build_environment(path, lambda name: f"http://x/{name}")
    assert written > 2_000
    query = (
        "SELECT distribution FROM requirements JOIN distributions ON name = distribution"
        " WHERE requires_name = 'pydantic-core' AND holds AND extra IS NULL AND url != ''"
    )
    assert ("pydantic",) in rows(path, query)
