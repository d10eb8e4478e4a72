"""A typed function becomes a tool."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Generic, Literal, Protocol, TypedDict, Unpack, get_args, overload

from typing_extensions import ParamSpec, TypeVar

from agentrt.errors import ToolInvalid
from agentrt.gate.pace import Rate, as_rate
from agentrt.messages import ToolSpec
from agentrt.providers import Provider
from agentrt.toolbox.context import Context
from agentrt.toolbox.schema import Signature, read_signature
from agentrt.toolbox.travel import check_travels

Effect = Literal["read", "egress", "write"]
"""What a call does to the world: looks at it, sends something out, changes it."""

RunIn = Literal["loop", "thread", "process", "client"]
"""Where a call runs: on the event loop, in a thread, in a process of its own that can be killed, or not here at all."""

D = TypeVar("D")
P = ParamSpec("P")
R = TypeVar("R")
D_contra = TypeVar("D_contra", contravariant=True, default=object)
R_co = TypeVar("R_co", covariant=True, default=Any)
Parameters = ParamSpec("Parameters", default=...)  # last: after "..." no default is filled in (CPython gh-138859)


@dataclass(frozen=True, eq=False)
class Tool(Generic[D_contra, R_co, Parameters]):
    """A function that a model may call. Made by `@tool`, and still callable as the function it was.

    `Tool[Deps]` is a tool whose context carries `Deps`. A tool that asks for no deps is a
    `Tool[object]`, for short `Tool`, and goes wherever a `Tool[Deps]` goes. A tool is equal only to
    itself; `dataclasses.replace` makes one with another policy.

    Attributes:
        name: What the model calls it: 1 to 64 of letters, digits, `_` and `-`.
        description: What the model reads to decide whether to call it.
        timeout: Seconds an attempt at a call may take, waiting for a thread included. It begins when the call may: the
            wait for its provider, its rate or its turn counts against the run's deadline alone.
        effect: What a call does to the world; undeclared (None) is taken as "write". A call that was running when
            its process died runs again, once its run is resumed, if it only reads.
        idempotent: A call that runs twice under one `Context.idempotency_key` takes effect once. It, too, runs
            again after its process died; any other call is reported to the model as "outcome unknown".
        max_result: Bytes of a result that the model gets to see. It reads on by `read_result`.
        run_in: Where it runs: an async function on the "loop", a plain one in a "thread", or in a "process" that is
            killed on timeout and cancel; that one must stand in a module, and its arguments and result travel. A call
            of a tool of the "client" is not run here at all: whoever shows the run answers it, and the function is
            there for its signature.
        provider: Whose gate each call passes, as the calls of a model do: a `Provider`, or the name of one that the
            Runtime knows. What the function raises of `ProviderError` and its kin tells the gate how it went, and
            `raise_for_provider(response)` makes that of an HTTP answer. The call is made again, under the same
            `Context.idempotency_key` and up to twice, where the provider is known not to have done it (429, no
            connection); and after every failure that may pass if it only reads or is `idempotent`. That is
            right for a function that makes one request: one that writes and then makes another, be it to another
            provider, must raise the failure of that one as a `ToolError`, or it writes twice. In `Provider.groups`
            the tool goes by its name.
        rate: At what pace calls begin, for politeness: calls a second (5), or calls and seconds ((30, 60)). After a
            pause, a period's calls may begin at once; (1, 2) has no such burst. A quota that must hold is a provider's.
        concurrency: How many calls may run at once, over all runs of a Runtime; the others wait in line. A call that
            would not stop counts until it ends.
        idle_timeout: Seconds that a call may be silent. `Context.heartbeat` and `emit` break the silence, and so does
            what an async generator yields.
        retries: How often an attempt is made again that failed by anything but a `ToolError`, or ran out of time and
            stopped; after a random pause that grows (0.25 s, 0.5 s, 1 s, ... at most), within the run's deadline.
            Only for what reads or is `idempotent`, and not with `provider`, whose gate makes attempts itself.
        cache: Seconds for which a result is good, for the same arguments, in the name of the same principal and, where
            the tool asks for a context, with the same deps. It must depend on nothing else. Only for what reads.
        needs_approval: Each call waits until a person has approved of it.

    Raises:
        ToolInvalid: an option that makes no sense, for this function or together with another.
    """

    name: str
    description: str
    function: Callable[Parameters, R_co]
    signature: Signature = field(repr=False)
    run_in: RunIn
    timeout: float = 60.0
    effect: Effect | None = None
    max_result: int = 65_536
    idempotent: bool = False
    provider: Provider | str | None = None
    rate: Rate | None = None
    concurrency: int | None = None
    idle_timeout: float | None = None
    retries: int = 0
    cache: float | None = None
    needs_approval: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.name):
            raise ToolInvalid(f'a tool\'s name is 1 to 64 of A-Z, a-z, 0-9, "_" and "-"; this one is "{self.name}"')
        if not self.timeout > 0:
            raise ToolInvalid(f'tool "{self.name}": timeout={self.timeout}; it needs more than 0 seconds')
        if self.max_result < 1:
            raise ToolInvalid(f'tool "{self.name}": max_result={self.max_result}; it needs 1 byte or more')
        if self.effect not in (None, *get_args(Effect)):
            raise ToolInvalid(f'tool "{self.name}": effect="{self.effect}"; it is "read", "egress" or "write"')
        self._check_provider()
        self._check_pace()
        self._check_repeating()
        self._check_place()

    def _check_provider(self) -> None:
        provider = self.provider
        if provider is None:
            return
        if not isinstance(provider, Provider | str):  # pyright: ignore[reportUnnecessaryIsInstance] - as in Registry
            raise ToolInvalid(f'tool "{self.name}": provider={provider!r}; it is a Provider or the name of one')
        if isinstance(provider, str) and (not provider or ":" in provider):
            raise ToolInvalid(f'tool "{self.name}": provider="{provider}"; a provider\'s name has no colon, e.g. "crm"')
        if self.rate is not None:
            raise ToolInvalid(
                f'tool "{self.name}": provider= and rate= together; let the provider have the rate: '
                f"Provider(limits=Limits(requests=5, per=1)), or groups= for this tool alone"
            )

    def _check_pace(self) -> None:
        if self.rate is not None:
            try:
                as_rate(self.rate)
            except ValueError as error:
                raise ToolInvalid(f'tool "{self.name}": rate={self.rate!r}; {error}') from None
        if self.concurrency is not None and self.concurrency < 1:
            raise ToolInvalid(f'tool "{self.name}": concurrency={self.concurrency}; it needs 1 call or more, or None')
        if self.idle_timeout is None:
            return
        if not self.idle_timeout > 0:
            raise ToolInvalid(f'tool "{self.name}": idle_timeout={self.idle_timeout}; it needs more than 0 seconds')
        if not (self.signature.takes_context or _is(inspect.isasyncgenfunction, self.function)):
            raise ToolInvalid(
                f'tool "{self.name}": idle_timeout={self.idle_timeout}, but it cannot say that it is alive; take a '
                f"Context first and call its heartbeat() or emit(), or yield progress from an async generator"
            )

    def _check_repeating(self) -> None:
        if self.retries < 0:
            raise ToolInvalid(f'tool "{self.name}": retries={self.retries}; it needs 0 or more')
        if self.retries and not self.repeatable:
            raise ToolInvalid(
                f'tool "{self.name}": retries={self.retries}, but a call that failed may have taken effect; say '
                f'effect="read", or idempotent=True if it does nothing twice under one Context.idempotency_key'
            )
        if self.retries and self.provider is not None:
            raise ToolInvalid(
                f'tool "{self.name}": retries= and provider= together; the provider\'s gate makes attempts itself'
            )
        if self.cache is None:
            return
        if not self.cache > 0:
            raise ToolInvalid(f'tool "{self.name}": cache={self.cache}; it needs more than 0 seconds, or None')
        if self.effect != "read":
            raise ToolInvalid(f'tool "{self.name}": cache={self.cache} needs effect="read"; it is {self.effect!r}')

    def _check_place(self) -> None:
        if self.run_in not in get_args(RunIn):
            raise ToolInvalid(
                f'tool "{self.name}": run_in="{self.run_in}"; it is "loop", "thread", "process" or "client"'
            )
        if _runs_async(self.function) and self.run_in in ("thread", "process"):
            instead = 'leave run_in out, or write a plain function ("def")'
            raise ToolInvalid(f'tool "{self.name}": run_in="{self.run_in}", but its function is async; {instead}')
        if not _runs_async(self.function) and self.run_in == "loop":
            instead = 'it would hold up every run; leave run_in out, or write "async def"'
            raise ToolInvalid(f'tool "{self.name}": run_in="loop", but its function is a plain one; {instead}')
        if self.run_in == "process" and self.signature.takes_context:
            instead = "take what it needs as arguments, or leave run_in out"
            raise ToolInvalid(f'tool "{self.name}": run_in="process", but a Context cannot travel there; {instead}')
        if self.run_in == "process":
            check_travels(self.function, self.name)
        if self.run_in != "client":
            return
        for name in ("provider", "rate", "concurrency", "idle_timeout", "retries", "cache"):
            if getattr(self, name):
                raise ToolInvalid(f'tool "{self.name}": run_in="client" and {name}= together; the client runs it')

    @property
    def early(self) -> bool:
        """Whether a call may begin before the model has finished its turn: it only reads, and nobody is asked."""
        return self.effect == "read" and not self.needs_approval and self.run_in != "client"

    @property
    def repeatable(self) -> bool:
        """Whether a call that may have run already may run once more: it only reads, or is idempotent."""
        return self.effect == "read" or self.idempotent

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> R_co:
        """Call the function itself: no check, no timeout, no thread."""
        return self.function(*args, **kwargs)

    @property
    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        return ToolSpec(self.name, self.description, self.signature.parameters)


class ToolOptions(TypedDict, total=False):
    """What `@tool(...)` may be told; whatever is left out is read from the function or is `Tool`'s default."""

    name: str
    description: str
    timeout: float
    effect: Effect | None
    max_result: int
    idempotent: bool
    provider: Provider | str | None
    rate: Rate | None
    concurrency: int | None
    idle_timeout: float | None
    retries: int
    cache: float | None
    needs_approval: bool
    run_in: RunIn


