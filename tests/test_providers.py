from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentrt import Limits, Provider
from agentrt.errors import KeyMissing, ProviderUnknown, SettingInvalid
from agentrt.profiles import OPENAI, PROFILES, Profile
from agentrt.providers import by_name, check_key, find

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
    assert find("openai", by_name([mine]), {"OPENAI_API_KEY": "theirs"}) == mine


def test_what_a_given_provider_leaves_out_stands_in_its_usual_variables() -> None:
    environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "GROQ_API_KEY": "g"}
    limited = Provider(name="openai", limits=Limits(requests=5))
    found = find("openai", by_name([limited]), environ)
    assert (found.limits, found.api_key, found.base_url) == (limited.limits, "k", "http://127.0.0.1:1/v1")
    assert find("fast", by_name([Provider(name="fast", profile="groq")]), environ).api_key == "g"


def test_a_key_of_the_environment_goes_to_no_address_of_anothers() -> None:
    other = Provider(name="other", profile="openai", base_url="http://127.0.0.1:1/v1")
    unknown = Provider(name="crm")
    for given in (other, unknown):
        assert find(given.name, by_name([given]), {"OPENAI_API_KEY": "k"}) == given


def test_a_profile_of_ones_own_says_which_variables_speak_for_it() -> None:
    mine = Provider(name="mine", profile=Profile(base_url="https://x/v1", base_url_env="MY_URL", key_env="MY_KEY"))
    found = find("mine", by_name([mine]), {"MY_KEY": "k", "MY_URL": "http://y/v1"})
    assert (found.api_key, found.base_url) == ("k", "http://y/v1")
    with pytest.raises(KeyMissing, match="mine: needs a key; set MY_KEY"):
        check_key(find("mine", by_name([mine]), {}))
    moved = replace(mine, base_url="http://z/v1")
    assert find("mine", by_name([moved]), {"MY_KEY": "k"}).api_key is None


@pytest.mark.parametrize("profile", ["azure", replace(PROFILES["azure"], query={"api-version": "1"})])
def test_a_key_goes_wherever_a_service_without_a_usual_address_is(profile: str | Profile) -> None:
    mine = Provider(name="mine", base_url="https://r.example/v1", profile=profile)
    found = find("mine", by_name([mine]), {"AZURE_OPENAI_API_KEY": "k"})
    assert (found.api_key, found.base_url) == ("k", "https://r.example/v1")


def test_a_provider_that_was_given_no_address_is_not_asked_at_openais() -> None:
    with pytest.raises(SettingInvalid, match=r'Provider\(name="crm"\): to be asked it needs base_url'):
        check_key(find("crm", by_name([Provider(name="crm")]), {"OPENAI_API_KEY": "k"}))


def test_a_given_provider_that_needs_a_key_is_refused_only_where_it_is_to_be_asked() -> None:
    found = find("openai", by_name([Provider(name="openai")]), {})
    with pytest.raises(KeyMissing, match="OPENAI_API_KEY"):
        check_key(found)


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}])
def test_openai_without_a_key_is_refused_with_the_way_to_give_one(environ: dict[str, str]) -> None:
    with pytest.raises(KeyMissing, match="OPENAI_API_KEY"):
        check_key(find("openai", {}, environ))


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        ProviderUnknown, match=r'no provider is named "nobody"; known are anthropic, azure, .*, local, .*, openai'
    ):
        find("nobody", by_name([LOCAL]), {})


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_provider_that_has_a_profile_is_found_with_its_key_where_it_stands(name: str) -> None:
    profile = PROFILES[name]
    environ = {variable: "k" for variable in (profile.key_env,) if variable}
    if profile.base_url is None:
        assert profile.base_url_env is not None
        environ[profile.base_url_env] = "https://r.example/v1"
    found = find(name, {}, environ)
    assert found.traits is profile
    assert found.api_key == ("k" if profile.key_env else None)


@pytest.mark.parametrize("name", ["openai", "openai-responses", "groq", "azure", "xai"])
def test_a_provider_without_the_key_it_needs_is_refused_with_the_way_to_give_one(name: str) -> None:
    variable = PROFILES[name].key_env
    with pytest.raises(KeyMissing, match=f"{name}: needs a key; set {variable}"):
        check_key(find(name, {}, {"AZURE_OPENAI_BASE_URL": "https://r.example/v1"}))


def test_a_service_on_this_machine_needs_no_key_and_may_be_elsewhere() -> None:
    assert find("ollama", {}, {}).traits.base_url == "http://127.0.0.1:11434/v1"
    assert find("vllm", {}, {"VLLM_BASE_URL": "http://gpu:8000/v1"}).base_url == "http://gpu:8000/v1"


def test_a_provider_without_a_usual_address_must_be_told_one() -> None:
    with pytest.raises(ProviderUnknown, match="azure: has no usual address; set AZURE_OPENAI_BASE_URL"):
        find("azure", {}, {"AZURE_OPENAI_API_KEY": "k"})
    cases: tuple[dict[str, Any], ...] = (
        {"name": "azure"},
        {"name": "a", "profile": Profile()},
        {"name": "a", "profile": "azure"},
    )
    for settings in cases:
        with pytest.raises(SettingInvalid, match=r"expected base_url=\.\.\., for it has no usual address"):
            Provider(**settings)


def test_what_is_particular_to_a_provider_is_said_by_profile_or_name() -> None:
    mine = Profile(api="responses")
    assert Provider(name="a", base_url="http://x/v1", profile=mine).traits is mine
    assert Provider(name="openai", profile="openai-responses").traits.api == "responses"
    assert Provider(name="groq").traits is PROFILES["groq"]
    assert Provider(name="a").traits is OPENAI
    with pytest.raises(SettingInvalid, match=r'profile="grok"\): expected one of anthropic, azure, .*, or a Profile'):
        Provider(name="a", profile="grok")


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
        ({"name": "a", "base_url": "http://[::1"}, "expected an address"),
        ({"name": "a", "base_url": "https://"}, "expected an address"),
        ({"name": "a", "base_url": "http://x:99999/v1"}, "expected an address"),
        ({"name": "a", "base_url": "https://a b/v1"}, "expected an address"),
        ({"name": "a", "base_url": "https://x/v1\nX: y"}, "expected an address"),
        ({"name": "a", "base_url": "ftp://x/v1"}, "expected an address"),
        ({"name": "a", "base_url": "https://u:hush@x/v1"}, r"\(base_url=\.\.\.\): .* without a name or password"),
        ({"name": "a", "base_url": "https://x/v1?key=hush"}, r"\(base_url=\.\.\.\): .* ends with its path"),
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
