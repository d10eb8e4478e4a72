from __future__ import annotations

from typing import Any

import pytest

from agentrt import Limits, Provider
from agentrt.errors import KeyMissing, ProviderUnknown, SettingInvalid
from agentrt.providers import by_name, find

LOCAL = Provider(name="local", base_url="http://127.0.0.1:8000/v1")


def test_a_provider_that_was_given_is_found_by_its_name() -> None:
    assert find("local", by_name([LOCAL]), {}) is LOCAL


def test_openai_is_found_in_the_environment() -> None:
    found = find("openai", {}, {"OPENAI_API_KEY": " sk-1\n"})
    assert (found.base_url, found.api_key) == (None, "sk-1")
    found = find("openai", {}, {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert (found.base_url, found.api_key) == ("http://127.0.0.1:1/v1", None)


def test_what_was_given_goes_before_the_environment() -> None:
    mine = Provider(name="openai", api_key="mine")
    assert find("openai", by_name([mine]), {"OPENAI_API_KEY": "theirs"}) is mine


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}])
def test_openai_without_a_key_is_refused_with_the_way_to_give_one(environ: dict[str, str]) -> None:
    with pytest.raises(KeyMissing, match="OPENAI_API_KEY"):
        find("openai", {}, environ)


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ProviderUnknown, match=r'no provider is named "nobody"; known are local, openai'):
        find("nobody", by_name([LOCAL]), {})


def test_two_providers_of_one_name_must_be_the_same() -> None:
    assert by_name([LOCAL, LOCAL]) == {"local": LOCAL}
    with pytest.raises(SettingInvalid, match='two different providers are named "local"'):
        by_name([LOCAL, Provider(name="local", base_url=LOCAL.base_url, limits=Limits(requests=1))])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": ""}, "expected a name without a colon"),
        ({"name": "a:b"}, "expected a name without a colon"),
        ({"name": "a", "base_url": "127.0.0.1:8000"}, "expected an address"),
        ({"name": "a", "api_key": "two words"}, "ASCII characters without blanks"),
        ({"name": "a", "api_key": "schlüssel"}, "ASCII characters without blanks"),
        ({"name": "a", "idle_timeout": 0}, r"idle_timeout=0\): expected more than 0 seconds"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingInvalid, match=says):
        Provider(**settings)


def test_a_key_is_not_shown() -> None:
    provider = Provider(name="a", api_key="hush-hush")
    assert "hush" not in repr(provider)
    with pytest.raises(SettingInvalid) as refused:
        Provider(name="a", api_key="hush hush")
    assert "hush" not in str(refused.value)
