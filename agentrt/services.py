"""The providers as one Runtime holds them: a client and a gate each, made when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from agentrt.errors import SettingInvalid
from agentrt.gate.gate import Gate
from agentrt.model.openai import OpenAIModel
from agentrt.providers import NO_KEY, Provider, by_name, find


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
        environ: Where OpenAI is looked up.
        random: Source of jitter.
        wall: Seconds since 1970.

    Raises:
        SettingInvalid: two different providers of one name.
    """

    def __init__(
        self, providers: Sequence[Provider], environ: Mapping[str, str], random: Random, wall: Callable[[], float]
    ) -> None:
        self._providers = by_name(providers)
        self._environ = environ
        self._random = random
        self._wall = wall
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
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Service:
        provider = find(name, self._providers, self._environ)
        model = OpenAIModel(
            name,
            base_url=provider.base_url,
            api_key=provider.api_key or NO_KEY,
            transport=provider.transport,
            connect_timeout=provider.connect_timeout,
            first_byte_timeout=provider.first_byte_timeout,
            idle_timeout=provider.idle_timeout,
            wall=self._wall,
        )
        return Service(provider, model, Gate(name, provider.limits, random=self._random))
