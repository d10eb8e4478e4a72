from __future__ import annotations

from random import Random

import pytest

from agentrt.errors import KeyMissing, ProviderUnknown, SettingInvalid
from agentrt.providers import Provider
from agentrt.services import Services


def services(*providers: Provider, **environ: str) -> Services:
    return Services(providers, environ, Random(1), lambda: 0.0)


def test_a_provider_has_one_client_and_one_gate_however_many_models_are_asked() -> None:
    some = services(Provider(name="a", base_url="http://127.0.0.1:9/v1"))
    assert some.of("a:small") is some.of("a:large")
    assert [name for name, _ in some] == ["a"]


def test_a_name_without_a_provider_or_without_a_model_says_what_is_expected() -> None:
    for name in ("a", "a:"):
        with pytest.raises(SettingInvalid, match='expected "provider:model"'):
            services(Provider(name="a")).of(name)


def test_whoever_cannot_be_asked_is_told_at_once() -> None:
    with pytest.raises(ProviderUnknown, match="nobody"):
        services().of("nobody:x")
    with pytest.raises(KeyMissing):
        services().of("openai:gpt-5-mini")


def test_two_different_providers_of_one_name_are_refused() -> None:
    with pytest.raises(SettingInvalid, match="two different providers"):
        services(Provider(name="a"), Provider(name="a", api_key="k"))


def test_a_gate_alone_needs_neither_address_nor_key() -> None:
    crm = Provider(name="crm")
    some = services(Provider(name="openai"))
    assert some.gate(crm) is some.gate("crm") is some.gate(crm)
    assert some.gate("openai").key == "openai"
    with pytest.raises(KeyMissing):
        some.of("openai:gpt-5-mini")
    with pytest.raises(SettingInvalid, match="two different providers"):
        some.gate(Provider(name="crm", hedge=True))
    with pytest.raises(ProviderUnknown):
        some.gate("nobody")


def test_a_model_on_this_machine_needs_no_provider_to_be_described() -> None:
    with pytest.raises(SettingInvalid, match="qwen-7b"):
        services().of("local:qwen-7b")
    mine = Provider(name="local", base_url="http://127.0.0.1:9/v1")
    assert services(mine).of("local:rules").provider == mine


def test_a_name_that_nobody_knows_is_not_asked_at_openais_address() -> None:
    with pytest.raises(SettingInvalid, match='Provider\\(name="hause"\\): to be asked it needs base_url'):
        services(Provider(name="hause", api_key="secret")).of("hause:large")
    assert services(Provider(name="mine", profile="openai", api_key="k")).of("mine:large")


def test_a_tool_may_not_describe_anew_what_was_found_in_the_environment() -> None:
    some = services()
    found = some.of("ollama:x")
    assert some.gate(Provider(name="ollama")) is found.gate
    other = services()
    other.of("ollama:x")
    with pytest.raises(SettingInvalid, match="two different providers"):
        other.gate(Provider(name="ollama", hedge=True))
