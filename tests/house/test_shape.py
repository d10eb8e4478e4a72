"""The shape of the house: what ruff, mypy and the import contracts do not see."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

import agentrt

ROOT = Path(__file__).parents[2]
CODE = sorted([*ROOT.glob("agentrt/**/*.py"), *ROOT.glob("tools/**/*.py")])
FILE_LINES, FUNCTION_LINES = 400, 50


def test_no_file_is_longer_than_it_can_be_read() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in CODE}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long: list[str] = []
    for file in CODE:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1 - _docstring_lines(node)
                if lines > FUNCTION_LINES:
                    long.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {lines}")
    assert long == []


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return (first.end_lineno or 0) - first.lineno + 1
    return 0


def test_no_module_has_the_name_of_a_thing_its_package_exports() -> None:
    for package in sorted({file.parent for file in CODE if (file.parent / "__init__.py").exists()}):
        name = ".".join(package.relative_to(ROOT / "tools" if "tools" in package.parts else ROOT).parts)
        exported = set(getattr(import_module(name), "__all__", ()))
        modules = {file.stem for file in package.glob("*.py")} | {folder.name for folder in package.iterdir()}
        # A package may export a module of its own as such: `agentrt.testing.faults`.
        clashes = {clash for clash in exported & modules if not _is_module(name, clash)}
        assert clashes == set(), name


def _is_module(package: str, name: str) -> bool:
    return type(getattr(import_module(package), name)).__name__ == "module"


@pytest.mark.smoke
def test_the_front_door_opens_to_all_it_names() -> None:
    for name in agentrt.__all__:
        assert getattr(agentrt, name) is not None
    assert set(agentrt.__all__) <= set(dir(agentrt))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = agentrt.nothing


FIRST_OF_SOME = ("call.py", "hedge.py")
"""They wait for the first of several tasks; in hedge.py these are a group's, in call.py a user's code runs in them."""

TASKS = re.compile(r"\b(ensure_future|asyncio\.gather|asyncio\.wait_for|asyncio\.to_thread|run_in_executor)\(")


def test_tasks_are_made_in_groups_only() -> None:
    made: list[str] = []
    for file in CODE:
        text = file.read_text()
        bare = re.search(r"(asyncio|loop)\.create_task\(", text) and file.name != "call.py"
        first = "asyncio.wait(" in text and file.name not in FIRST_OF_SOME
        if TASKS.search(text) or bare or first:
            made.append(str(file.relative_to(ROOT)))
    assert made == []


def test_nothing_that_is_committed_names_a_registry_or_a_path_of_one_machine() -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not in a git checkout")
    # In two halves, so that this file does not name them.
    halves = [("pypi", "[.]org"), ("python", "hosted"), ("registry[.]npm", "js"), ("deb[.]deb", "ian")]
    hosts = re.compile("|".join(map("".join, halves)))
    paths = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm)/")
    found = []
    for name in listed.stdout.decode().split("\0"):
        file = ROOT / name
        if name and file.is_file():
            text = file.read_text(errors="replace")
            found += [f"{name}: {match[0]}" for match in (hosts.search(text), paths.search(text)) if match]
    assert found == []
