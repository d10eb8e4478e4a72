"""How long Ctrl-C takes: `python -m bench.leaving`.

The demo is interrupted again and again, at moments spread over its life: while it imports, indexes, calls
tools, writes. Printed are the seconds from the signal to the end of the process, and every exit code.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter

QUESTION = "which installed packages need typing-extensions, and what does each of them do?"


def interrupted(after: float) -> tuple[float, int]:
    """Seconds to leave and exit code of a demo that is interrupted so many seconds after its start."""
    command = [sys.executable, "-m", "agentrt.cli.main", "demo", QUESTION]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))
    time.sleep(after)
    if process.poll() is not None:
        raise SystemExit(f"the demo had ended after {after:.1f} s; give a smaller --until")
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    if said:
        print(said.decode(), file=sys.stderr)
    return time.monotonic() - before, process.returncode


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--until", type=float, default=5.0, help="the last moment, in seconds after the start")
    arguments = parser.parse_args()
    first, times = 0.3, arguments.times
    moments = [first + (arguments.until - first) * n / (times - 1) for n in range(times)]
    seconds, codes = zip(*(interrupted(moment) for moment in moments), strict=True)
    print(
        f"Ctrl-C to exit, {times} moments from {first} to {arguments.until} s: "
        f"median {statistics.median(seconds):.2f}, max {max(seconds):.2f} s; exit codes {dict(Counter(codes))}"
    )


if __name__ == "__main__":
    main()
