from __future__ import annotations

from importlib.resources import files

import pytest

import agentrt_tools


@pytest.mark.smoke
def test_the_package_says_that_it_is_typed() -> None:
    assert agentrt_tools.__doc__
    assert files("agentrt_tools").joinpath("py.typed").is_file()
