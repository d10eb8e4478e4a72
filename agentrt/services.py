"""The providers as one Runtime holds them: a client and a gate each, made when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from agentrt.errors import SettingInvalid
from agentrt.gate.gate import Gate
from agentrt.gate.leases import Leases
from agentrt.model.dialect import ChatCompletions, Dialect
from agentrt.model.openai import OpenAIModel
from agentrt.profiles import Profile
from agentrt.providers import NO_KEY, Provider, by_name, check_key, find, two_of_a_name

LOCAL = "local"
"""Names models on this machine, unless a provider was given that is named so."""


@dataclass(frozen=True)
class Service:
    """One provider."""

    provider: Provider
    model: OpenAIModel
    gate: Gate


class Services:
    """Services by the name of their provider.

    Args:
        providers: Those that were described.
        environ: Where keys and addresses stand that nobody gave, and the folder of this machine's models.
        random: Source of jitter.
        wall: Seconds since 1970.
        leases: Who hands out limits that are shared with other processes.
        made: Is told of each gate.

    Raises:
        SettingInvalid: two different providers of one name.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        environ: Mapping[str, str],
        random: Random,
        wall: Callable[[], float],
        leases: Leases | None = None,
        made: Callable[[Gate], None] = lambda _: None,
    ) -> None:
        self._providers = by_name(providers)
        self._environ = environ
        self._random = random
        self._wall = wall
        self._leases = leases
        self._on_gate = made
        self._made: dict[str, Service] = {}

    def __iter__(self) -> Iterator[tuple[str, Service]]:
        return iter(self._made.items())

    def of(self, model: str) -> Service:
        """Who serves "provider:model".

        Raises:
            SettingInvalid: `model` is no such name.
            ProviderUnknown, KeyMissing: the provider cannot be asked.
        """
        name, _, rest = model.partition(":")
        if not rest:
            raise SettingInvalid(f'"{model}": expected "provider:model", e.g. "openai:text-embedding-3-small"')
        if name == LOCAL and name not in self._providers:
            return self._local(model, rest)
        service = self._of(name)
        check_key(service.provider)
        return service

    def gate(self, provider: Provider | str) -> Gate:
        """The gate of a provider that a tool names, or brings along.

        Raises:
            SettingInvalid: it brings one along that differs from another of its name.
            ProviderUnknown: nobody described it.
        """
        if isinstance(provider, str):
            return self._of(provider).gate
        if self._providers.setdefault(provider.name, provider) != provider:
            raise two_of_a_name(provider.name)
        service = self._of(provider.name)
        if service.provider != find(provider.name, self._providers, self._environ):
            raise two_of_a_name(provider.name)  # it was found in the environment before
        return service.gate

    def _local(self, model: str, rest: str) -> Service:
        """A model on this machine; each is a process, and so a provider, of its own."""
        if model not in self._made:
            from agentrt.local.llama import provider  # noqa: PLC0415 - it brings httpx2

            self._made[model] = self._make(provider(rest, environ=self._environ))
        return self._made[model]

    def _of(self, name: str) -> Service:
        if name not in self._made:
            self._made[name] = self._make(find(name, self._providers, self._environ))
        return self._made[name]

    def _make(self, provider: Provider) -> Service:
        name = provider.name
        model = OpenAIModel(
            name,
            base_url=provider.base_url,
            api_key=provider.api_key or NO_KEY,
            transport=provider.transport,
            connect_timeout=provider.connect_timeout,
            first_byte_timeout=provider.first_byte_timeout,
            idle_timeout=provider.idle_timeout,
            wall=self._wall,
            profile=provider.traits,
            dialect=_dialect(provider.traits),
            fast=provider.fast,
        )
        gate = Gate(
            name,
            provider.limits,
            random=self._random,
            wall=self._wall,
            groups=provider.groups,
            windows=provider.traits.windows,
            hedge=provider.hedge,
            leases=self._leases,
            account=_account(provider),
        )
        self._on_gate(gate)
        return Service(provider, model, gate)


def _account(provider: Provider) -> str:
    """Tells the accounts of one provider apart, and nothing of their keys."""
    return sha256(f"{provider.base_url} {provider.api_key}".encode()).hexdigest()[:16]


def _dialect(traits: Profile) -> Dialect:
    """What the endpoint speaks. Only what is spoken is loaded."""
    match traits.api:
        case "chat":
            dialect: Dialect = ChatCompletions(traits)
        case "responses":
            from agentrt.model.responses.dialect import Responses  # noqa: PLC0415

            dialect = Responses(traits)
        case "messages":
            from agentrt.model.anthropic.dialect import AnthropicMessages  # noqa: PLC0415

            dialect = AnthropicMessages(traits)
    if traits.tools == "json_schema":
        from agentrt.model.json_tools import JsonTools  # noqa: PLC0415

        return JsonTools(dialect)
    return dialect
