"""That the measurement of what agentrt costs works; its figures are for `python -m bench.overhead` to judge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.overhead_sides import available

ROOT = Path(__file__).parent.parent


def test_every_row_of_the_table_is_measured_for_agentrt_and_the_openai_loop() -> None:
    command = [sys.executable, "-m", "bench.overhead", "--quick"]
    table = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    for what in ("run of 5 turns x 1 tool", "a streamed token", "50 tools", "2 runs at once", "import of the front"):
        rows = [line for line in table.splitlines() if line.startswith(what)]
        assert any(" agentrt " in line for line in rows), what
    for name in available():
        assert f" {name} " in table
