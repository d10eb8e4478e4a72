"""Provider: where a model service is, how to sign in there, and how often we may knock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agentrt.errors import KeyMissing, ProviderUnknown, SettingInvalid
from agentrt.gate.limits import Limits
from agentrt.profiles import OPENAI, PROFILES, Profile, check_address

if TYPE_CHECKING:
    import httpx2

NO_KEY = "none"
"""What is sent as the key to a service that asks for none: the header may not be empty."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A model service. An agent's model "NAME:model" is looked up by `name`.

    Args:
        name: What stands before the colon of a model's name.
        base_url: Address up to and with "/v1"; None is that of its profile.
        api_key: The key; None where the service asks for none.
        limits: How much it lets us have.
        groups: Limits of their own for models whose names fit a pattern, e.g. {"text-embedding-*": Limits(...)}. The
            first that fits counts; their requests and tokens are apart from `limits`, their concurrency is within it.
        profile: What is particular to it; the name of one of `PROFILES`, or one of your own. By default that of its
            name, or else what OpenAI does.
        hedge: Send a second request for one that is slow and may be asked twice (embeddings, tools that only read).
        connect_timeout: Seconds for a connection, and as many again for its TLS handshake.
        first_byte_timeout: Seconds from sending a request to the reply's first sign of life. A model that
            thinks before it speaks may need more.
        idle_timeout: Seconds between two signs of life.
        transport: Carries requests in place of the network, for tests and proxies of one's own.
        fast: Carry requests by aiohttp, which costs much less CPU; needs the extra `agentrt[fast]`.

    Raises:
        SettingInvalid: a name that cannot stand before a colon, or no address, or one that is none, or two ways to
            carry requests.
    """

    name: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)
    connect_timeout: float = 5.0
    first_byte_timeout: float = 60.0
    idle_timeout: float = 30.0
    transport: httpx2.AsyncBaseTransport | None = None
    groups: Mapping[str, Limits] = field(default_factory=dict[str, Limits])
    profile: str | Profile | None = None
    hedge: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        if not self.name or ":" in self.name:
            raise SettingInvalid(f'Provider(name="{self.name}"): expected a name without a colon, e.g. "openai"')
        if self.api_key is not None and not re.fullmatch(r"[!-~]+", self.api_key):
            raise SettingInvalid(f'Provider(name="{self.name}"): expected a key of ASCII characters without blanks')
        for name in ("connect_timeout", "first_byte_timeout", "idle_timeout"):
            if not getattr(self, name) > 0:
                raise SettingInvalid(f"Provider({name}={getattr(self, name)}): expected more than 0 seconds")
        if self.fast and self.transport is not None:
            raise SettingInvalid(f'Provider(name="{self.name}"): expected transport=... or fast=True, not both')
        if self.base_url is not None:
            check_address(self.base_url, "Provider")
        if isinstance(self.profile, str) and self.profile not in PROFILES:
            names = ", ".join(sorted(PROFILES))
            raise SettingInvalid(f'Provider(profile="{self.profile}"): expected one of {names}, or a Profile')
        if self.base_url is None and self.traits.base_url is None:
            raise SettingInvalid(f'Provider(name="{self.name}"): expected base_url=..., for it has no usual address')

    @property
    def traits(self) -> Profile:
        """What is particular to this endpoint: the profile it was given, or that of its name, or OpenAI's."""
        if isinstance(self.profile, Profile):
            return self.profile
        return PROFILES.get(self.profile or self.name, OPENAI)


def by_name(providers: Iterable[Provider]) -> dict[str, Provider]:
    """Providers by name.

    Raises:
        SettingInvalid: two that differ have one name.
    """
    known: dict[str, Provider] = {}
    for provider in providers:
        if known.setdefault(provider.name, provider) != provider:
            raise two_of_a_name(provider.name)
    return known


def two_of_a_name(name: str) -> SettingInvalid:
    """What to say of two providers of one name that differ."""
    return SettingInvalid(f'two different providers are named "{name}"; give each a name of its own')


def find(name: str, known: Mapping[str, Provider], environ: Mapping[str, str]) -> Provider:
    """The provider of that name: one that was given, or one of `PROFILES` as the environment describes it.

    Raises:
        ProviderUnknown: nobody described it, or nobody said where it is.
    """
    if name in known:
        return _completed(known[name], environ)
    profile = PROFILES.get(name)
    if profile is None:
        names = ", ".join(sorted({*known, *PROFILES}))
        raise ProviderUnknown(
            f'no provider is named "{name}"; known are {names}. '
            f'Give Runtime(providers=[Provider(name="{name}", base_url=...)]), or use openai: with OPENAI_BASE_URL'
        )
    base_url = _said(profile.base_url_env, environ)
    if base_url is None and profile.base_url is None:
        raise ProviderUnknown(
            f"{name}: has no usual address; set {profile.base_url_env}, or give "
            f'Runtime(providers=[Provider(name="{name}", base_url=..., api_key=...)])'
        )
    return Provider(name=name, base_url=base_url, api_key=_said(profile.key_env, environ))


def check_key(provider: Provider) -> None:
    """See that a provider that is to be asked has a key, if it needs one, and an address that is meant for it.

    Raises:
        KeyMissing: it has no key.
        SettingInvalid: nobody said where it is; OpenAI's address, and its key, are not meant by leaving that out.
    """
    profile = provider.traits
    if provider.base_url is None and provider.transport is None and not _known_by_environment(provider):
        raise SettingInvalid(
            f'Provider(name="{provider.name}"): to be asked it needs base_url=..., '
            'or profile="openai" for OpenAI itself'
        )
    elsewhere = provider.base_url is not None and profile.base_url is not None
    if provider.api_key is not None or profile.key_env is None or elsewhere or provider.transport is not None:
        return
    usual = profile.base_url and profile.base_url_env
    other = f", or {profile.base_url_env} for a service without one" if usual else ""
    raise KeyMissing(f"{provider.name}: needs a key; set {profile.key_env}{other}")


def _completed(provider: Provider, environ: Mapping[str, str]) -> Provider:
    """A provider that was given, with what the environment says where it says nothing itself.

    A key goes to no address of another's: none but the usual one, unless there is none or the provider has its name.
    """
    profile = provider.traits
    if not _known_by_environment(provider) or provider.transport is not None:
        return provider
    base_url, key = provider.base_url, provider.api_key
    if key is None and (base_url is None or profile.base_url is None or provider.profile in (None, provider.name)):
        key = _said(profile.key_env, environ)
    return replace(provider, base_url=base_url or _said(profile.base_url_env, environ), api_key=key)


def _known_by_environment(provider: Provider) -> bool:
    """Whether its profile, and so the names of its variables, was chosen and is not just what OpenAI does."""
    return provider.profile is not None or provider.name in PROFILES


def _said(variable: str | None, environ: Mapping[str, str]) -> str | None:
    return environ.get(variable, "").strip() or None if variable is not None else None