class ToolDecorator(Protocol):
    """What `@tool(...)` returns; the overloads are those of `tool`."""

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[Concatenate[object, P], R], /
    ) -> Tool[object, R, Concatenate[object, P]]: ...

    @overload
    def __call__(
        self, function: Callable[Concatenate[Context[D], P], R], /
    ) -> Tool[D, R, Concatenate[Context[D], P]]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Tool[object, R, P]: ...


# A first parameter that takes anything would take a context as well, of deps that nobody can name: hence this first.
@overload
def tool(  # pyright: ignore[reportOverlappingOverload]
    function: Callable[Concatenate[object, P], R], /, **options: Unpack[ToolOptions]
) -> Tool[object, R, Concatenate[object, P]]: ...


@overload
def tool(
    function: Callable[Concatenate[Context[D], P], R], /, **options: Unpack[ToolOptions]
) -> Tool[D, R, Concatenate[Context[D], P]]: ...


@overload
def tool(function: Callable[P, R], /, **options: Unpack[ToolOptions]) -> Tool[object, R, P]: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> ToolDecorator: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]) -> Any:
    """Make a tool of a typed function: `@tool`, `@tool(timeout=5)`, or `tool(warehouse.count, name="stock")`.

    An async function runs on the loop, a plain one in a thread. What an async generator yields is shown to whoever
    watches as soon as it waits or yields again, as by `Context.emit`, and the last it yields is the result. The model
    is shown the parameters, but for a first one annotated `Context`, and the docstring: its text up to the first
    section, and the entries of `Args:`.

    Raises:
        ToolInvalid: a model could not call this function; the text says what to write instead.
    """
    if function is not None:
        return _define(function, options)

    def decorate(function: Callable[..., Any], /) -> Tool[Any]:
        return _define(function, options)

    return decorate


def _define(function: Callable[..., Any], options: ToolOptions) -> Tool[Any]:
    name = options.get("name", getattr(function, "__name__", type(function).__name__))
    if _is(inspect.isgeneratorfunction, function):
        raise ToolInvalid(
            f'tool "{name}" is a plain generator; write "async def", and all that it yields but the last is progress, '
            f"or return one result, and show progress by Context.emit_soon"
        )
    signature = read_signature(function, name)
    run_in: RunIn = options.get("run_in", "loop" if _runs_async(function) else "thread")
    return replace(Tool(name, signature.description, function, signature, run_in), **options)


def _runs_async(function: Callable[..., Any]) -> bool:
    return _is(inspect.iscoroutinefunction, function) or _is(inspect.isasyncgenfunction, function)


def _is(kind: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Whether it is a function of that kind, or an object whose `__call__` is."""
    return kind(function) or kind(type(function).__call__)
