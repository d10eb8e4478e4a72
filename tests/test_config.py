"""Configuration: the same in Python, in a file and in the environment; every fault is said, and where it stands."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt import Limits, Provider, Runtime
from agentrt.cli.main import main
from agentrt.configuration.config import Configuration
from agentrt.configuration.reading import Reading, shape_of, writable_fields
from agentrt.configuration.sources import Given, Table, spelled
from agentrt.errors import SettingInvalid
from agentrt.pipeline.report import PipelineSettings
from agentrt.profiles import PROFILES, Profile
from agentrt.server.settings import ServeSettings

FILE = """
[runtime]
journal = "sqlite:chat.db"
grace = 1

[providers.openai]
first_byte_timeout = 120
limits = { requests = 500, tokens = 200_000 }

[providers.openai.groups."text-embedding-*"]
requests = 3_000
concurrency = 8

[providers.my-vllm]
base_url = "http://127.0.0.1:8000/v1"
profile = "vllm"

[serve]
port = 80
allowed_origins = ["https://app.example.org"]
settings = { tick = 0.1, allowed_hosts = ["app.example.org"] }

[ingest]
index = "kb.sqlite"
settings = { workers = 4 }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has no configuration."""
    monkeypatch.chdir(tmp_path)
    for variable in {profile.key_env for profile in PROFILES.values()} - {None}:
        monkeypatch.delenv(str(variable), raising=False)
    return tmp_path


def read(text: str = "", **environ: str) -> Configuration:
    Path("agentrt.toml").write_text(text, encoding="utf-8")
    return Configuration.read(environ=environ)


def provider(text: str = "", **environ: str) -> Provider:
    (only,) = read(text, **environ).runtime["providers"]
    assert isinstance(only, Provider)
    return only


def faults(text: str = "", **environ: str) -> list[str]:
    with pytest.raises(SettingInvalid) as refused:
        read(text, **environ)
    first, *lines = str(refused.value).split("\n  ")
    assert first.startswith("a setting is" if len(lines) == 1 else f"{len(lines)} settings are")
    return lines


# ---- what is read, and from where ------------------------------------------------------------------


def test_a_file_says_what_the_calls_of_python_take() -> None:
    configuration = read(FILE, OPENAI_API_KEY="sk-1")
    assert configuration.runtime == {
        "journal": "sqlite:chat.db",
        "grace": 1.0,
        "providers": (
            Provider(
                name="openai",
                api_key="sk-1",
                first_byte_timeout=120,
                limits=Limits(requests=500, tokens=200_000),
                groups={"text-embedding-*": Limits(requests=3_000, concurrency=8)},
            ),
            Provider(name="my-vllm", base_url="http://127.0.0.1:8000/v1", profile="vllm"),
        ),
    }
    assert configuration.serve == {
        "port": 80,
        "allowed_origins": ["https://app.example.org"],
        "settings": ServeSettings(tick=0.1, allowed_hosts=("app.example.org",)),
    }
    assert configuration.ingest == {"index": "kb.sqlite", "settings": PipelineSettings(workers=4)}
    Runtime(**configuration.runtime)


def test_the_environment_alone_says_the_same() -> None:
    configuration = read(
        AGENTRT_RUNTIME__GRACE="1",
        AGENTRT_PROVIDERS__OPENAI__API_KEY="sk-1\n",
        AGENTRT_PROVIDERS__OPENAI__LIMITS__REQUESTS="500",
        AGENTRT_PROVIDERS__OPENAI__HEDGE="true",
        AGENTRT_PROVIDERS__OPENAI__GROUPS='{"text-embedding-*" = {requests = 3000}}',
        AGENTRT_SERVE__PORT="80",
        AGENTRT_SERVE__ALLOWED_ORIGINS='["*"]',
        AGENTRT_SERVE__PAGE="false",
        AGENTRT_SERVE__SETTINGS__ALL_RUNS="7",
    )
    assert configuration.runtime["grace"] == 1.0
    assert configuration.runtime["providers"] == (
        Provider(
            name="openai",
            api_key="sk-1",
            hedge=True,
            limits=Limits(requests=500),
            groups={"text-embedding-*": Limits(requests=3000)},
        ),
    )
    settings = ServeSettings(all_runs=7)
    assert configuration.serve == {"port": 80, "allowed_origins": ["*"], "page": False, "settings": settings}


def test_without_file_and_variables_everything_is_as_by_default() -> None:
    configuration = Configuration.read(environ={"HOME": "/", "AGENTRT_HOME": "x", "AGENTRT_SERVE__PORT": ""})
    assert configuration == Configuration()


def test_the_environment_has_the_last_word_and_origins_say_who_had_it() -> None:
    configuration = read(FILE, AGENTRT_PROVIDERS__OPENAI__LIMITS__REQUESTS="7", AGENTRT_PROVIDERS__MY_VLLM__HEDGE="1")
    openai, vllm = configuration.runtime["providers"]
    assert openai.limits == Limits(requests=7, tokens=200_000)
    assert (vllm.name, vllm.hedge, vllm.profile) == ("my-vllm", True, "vllm")
    limits = ("providers", "openai", "limits")
    assert configuration.origins[*limits, "requests"] == "AGENTRT_PROVIDERS__OPENAI__LIMITS__REQUESTS"
    assert configuration.origins[*limits, "tokens"] == "agentrt.toml: providers.openai.limits.tokens"


def test_a_tables_own_variable_replaces_it_and_those_of_what_is_in_it_come_after() -> None:
    given = provider(
        "[providers.openai.limits]\nrequests = 1\nper = 1",
        AGENTRT_PROVIDERS__OPENAI__LIMITS="{requests = 2, tokens = 2}",
        AGENTRT_PROVIDERS__OPENAI__LIMITS__TOKENS="3",
    )
    assert given.limits == Limits(requests=2, tokens=3)


def test_the_file_that_is_named_goes_before_the_one_of_the_variable_and_that_before_the_one_of_the_folder(
    folder: Path,
) -> None:
    for name in ("agentrt", "variable", "named"):
        (folder / f"{name}.toml").write_text(f'runtime.journal = "sqlite:{name}.db"')
    environ = {"AGENTRT_CONFIG": "variable.toml"}
    assert Configuration.read(environ={}).runtime == {"journal": "sqlite:agentrt.db"}
    assert Configuration.read(environ=environ).runtime == {"journal": "sqlite:variable.db"}
    named = Configuration.read(folder / "named.toml", environ=environ)
    assert (named.runtime, named.file) == ({"journal": "sqlite:named.db"}, folder / "named.toml")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("absent.toml", 'there is no file "absent.toml"'),
        ("broken.toml", "broken.toml is not TOML: Invalid value (at line 2, column 8)"),
        ("latin.toml", "latin.toml is not TOML: 'utf-8' codec can't decode"),
        ("deep.toml", "deep.toml is nested too deep"),
        ("dotted.toml", "dotted.toml is nested too deep"),
        ("large.toml", "large.toml is too large: at most 1,000,000 bytes are read"),
        ("folder.toml", 'there is no file "folder.toml"'),
        ("~nobody-of-that-name/a.toml", 'there is no file "~nobody-of-that-name/a.toml"'),
    ],
)
def test_a_file_that_cannot_be_read_is_named(file: str, says: str, folder: Path) -> None:
    (folder / "broken.toml").write_text("[serve]\nport = eighty")
    (folder / "latin.toml").write_bytes(b'[runtime]\njournal = "sqlite:\xe9"')
    (folder / "deep.toml").write_text(f"x = {'[' * 5000}")
    (folder / "dotted.toml").write_text(f"x{'.x' * 5000} = 1")
    (folder / "folder.toml").mkdir()
    with (folder / "large.toml").open("wb") as large:
        large.truncate(10**9)
    with pytest.raises(SettingInvalid) as named:
        Configuration.read(file, environ={})
    assert str(named.value).startswith(says)
    with pytest.raises(SettingInvalid):
        Configuration.read(environ={"AGENTRT_CONFIG": file})


def test_a_file_may_begin_as_editors_on_windows_begin_it(folder: Path) -> None:
    (folder / "agentrt.toml").write_bytes(b'\xef\xbb\xbf[runtime]\r\njournal = "sqlite:a.db"\r\n')
    assert Configuration.read(environ={}).runtime == {"journal": "sqlite:a.db"}


def test_a_variable_that_is_nested_too_deep_is_taken_for_text() -> None:
    with pytest.raises(SettingInvalid, match="AGENTRT_SERVE__PORT: expected a whole number"):
        Configuration.read(environ={"AGENTRT_SERVE__PORT": "[" * 5000})


def test_a_program_that_reads_no_configuration_loads_none() -> None:
    code = "import sys, agentrt.verbs, agentrt.runtime; sys.exit(any('agentrt.config' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- keys ------------------------------------------------------------------------------------------


def test_a_key_comes_from_the_variable_that_is_named_or_else_the_usual_one() -> None:
    keys = {"OPENAI_API_KEY": "usual", "MINE": "mine"}
    assert provider("[providers.openai]", **keys).api_key == "usual"
    assert provider('[providers.openai]\napi_key_env = "MINE"', **keys).api_key == "mine"
    own = {**keys, "AGENTRT_PROVIDERS__OPENAI__API_KEY": "own"}
    assert provider('[providers.openai]\napi_key_env = "NIX"', **own).api_key == "own"
    assert provider("[providers.openai]").api_key is None


def test_the_usual_key_goes_to_no_address_of_anothers() -> None:
    keys = {"OPENAI_API_KEY": "usual", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    assert provider('[providers.openai]\nbase_url = "http://127.0.0.1:2/v1"', **keys).api_key == "usual"
    assert provider('[providers.second]\nprofile = "openai"', **keys).api_key == "usual"
    elsewhere = 'base_url = "http://127.0.0.1:2/v1"'
    assert provider(f'[providers.proxy]\nprofile = "openai"\n{elsewhere}', **keys).api_key is None
    assert provider(f"[providers.proxy]\n{elsewhere}", **keys).api_key is None
    azure = f'[providers.mine]\nprofile = "azure"\n{elsewhere}'  # it has no usual address, so this one is its own
    assert provider(azure, AZURE_OPENAI_API_KEY="usual").api_key == "usual"


def test_the_usual_address_holds_where_no_other_is_given() -> None:
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    assert provider("[providers.openai]", **environ).base_url == "http://127.0.0.1:1/v1"
    given = provider('[providers.openai]\nbase_url = "http://127.0.0.1:2/v1"', **environ)
    assert given.base_url == "http://127.0.0.1:2/v1"


def test_a_key_in_a_file_is_refused_and_not_repeated() -> None:
    (said,) = faults('[providers.my-vllm]\napi_key = "sk-secret"\nbase_url = "http://127.0.0.1:1/v1"')
    assert 'write api_key_env = "MY_VLLM_API_KEY"' in said
    (pasted,) = faults('[providers.openai]\napi_key_env = "sk-secret"')
    assert 'expected the name of a variable, such as "OPENAI_API_KEY"' in pasted
    (unset,) = faults('[providers.openai]\napi_key_env = "NIX"')
    assert unset.endswith("providers.openai.api_key_env: the variable NIX is to have the key, and is not set")
    (blank,) = faults('[providers.openai]\napi_key_env = "MINE"', MINE="sk secret")
    assert "providers.openai.api_key_env, MINE: " in blank
    assert "secret" not in said + pasted + blank


# ---- faults ----------------------------------------------------------------------------------------


def test_every_fault_is_said_at_once_with_where_it_stands() -> None:
    said = faults(
        'serv = 5\n[runtime]\ngrace = -1\njournal = "postgres:x"\n'
        '[providers.openai]\nhedge = "yes"\nfirst_byte_timeout = 0\nbase_url = "ftp://x"\n'
        "[providers.openai.limits]\nrequest = 5\nconcurrency = 2.5\nburst = true\nper = 0\n"
        '[providers.openai.groups."gpt-5*"]\nrequests = 0\n[serve]\nport = "80"\n',
        AGENTRT_SERVE__SETTINGS__TICK="soon",
        AGENTRT_SERVE__SETTINGS__HEARTBEAT="0",
    )
    places = [line.removeprefix("agentrt.toml: ").partition(": ")[0] for line in said]
    assert sorted(places) == [
        "AGENTRT_SERVE__SETTINGS__HEARTBEAT",
        "AGENTRT_SERVE__SETTINGS__TICK",
        "providers.openai.base_url",
        "providers.openai.first_byte_timeout",
        'providers.openai.groups."gpt-5*".requests',
        "providers.openai.hedge",
        "providers.openai.limits.burst",
        "providers.openai.limits.concurrency",
        "providers.openai.limits.per",
        "providers.openai.limits.request",
        "runtime.grace",
        "runtime.journal",
        "serv",
        "serve.port",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[runtim]", 'runtim: there is no section "runtim"; did you mean "runtime"?'),
        ("runtime = 5", "runtime: expected a table, [runtime]"),
        ("[providers]\nopenai = 5", "providers.openai: expected a table, [providers.openai]"),
        ("[runtime]\nx = 1", 'runtime.x: there is no setting "x"; there are grace, journal, on_exit'),
        ('[runtime]\non_exit = "stop"', 'runtime.on_exit: expected "cancel" or "suspend", got "stop"'),
        ("[runtime]\ngrace = [1]", "runtime.grace: expected a number, got [1]"),
        ("[runtime.grace]\nx = 1", "runtime.grace: expected a number, got a table"),
        ("[serve]\njournal = 'memory'", 'serve.journal: there is no setting "journal"'),
        ("[serve]\nport = 2026-11-22", 'serve.port: expected a whole number, got "2026-11-22"'),
        ("[serve]\nallowed_origins = 'x'", 'serve.allowed_origins: expected a list of text, got "x"'),
        ("[serve]\nallowed_origins = ['x', 5]", 'serve.allowed_origins: expected a list of text, got ["x", 5]'),
        ("[serve]\nsettings = 5", "serve.settings: expected a table, got 5"),
        ("[serve.page]\ntitel = 'x'", 'serve.page.titel: there is no setting "titel"; did you mean "title"?'),
        ("[providers.openai]\nname = 'x'", 'providers.openai.name: there is no setting "name"'),
        ("[providers.openai]\ntransport = 'x'", 'providers.openai.transport: there is no setting "transport"'),
        ("[providers.openai]\nprofile = 'opena'", 'providers.openai.profile: Provider(profile="opena")'),
        ("[providers.openai]\nlimits = 5", "providers.openai.limits: expected a table, got 5"),
        ("[providers.'a:b']\nhedge = true", 'providers."a:b": Provider(name="a:b"): expected a name without a colon'),
        (f"[runtime]\ngrace = 1{'0' * 400}", "runtime.grace: expected"),
        ("[ingest.settings]\nworkers = 0", "ingest.settings.workers: PipelineSettings was given workers=0"),
    ],
)
def test_a_fault_says_what_was_expected_and_what_came(text: str, says: str) -> None:
    (said,) = faults(text)
    assert said.startswith(f"agentrt.toml: {says}")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AGENTRT_SERVE__PORT", "80.5", 'expected a whole number, got "80.5"'),
        ("AGENTRT_SERVE__PROT", "80", 'there is no setting "prot"; did you mean "port"?'),
        ("AGENTRT_SERVER__PORT", "80", 'there is no section "server"; did you mean "serve"?'),
        ("AGENTRT_SERVE_PORT", "80", "expected AGENTRT_SERVE__PORT, with two underscores"),
        ("AGENTRT_SERVE__ALLOWED_ORIGINS", "[*]", 'expected a list of text, got "[*]"'),
        ("AGENTRT_SERVE__ALLOWED_ORIGINS", "['*']\nport = 1", "expected a list of text, got \"['*']\\nport = 1\""),
        ("AGENTRT_PROVIDERS__OPENAI__HEDGE", "maybe", 'expected true or false, got "maybe"'),
        ("AGENTRT_PROVIDERS__OPENAI__LIMITS", "500", 'expected a table, got "500"'),
        ("AGENTRT_PROVIDERS__OPENAI__LIMITS", "{request = 5}", 'there is no setting "request"; did you mean'),
        ("AGENTRT_PROVIDERS__OPENAI__LIMITS__REQUESTS", "inf", "Limits(requests=inf): needs more than 0"),
    ],
)
def test_a_fault_of_the_environment_names_the_variable(variable: str, value: str, says: str) -> None:
    (said,) = faults(**{variable: value})
    assert said.startswith(f"{variable}: {says}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    first: int = 0
    last: int = 9

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise SettingInvalid(f"Span(first={self.first}, last={self.last}): expected first <= last")


def test_prices_are_read_and_what_is_required_of_one_is_missed() -> None:
    price = 'runtime.prices."openai:gpt-5-mini"'
    read(f"[{price}]\ninput = 0.25\noutput = 2.0")
    assert any("output: required, but not given" in said for said in faults(f"[{price}]\ninput = 0.25"))
    refused = faults(f"[{price}]\ninput = -1.0\noutput = 2.0")
    assert len(refused) == 1
    assert "input" in refused[0]


def test_values_that_do_not_go_together_are_a_fault_of_their_table() -> None:
    reading = Reading()
    apart = {name: Given((name,), f"file: {name}", value) for name, value in (("first", 5), ("last", 4))}
    reading.record(shape_of(Span), Table((), "file: span", {**apart}))
    reading.record(shape_of(Span), Table((), "file: span", {"last": apart["last"], "first": apart["first"]}))
    reading.record(shape_of(Span), Table((), "file: span", {"first": Given(("first",), "file: first", 10)}))
    assert reading.faults == [
        "file: span: Span(first=5, last=4): expected first <= last",
        "file: span: Span(first=5, last=4): expected first <= last",
        "file: first: Span(first=10, last=9): expected first <= last",
    ]


def test_a_variable_that_a_cluster_sets_is_none_of_ours() -> None:
    assert read(AGENTRT_SERVE_PORT="tcp://10.0.0.1:80", AGENTRT_SERVE_SERVICE_HOST="10.0.0.1") == read()


# ---- one truth: nothing can be said in Python that cannot be said in text ---------------------------

RECORDS = [
    (Provider(name="openai"), "providers.openai", {"name", "transport"}),
    (Limits(), "providers.openai.limits", set[str]()),
    (Profile(), "providers.openai.profile", set[str]()),
    (ServeSettings(), "serve.settings", set[str]()),
    (PipelineSettings(), "ingest.settings", set[str]()),
]
OTHERS = {
    "base_url": "http://127.0.0.1:1/v1",
    "api_key": "sk-1",
    "limits": Limits(requests=7),
    "groups": {"gpt-5*": Limits(tokens=7)},
    "profile": "groq",
    "requests": 7.0,
    "tokens": 7.0,
    "per_host_rate": 7.0,
    "api": "responses",
    "max_tokens": "max_tokens",
    "tools": "json_schema",
    "given_back": frozenset({"reasoning"}),
    "allowed_hosts": ("app.example.org",),
    "compression": "deflate",
    "schemas": "never",
}
"""What such a field may be instead of its default; of numbers that is one more."""


def names_of(record: Any) -> set[str]:
    if dataclasses.is_dataclass(record):
        return {each.name for each in dataclasses.fields(record)}
    return {each.name for each in msgspec.structs.fields(record)}


def another(name: str, value: Any) -> Any:
    match value:
        case _ if name in OTHERS:
            return OTHERS[name]
        case bool():
            return not value
        case int() | float():
            return value + 1
        case tuple():
            return ("x",)
        case Mapping():
            return {"requests": 7.0} if name == "windows" else {"x": "y"}
        case _:
            return "x"


def at(configuration: Configuration, path: str) -> Any:
    if path.startswith("providers"):
        (found,) = configuration.runtime["providers"]
        return found if path.count(".") == 1 else getattr(found, path.rpartition(".")[2])
    return getattr(configuration, path.partition(".")[0])["settings"]


@pytest.mark.parametrize(("default", "path", "without"), RECORDS)
def test_every_field_can_be_written_in_a_file_and_in_the_environment(
    default: Any, path: str, without: set[str]
) -> None:
    names = names_of(default) - without
    assert set(writable_fields(default.__class__)) - {"name"} == names
    for name in names:
        base = 'providers.openai.base_url = "http://127.0.0.1:1/v1"\n' if path.endswith("profile") else ""
        wanted = another(name, getattr(default, name))
        variable = "AGENTRT_" + "__".join(map(spelled, (*path.split("."), name)))
        spoken = wanted if isinstance(wanted, str) else as_toml(wanted)
        assert getattr(at(read(base, **{variable: spoken}), path), name) == wanted
        if name != "api_key":
            assert getattr(at(read(f"{base}{path}.{name} = {as_toml(wanted)}"), path), name) == wanted


def attempt(text: str, **environ: str) -> list[str]:
    try:
        read(text, **environ)
    except SettingInvalid as refused:
        return str(refused).split("\n  ")[1:]
    return []


POSITIVE = st.floats(min_value=1e-6, max_value=1e12)
LIMITS = st.builds(
    Limits,
    requests=st.none() | POSITIVE,
    tokens=st.none() | POSITIVE,
    per=POSITIVE,
    burst=st.just(0.0) | POSITIVE,
    concurrency=st.integers(1, 2**62),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
ADDRESS = st.from_regex(r"https?://[a-z0-9][a-z0-9.-]{0,9}(:[1-9][0-9]{0,3})?(/[a-z0-9_.*-]{0,5}){0,2}", fullmatch=True)
PROVIDERS = st.builds(
    Provider,
    name=st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)?", fullmatch=True).filter(lambda name: name not in PROFILES),
    base_url=ADDRESS,
    api_key=st.none() | st.from_regex(r"[!-Z^-z|~]+", fullmatch=True),
    limits=LIMITS,
    groups=st.dictionaries(TEXT, LIMITS, max_size=3),
    profile=st.none() | st.sampled_from(sorted(PROFILES)) | st.builds(
        Profile,
        query=st.dictionaries(TEXT, TEXT, max_size=2),
        windows=st.dictionaries(TEXT, POSITIVE, max_size=2),
        usage_in_stream=st.booleans(),
    ),
    hedge=st.booleans(),
    connect_timeout=POSITIVE,
    first_byte_timeout=POSITIVE,
    idle_timeout=POSITIVE,
)  # fmt: skip


def as_toml(value: Any) -> str:
    """A value as TOML writes it, a record as an inline table of what is not None."""
    if dataclasses.is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        given = {key: each for key, each in value.items() if each is not None}
        return f"{{{', '.join(f'{as_toml(key)} = {as_toml(each)}' for key, each in given.items())}}}"
    if isinstance(value, str):
        inside = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
        return f'"{inside}"'
    if isinstance(value, tuple | frozenset):
        return f"[{', '.join(map(as_toml, value))}]"
    return str(value) if isinstance(value, float) else json.dumps(value)


def as_environ(variable: str, value: Any) -> dict[str, str]:
    """A value as variables: one for each that is not None, and mappings as TOML."""
    if value is None:
        return {}
    if dataclasses.is_dataclass(value):
        found: dict[str, str] = {}
        for each in dataclasses.fields(value):
            found |= as_environ(f"{variable}__{each.name.upper()}", getattr(value, each.name))
        return found
    return {variable: value if isinstance(value, str) else as_toml(value)}


@given(PROVIDERS)
def test_a_provider_written_as_text_reads_back_equal(wanted: Provider) -> None:
    fields = {each.name: getattr(wanted, each.name) for each in dataclasses.fields(wanted)}
    del fields["name"], fields["api_key"]
    written = "".join(f"{key} = {as_toml(value)}\n" for key, value in fields.items() if value is not None)
    keys = {} if wanted.api_key is None else {"KEY": wanted.api_key}
    named = 'api_key_env = "KEY"\n' if keys else ""
    assert provider(f"[providers.{json.dumps(wanted.name)}]\n{named}{written}", **keys) == wanted


@given(PROVIDERS)
def test_a_provider_written_as_variables_reads_back_equal(wanted: Provider) -> None:
    prefix = f"AGENTRT_PROVIDERS__{spelled(wanted.name)}"
    environ: dict[str, str] = {}
    for each in dataclasses.fields(wanted):
        if each.name != "name":
            environ |= as_environ(f"{prefix}__{each.name.upper()}", getattr(wanted, each.name))
    assert provider(f"[providers.{json.dumps(wanted.name)}]", **environ) == wanted


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["limits", "x", "requests"]), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(sorted({*writable_fields(Provider), *writable_fields(Limits), "api_key_env", "x"}))


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=2) | VALUES, max_size=4), TEXT)
def test_whatever_stands_there_it_is_read_or_refused(table: dict[str, Any], text: str) -> None:
    attempt(f"providers.openai = {as_toml(table)}")
    attempt(text)
    for written in (as_toml(table), text):
        for key in ("PROVIDERS__OPENAI", "PROVIDERS__OPENAI__LIMITS__REQUESTS", "SERVE__SETTINGS", "SERVE", "X__"):
            attempt("", **{f"AGENTRT_{key}": written})


# ---- the command line ------------------------------------------------------------------------------


def test_agentrt_config_shows_what_is_in_force_and_no_key(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.toml").write_text(FILE)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("AGENTRT_SERVE__PORT", "90")
    proxy = "AGENTRT_PROVIDERS__PROXY"
    monkeypatch.setenv(f"{proxy}__PROFILE", '{base_url = "http://p/v1", headers = {X-Pass = "sk-secret"}}')
    assert main(["config", "--config", "mine.toml"]) == 0
    said = capsys.readouterr().out
    assert "sk-secret" not in said
    for line in (
        "# mine.toml",
        "providers.openai.api_key = *** # OPENAI_API_KEY",
        f"providers.proxy.profile.headers.X-Pass = *** # {proxy}__PROFILE",
        "providers.openai.limits.requests = 500.0 # mine.toml",
        "providers.openai.limits.burst = 0.5 # default",
        'providers.openai.groups."text-embedding-*".concurrency = 8 # mine.toml',
        "serve.port = 90 # AGENTRT_SERVE__PORT",
        'serve.settings.allowed_hosts = ["app.example.org"] # mine.toml',
        "ingest.settings.workers = 4 # mine.toml",
    ):
        assert line in said.splitlines()
    assert main(["config", "--config", "absent.toml"]) == 1
    assert 'there is no file "absent.toml"' in capsys.readouterr().err


def test_ingest_takes_what_is_configured_unless_its_arguments_say_otherwise(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "lamps.md").write_text("# Lamps\n\nA lamp may be returned within thirty days.")
    assert main(["ingest", "docs"]) == 1
    assert "which index? Give --index FILE" in capsys.readouterr().err
    (folder / "agentrt.toml").write_text('[ingest]\nindex = "kb.sqlite"\n[ingest.settings]\nmax_bytes = 10')
    assert main(["ingest", "docs"]) == 1
    assert "1 in quarantine" in capsys.readouterr().out
    (folder / "more.toml").write_text('[ingest]\nindex = "kb.sqlite"')
    assert main(["ingest", "docs", "--config", "more.toml", "--index", "other.sqlite"]) == 0
    assert (folder / "kb.sqlite").exists() and (folder / "other.sqlite").exists()


def test_serve_takes_what_is_configured_unless_its_arguments_say_otherwise(folder: Path) -> None:
    (folder / "shop.py").write_text('from agentrt import Agent\nclerk = Agent(name="clerk", model="mine:m")')
    (folder / "agentrt.toml").write_text(
        '[runtime]\njournal = "sqlite:chat.db"\n[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\n'
        "[serve]\nport = 99999\npage = false\n"
    )
    command = (sys.executable, "-m", "agentrt.cli.main", "serve", "shop:clerk")
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "port=99999: expected 0 to 65535" in refused.stderr
    arguments = ("--port", "0", "--journal", "sqlite:other.db")
    with subprocess.Popen((*command, *arguments), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("serving ws://127.0.0.1:")
            assert (folder / "other.db").exists() and not (folder / "chat.db").exists()
        finally:
            process.kill()


# ---- what is shown as an example -------------------------------------------------------------------

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.parametrize("text", [(ROOT / "examples" / "agentrt.toml").read_text(encoding="utf-8"), *BLOCKS])
def test_what_is_shown_as_an_example_has_no_fault(text: str) -> None:
    configuration = read(text, OPENAI_API_KEY="sk-1")
    openai, house = configuration.runtime["providers"]
    assert (openai.limits.requests, openai.groups["text-embedding-*"].requests) == (500, 3_000)
    assert (house.name, house.profile) == ("house", "vllm")
    assert (configuration.serve["port"], configuration.serve["settings"].grace) == (8080, 10)


def test_the_page_shows_the_variables_and_the_faults_as_they_are() -> None:
    shown = re.findall(r"^(AGENTRT_\w+)='(.*)'$", PAGE, re.M)
    assert len(shown) == 2
    read(**dict(shown))
    said = faults(
        '[providers.openai.limits]\nrequest = 5\n[serve]\nport = "8080"', AGENTRT_SERVE__SETTINGS__HEARTBEAT="0"
    )
    assert "agentrt: 3 settings are wrong:\n  " + "\n  ".join(said) + "\n" in PAGE
