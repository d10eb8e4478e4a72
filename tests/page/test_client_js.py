"""The page's client under node: `client.test.mjs` holds the tests, each of which is run here by its name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.page.node import NODE, with_node

CASES = Path(__file__).with_name("client.test.mjs")
NAMES = re.findall(r'^test\("([^"]+)"', CASES.read_text(), re.MULTILINE)


def test_there_are_cases_to_run() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 19


@with_node
@pytest.mark.parametrize("name", NAMES)
def test_client(name: str) -> None:
    only = f"--test-name-pattern=^{re.escape(name)}$"
    command = [NODE, "--test", "--test-reporter=tap", only, str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "\n# pass 1\n" in done.stdout, done.stdout
