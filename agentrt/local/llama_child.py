"""The program of the child process that `llama.py` starts: llama.cpp's server, on a free port of the loopback.

It reads one line of JSON, says one line once it serves, and ends with the process that started it: on Linux by the
signal that comes then, because no code of Python runs while a model is loaded; elsewhere by the end of its input. It
runs by itself and imports nothing of agentrt.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from importlib import import_module
from typing import Any

_PR_SET_PDEATHSIG = 1
_WARNINGS = 2
_LONGEST_REPLY = 2048
"""Tokens. A small model may repeat itself without end."""
_CACHE = 256
"""MiB of other conversations' states that are kept for going on with them; the default is 8 GiB."""


def main() -> None:
    """Serve until the input ends."""
    sys.tracebacklimit = 0  # what a failure says is shown to a person; where it happened is no news
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    asked = json.loads(sys.stdin.readline())
    server = _server(asked)
    print("serving", server.listening_address, flush=True)  # noqa: T201 - it is what the parent waits for
    sys.stdin.read()
    os._exit(0)  # there is nothing to put in order


def _server(asked: dict[str, Any]) -> Any:
    xllamacpp: Any = import_module("xllamacpp")  # by name, because it does not tell its types
    params = xllamacpp.CommonParams()
    params.model.path = asked["model"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [asked["key"]]
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = _WARNINGS
    params.n_ctx = asked["context"]
    params.n_parallel = 1
    params.n_predict = _LONGEST_REPLY
    params.cache_ram_mib = _CACHE
    params.sampling.temp = 0.0  # unless a request says otherwise
    # More than the cores that are free makes them wait for each other, spinning.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
