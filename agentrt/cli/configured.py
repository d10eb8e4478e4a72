"""What a command was told on its line, before what the environment and a file say."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from agentrt.cli.leaving import as_on_exit
from agentrt.configuration.config import Configuration


def overridden(section: Mapping[str, Any], arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """A section with those arguments in it that were given."""
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    return {**section, **given}


def runtime_options(configuration: Configuration, journal: str | None, **defaults: Any) -> dict[str, Any]:
    """What a command's Runtime is given; with a journal in a file, runs that are cut off are left to be resumed."""
    options = {"journal": "memory", **defaults, **configuration.runtime}
    if journal is not None:
        options["journal"] = journal
    return {"on_exit": as_on_exit(options["journal"]), **options}
