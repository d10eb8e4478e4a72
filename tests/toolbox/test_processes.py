from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pydantic
import pytest

from agentrt.errors import ProviderThrottled, ToolError, ToolInvalid
from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.define import tool
from agentrt.toolbox.processes import Processes
from agentrt.toolbox.travel import check_travels


class Shelf(pydantic.BaseModel):
    sku: str
    places: list[int]


class OutOfStock(ToolError):
    code = "out_of_stock"


class Odd(Exception):
    """Can neither be pickled nor shown."""

    def __init__(self, one: int, two: int) -> None:
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise RuntimeError


@tool
def count(shelf: Shelf, factor: int = 2) -> dict[str, int]:
    """Count."""
    return {shelf.sku: len(shelf.places) * factor}


def own_id() -> int:
    return os.getpid()


def say(text: str) -> str:
    print("printed by a tool")
    return text


def descriptors() -> set[str]:
    found: set[str] = set()
    for link in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):  # closed by now, as that of this very listing
            found.add(str(link.readlink()))
    return found


def open_descriptors() -> list[str]:
    return sorted(descriptors())


def tell_and_hang(path: str) -> None:
    """Write down who we are and whom we started, and then never let go of the interpreter, whatever signal comes."""
    child = subprocess.Popen(["sleep", "1000"])
    Path(path).write_text(f"{os.getpid()} {child.pid}\n")
    ctypes.PyDLL(None).sleep(1000)


def fork_away_and_die(path: str) -> None:
    """Leave somebody behind who has our descriptors and cannot be reached by our group."""
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.alarm(60)  # should the test die
        while not Path(path).exists():
            time.sleep(0.001)
        os._exit(0)
    os._exit(7)


def fail(how: str) -> None:
    match how:
        case "plain":
            raise KeyError("A-1")
        case "exit":
            sys.exit(3)
        case "ours":
            raise OutOfStock("none left \ud800")
        case "provider":
            raise ProviderThrottled("slow down", status=429, retry_after=2.5)
        case "group":
            raise ExceptionGroup("two", [ValueError("a"), OutOfStock("b")])
        case "odd":
            raise Odd(1, 2)
        case _:
            raise asyncio.CancelledError


def odd_result() -> object:
    return object()


def die(code: int) -> None:
    os._exit(code)


def kill_myself(number: int) -> None:
    os.kill(os.getpid(), number)


async def on_the_loop() -> None: ...


class Outside:
    def method(self) -> None: ...


