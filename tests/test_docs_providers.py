"""docs/providers.md names every ready provider, and says of each what its profile says."""

from __future__ import annotations

import re
from pathlib import Path

from agentrt.profiles import PROFILES, Profile

PAGE = Path(__file__).parents[1] / "docs" / "providers.md"
SPOKEN = {"chat": "Chat Completions", "responses": "Responses", "messages": "Messages"}


def rows() -> dict[str, tuple[str, str, str]]:
    """What stands behind each name in the first table."""
    table = PAGE.read_text().partition("## Ready by name")[2].partition("\n## ")[0]
    return {
        name: (api, key, place)
        for name, api, key, place in re.findall(r"^\| `(.+?)` \|(.*)\|(.*)\|(.*)\|$", table, re.M)
    }


def expected(profile: Profile) -> tuple[str, str]:
    return f" {SPOKEN[profile.api]} ", f" `{profile.key_env}` " if profile.key_env else " none "


def test_the_table_names_all_ready_providers_and_what_they_speak_and_need() -> None:
    assert {name: row[:2] for name, row in rows().items()} == {
        name: expected(profile) for name, profile in PROFILES.items()
    }


def test_the_table_tells_the_variables_and_addresses_of_those_that_may_be_elsewhere() -> None:
    for name, (_, _, place) in rows().items():
        profile = PROFILES[name]
        assert set(re.findall(r"[A-Z_]+_BASE_URL", place)) == {profile.base_url_env} - {None}, name
        if profile.key_env is None:
            assert f"`{profile.base_url}`" in place, name