def gone(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in another process
            await asyncio.sleep(0.001)


def workers(path: Path) -> list[int]:
    """The ids that a tool wrote down, once it has."""
    text = path.read_text() if path.exists() else ""
    return [int(each) for each in text.split()] if text.endswith("\n") else []


class House:
    """One pool for all tests of the module: a worker takes a fifth of a second to start."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.processes = Processes(2)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def call(self, function: Callable[..., Any], /, **values: Any) -> str | BaseException:
        async def main() -> str | BaseException:
            return await self.processes.start(function, values)

        came_of: str | BaseException = self.run(main())
        return came_of


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    house = House()
    yield house
    house.run(house.processes.aclose())
    house.loop.close()


def test_a_decorated_function_is_called_in_another_process_with_values_of_the_users_types(house: House) -> None:
    assert house.call(count.function, shelf=Shelf(sku="A-1", places=[1, 2])) == '{"A-1":4}'


def test_calls_that_come_one_by_one_share_a_worker_and_text_stays_text(house: House) -> None:
    assert house.call(say, text="è\n\ud800") == "è\n\ufffd"
    ids = {house.call(own_id) for _ in range(20)}
    assert len(ids) == 1
    assert ids != {str(os.getpid())}


def test_what_a_tool_prints_goes_to_standard_error(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> str | BaseException:
        processes = Processes(1)
        came_of = await processes.start(say, {"text": "x"})
        await processes.aclose()
        return came_of

    assert house.run(main()) == "x"
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "printed by a tool\n")


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("plain", "KeyError", "'A-1'"),
        ("exit", "SystemExit", "3"),
        ("ours", "OutOfStock", "none left \ufffd"),
        ("odd", "Odd", ""),
        ("cancelled", "CancelledError", ""),
    ],
)
def test_what_the_function_raises_has_its_class_name_and_text(how: str, kind: str, text: str, house: House) -> None:
    error = house.call(fail, how=how)
    assert isinstance(error, Exception)
    assert (type(error).__name__, str(error)) == (kind, text)
    assert "in fail" in error.__notes__[0]


def test_our_own_errors_come_back_as_such_and_groups_as_groups(house: House) -> None:
    ours, provider = house.call(fail, how="ours"), house.call(fail, how="provider")
    assert isinstance(ours, ToolError)
    assert ours.code == "out_of_stock"
    assert type(provider) is ProviderThrottled
    assert (provider.status, provider.retry_after, provider.retry) == (429, 2.5, "throttled")
    with pytest.raises(ExceptionGroup) as group:
        raise cast("BaseException", house.call(fail, how="group"))
    assert [type(each).__name__ for each in group.value.exceptions] == ["ValueError", "OutOfStock"]


def test_a_result_without_json_form_is_an_error_that_says_so(house: House) -> None:
    error = house.call(odd_result)
    assert isinstance(error, ToolError)
    assert error.code == "result_invalid"


def test_arguments_that_cannot_be_pickled_are_an_error_that_says_so(house: House) -> None:
    error = house.call(say, text=threading.Lock())
    assert isinstance(error, ToolError)
    assert str(error).startswith("the arguments cannot be sent to the process that runs the tool: TypeError: ")


@pytest.mark.parametrize(
    ("function", "value", "how"),
    [(die, 3, "left with code 3"), (die, 0, "left with code 0"), (kill_myself, signal.SIGSEGV, "was ended by SIGSEGV")],
)
def test_a_worker_that_dies_is_an_error_and_the_next_call_has_another(
    function: Callable[[int], None], value: int, how: str, house: House
) -> None:
    error = house.call(function, **{"code" if function is die else "number": int(value)})
    assert isinstance(error, ToolError)
    assert error.code == "tool_process_died"
    assert str(error) == f"the process that ran the tool {how} before the tool was done; it may have taken effect"
    assert isinstance(house.call(own_id), str)


def test_a_worker_that_died_while_it_was_idle_harms_nobody(house: House) -> None:
    number = int(str(house.call(own_id)))
    os.kill(number, signal.SIGKILL)
    house.run(until(lambda: gone(number)))
    again = house.call(own_id)
    assert isinstance(again, str)
    assert again != str(number)


def test_a_cancelled_call_is_killed_with_what_it_started_and_its_siblings_live_on(house: House, tmp_path: Path) -> None:
    async def main() -> None:
        hanging = [house.processes.start(tell_and_hang, {"path": str(tmp_path / name)}) for name in "ab"]
        third = house.processes.start(own_id, {})
        await until(lambda: workers(tmp_path / "a") and workers(tmp_path / "b"))
        assert hanging[0].cancel()
        assert hanging[0].cancelled()
        await until(lambda: all(map(gone, workers(tmp_path / "a"))))
        assert isinstance(await third, str)  # it has the slot now
        assert not any(map(gone, workers(tmp_path / "b")))
        assert not hanging[1].done()
        hanging[1].cancel()
        await until(lambda: all(map(gone, workers(tmp_path / "b"))))

    house.run(main())


def test_a_call_cancelled_while_its_worker_starts_kills_the_worker_and_one_that_waits_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start: Callable[..., Any] = subprocess.Popen
    starting, cancelled = threading.Event(), threading.Event()

    def start_slowly(*arguments: Any, **options: Any) -> Any:
        starting.set()
        assert cancelled.wait(30)
        return start(*arguments, **options)

    async def main() -> None:
        processes = Processes(1)
        begun, waiting = (processes.start(tell_and_hang, {"path": str(tmp_path / name)}) for name in "ab")
        last = processes.start(own_id, {})
        await until(starting.is_set)
        begun.cancel()
        waiting.cancel()
        cancelled.set()
        assert isinstance(await last, str)
        assert workers(tmp_path / "a") == workers(tmp_path / "b") == []
        await processes.aclose()

    monkeypatch.setattr(subprocess, "Popen", start_slowly)
    asyncio.run(main())


def test_a_worker_whose_socket_a_stranger_holds_is_let_go_of_when_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        processes = Processes(1)
        held = processes.start(fork_away_and_die, {"path": str(tmp_path / "end")})
        await until(lambda: processes._slots[0]._worker)  # pyright: ignore[reportPrivateUsage]
        worker = processes._slots[0]._worker  # pyright: ignore[reportPrivateUsage]
        assert worker is not None
        await until(lambda: not worker.alive())
        held.cancel()
        assert isinstance(await processes.start(own_id, {}), str)
        await processes.aclose()

    try:
        asyncio.run(main())
    finally:
        (tmp_path / "end").touch()


def test_closing_leaves_no_process_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    async def main() -> None:
        threads, open_ones = set(threading.enumerate()), descriptors()
        processes = Processes(2)
        hanging = processes.start(tell_and_hang, {"path": str(tmp_path / "a")})
        idle = int(str(await processes.start(own_id, {})))
        await until(lambda: workers(tmp_path / "a"))
        waiting = [processes.start(tell_and_hang, {"path": str(tmp_path / "b")}) for _ in range(3)]
        await processes.aclose()
        assert hanging.cancelled()
        assert all(call.cancelled() for call in waiting)
        with pytest.raises(ProcessLookupError):
            os.kill(idle, 0)  # not even a zombie
        await until(lambda: descriptors() <= open_ones)
        await until(lambda: all(map(gone, workers(tmp_path / "a"))) and set(threading.enumerate()) <= threads)
        with pytest.raises(RuntimeError, match="these processes are closed"):
            processes.start(own_id, {})
        await processes.aclose()

    asyncio.run(main())


def test_nothing_starts_before_the_first_call_and_a_virtual_clock_is_refused() -> None:
    async def main() -> None:
        threads = threading.active_count()
        processes = Processes()
        assert threading.active_count() == threads
        await processes.aclose()

    asyncio.run(main())

    async def virtual() -> None:
        with pytest.raises(RuntimeError, match="a virtual clock cannot wait"):
            Processes().start(own_id, {})

    run_virtual(virtual())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_worker_has_none_of_our_descriptors(house: House, tmp_path: Path) -> None:
    with (tmp_path / "ours").open("w") as ours, socket.socket() as listener:
        os.set_inheritable(ours.fileno(), True)
        os.set_inheritable(listener.fileno(), True)

        async def main() -> str:
            processes = Processes(1)
            came_of = str(await processes.start(open_descriptors, {}))
            await processes.aclose()
            return came_of

        found = house.run(main())
    assert "ours" not in found
    assert found.count("socket:") == 1


def test_a_worker_leads_a_group_of_its_own_so_that_control_c_does_not_reach_it(house: House) -> None:
    number = int(str(house.call(own_id)))
    assert os.getpgid(number) == number != os.getpgid(0)


def test_the_processes_are_as_many_as_were_asked_for() -> None:
    async def main() -> None:
        processes = Processes(2)
        calls = [processes.start(own_id, {}) for _ in range(40)]
        await asyncio.wait(calls)
        assert len({call.result() for call in calls}) <= 2
        assert all(isinstance(call.result(), str) for call in calls)
        await processes.aclose()

    asyncio.run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's SIGIO")
def test_workers_that_compute_or_idle_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = f"""
        import asyncio, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_processes as tests
        async def main():
            processes = tests.Processes(2)
            idle = processes.start(tests.own_id, {{}})
            processes.start(tests.tell_and_hang, {{"path": {str(tmp_path / "a")!r}}})
            print(await idle, flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
        """
    parent = subprocess.Popen((sys.executable, "-c", textwrap.dedent(program)), stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent, parent.stdout:
        numbers = [int(parent.stdout.readline())]
        asyncio.run(until(lambda: workers(tmp_path / "a")))
        numbers += workers(tmp_path / "a")
        assert not any(map(gone, numbers))
        parent.kill()
        asyncio.run(until(lambda: all(map(gone, numbers))))


SCRIPT = """\
import asyncio, copy, enum
from agentrt.toolbox.define import tool
from agentrt.toolbox.processes import Processes

class Size(enum.Enum):
    SMALL = "s"

@tool
def order(size: Size) -> list[str]:
    '''Order.'''
    return [__name__, type(size).__module__, size.value]

async def main() -> None:
    processes = Processes(1)
    print(await processes.start(copy.copy, {"x": Size.SMALL}))
    print(await processes.start(order.function, {"size": Size.SMALL}))
    await processes.aclose()
"""
GUARDED = SCRIPT + "if __name__ == '__main__':\n    asyncio.run(main())\n"


def output(*arguments: str, cwd: Path, entered: str | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    program = (sys.executable, *arguments)
    done = subprocess.run(
        program, cwd=cwd, env=environment, input=entered, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip() or done.stderr


def test_a_tool_of_the_main_script_or_module_is_found_with_its_types(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(GUARDED)
    assert output("shop.py", cwd=tmp_path) == '"s"\n["__mp_main__","__mp_main__","s"]'
    assert output("-m", "shop", cwd=tmp_path) == '"s"\n["shop","shop","s"]'


def test_a_script_without_a_main_guard_is_told_so_and_does_not_start_twice(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SCRIPT + "asyncio.run(main())\n")
    told = output("shop.py", cwd=tmp_path)
    assert "shop.py could not be imported into a worker process" in told
    assert "what starts the program belongs under `if __name__ == '__main__':`" in told
    assert told.count("could not be imported") == 2  # once for each call


def test_a_tool_defined_at_a_prompt_is_refused(tmp_path: Path) -> None:
    for arguments in (("-c", GUARDED), ("-",)):
        told = output(*arguments, cwd=tmp_path, entered=GUARDED)
        assert 'tool "order": run_in="process", but it is defined at a prompt, in a notebook' in told


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda: 1, "is a lambda or within a function"),
        (Outside().method, "is a method or an object"),
        (partial(own_id), "is a method or an object"),
        (on_the_loop, "is async, and runs on the loop"),
    ],
)
def test_a_function_that_no_name_leads_to_is_refused(function: Callable[..., Any], why: str, house: House) -> None:
    with pytest.raises(ToolInvalid, match=f'tool "stock": run_in="process", but .*{why}'):
        check_travels(function, "stock")
    assert isinstance(house.call(function), ToolInvalid)


def test_a_function_whose_name_leads_elsewhere_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    check_travels(own_id, "stock")
    held = own_id
    monkeypatch.setattr(sys.modules[__name__], "own_id", say)
    error = house.call(held)
    assert isinstance(error, ToolInvalid)
    assert "does not lead to its function" in str(error)


def test_no_call_is_lost_or_mixed_up_where_many_are_cancelled(house: House) -> None:
    async def main() -> None:
        calls = [(number, house.processes.start(say, {"text": str(number)})) for number in range(60)]
        for number, call in calls:
            if number % 15 == 0:
                call.cancel()
            elif number % 5 == 0:
                await call
        await asyncio.wait([call for _, call in calls])
        assert all(call.cancelled() or call.result() == str(number) for number, call in calls)
        assert sum(call.cancelled() for _, call in calls) == len(range(0, 60, 15))

    house.run(main())


def test_a_process_that_cannot_be_started_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    async def main() -> None:
        open_ones = descriptors()
        processes = Processes(1)
        error = await processes.start(own_id, {})
        assert isinstance(error, ToolError)
        assert error.code == "tool_process_failed"
        await until(lambda: descriptors() <= open_ones)  # what an earlier test killed may be closing
        await processes.aclose()

    asyncio.run(main())
