"""Structured output: an answer is a value of the agent's type, or the model is told once what is wrong with it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from agentrt import Agent, Answer, Budget, Runtime, run, stream
from agentrt.errors import DeadlineExceeded, OutputInvalid, RunCancelled, RunFailed, SettingInvalid
from agentrt.events import OutputRejected, RunEnded
from agentrt.forms import Form, Mismatch, form_of
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import AssistantMessage, SystemMessage, UserMessage, text_of
from agentrt.runs.order import Candidate
from agentrt.runs.output import with_form
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import assert_valid, assert_whole, left_behind, virtual_loop, wait, world


class Line(BaseModel):
    sku: str = Field(min_length=1, description="Article")
    count: int = Field(default=1, ge=1)


class Invoice(BaseModel):
    total: float
    lines: list[Line]


class Node(BaseModel):
    kids: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Row(TypedDict):
    a: int


@dataclass
class Point:
    x: int
    y: int = 3


class Fussy(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        return {"ada": "Ada"}[name]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
GOOD = '{"total": 9.5, "lines": [{"sku": "A", "count": 2}]}'
BAD = '{"total": "much", "lines": [{"sku": "", "count": 0}]}'
VALUE = Invoice(total=9.5, lines=[Line(sku="A", count=2)])


def biller(output: Any = Invoice, **more: Any) -> Agent[Any, Any]:
    return Agent(name="biller", model="openai:scripted", output=output, **more)


def ask(model: ScriptedModel, agent: Agent[Any, Any]) -> Answer[Any]:
    async def main() -> Answer[Any]:
        async with world(model):
            return await run(agent, "The bill?")

    return run_virtual(main())


def fail(model: ScriptedModel, agent: Agent[Any, Any]) -> RunFailed:
    with pytest.raises(RunFailed) as failed:
        ask(model, agent)
    return failed.value


# ---- what is asked and what is read ----------------------------------------------------------------


def test_the_answer_is_a_value_and_the_request_carries_its_schema() -> None:
    model = ScriptedModel([GOOD])
    answer = ask(model, biller())
    assert answer.output == VALUE
    assert text_of(answer.messages[-1]) == GOOD
    sent = model.requests[0]["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"]["required"] == ["total", "lines"]
    assert [m["role"] for m in model.requests[0]["messages"]] == ["user"]


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [
        (Point, '{"x": 1}', Point(1)),
        (Row, '{"a": 1}', {"a": 1}),
        (list[Point], '{"answer": [{"x": 1, "y": 2}]}', [Point(1, 2)]),
        (int, ' {"answer": 5}\n', 5),
        (Literal["yes", "no"], '{"answer": "no"}', "no"),
        (int | None, '{"answer": null}', None),
        (Pet, '{"answer": {"kind": "dog"}}', Dog(kind="dog")),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Invoice, f"```json\n{GOOD}\n```", VALUE),
        (Invoice, f"\n```\n{GOOD}```\n", VALUE),
        (Node, '{"kids": [{"kids": []}]}', Node(kids=[Node()])),
    ],
)
def test_types_of_every_kind_are_read(output: Any, text: str, value: object) -> None:
    assert ask(ScriptedModel([text]), biller(output)).output == value


def test_text_stays_text_where_no_other_output_is_asked_for() -> None:
    model = ScriptedModel(["Nine fifty."])
    assert ask(model, biller(str)).output == "Nine fifty."
    assert "response_format" not in model.requests[0]


def test_a_type_that_no_strict_schema_can_say_is_told_in_the_instructions() -> None:
    model = ScriptedModel(['{"a": 1}'])
    ask(model, biller(dict[str, int], instructions="Be brief."))
    system = model.requests[0]["messages"][0]
    assert "response_format" not in model.requests[0]
    assert system["content"].startswith("Be brief.\n\nAnswer with JSON")
    assert '"additionalProperties":{"type":"integer"}' in system["content"]


def test_tools_and_a_schema_go_out_together() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=1)]), GOOD])
    assert ask(model, biller(tools=[wait])).output == VALUE
    assert all("tools" in asked and "response_format" in asked for asked in model.requests)


def test_a_schema_is_kept_from_who_would_not_take_it() -> None:
    def takes(schemas: Any) -> tuple[bool, bool]:
        candidate = Candidate("x:y", None, None, schemas=schemas)  # type: ignore[arg-type]
        return candidate.takes_schema(beside_tools=False), candidate.takes_schema(beside_tools=True)

    assert takes("always") == (True, True)
    assert takes("without_tools") == (True, False)
    assert takes("never") == (False, False)
    form = Form(Invoice)
    assert with_form((UserMessage("?"),), form) == (SystemMessage(form.instructions), UserMessage("?"))


@pytest.mark.parametrize("output", [5, Form, Agent])
def test_an_output_that_pydantic_cannot_read_is_refused_where_it_is_written(output: Any) -> None:
    with pytest.raises(SettingInvalid, match=r"Agent\(output=.*expected a type that pydantic can read"):
        biller(output)


# ---- forms ----------------------------------------------------------------------------------------------


def strict_schema(output: Any) -> Any:
    form = form_of(output)
    assert form is not None
    return form.schema and json.loads(bytes(form.schema))


def objects(schema: Any) -> list[dict[str, Any]]:
    found = [schema] if isinstance(schema, dict) and schema.get("type") == "object" else []
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return found + [one for part in inner for one in objects(part)]


@pytest.mark.parametrize("output", [Invoice, Node, Point, Row, list[Invoice], int, Pet, bool | None])
def test_a_strict_schema_requires_all_and_allows_nothing_else(output: Any) -> None:
    schema = strict_schema(output)
    assert schema["type"] == "object"
    for one in objects(schema):
        assert one["required"] == list(one["properties"])
        assert one["additionalProperties"] is False
    written = json.dumps(schema)
    assert not any(f'"{word}"' in written for word in ("title", "default", "minimum", "minLength", "oneOf", "format"))


def test_bounds_become_words() -> None:
    line = strict_schema(Invoice)["$defs"]["Line"]["properties"]
    assert line["sku"] == {"type": "string", "description": "Article (minLength: 1)"}
    assert line["count"] == {"type": "integer", "description": "minimum: 1"}


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    class Book(BaseModel):
        title: str
        default: int

    assert list(strict_schema(Book)["properties"]) == ["title", "default"]
    assert '"title":{"type":"string"}' in Form(Book).instructions


@pytest.mark.parametrize("output", [dict[str, int], Any, tuple[int, str], list, dict])
def test_what_cannot_be_strict_has_no_schema(output: Any) -> None:
    assert strict_schema(output) is None


def test_each_mistake_is_named_with_place_expectation_and_what_came() -> None:
    with pytest.raises(Mismatch) as mismatch:
        Form(Invoice).read(BAD)
    assert mismatch.value.for_model.splitlines() == [
        "The answer is not of the form that was asked for:",
        '- total: should be a valid number, unable to parse string as a number; got "much"',
        '- lines.0.sku: String should have at least 1 character; got ""',
        "- lines.0.count: should be greater than or equal to 1; got 0",
        "Answer again, with the whole of it: JSON that follows the schema, and nothing around it.",
    ]


@pytest.mark.parametrize("text", ["5", "[5]", "", "five", '{"answer": 5, "more": 1}', '{"result": 5}', '{"answer": 5'])
def test_an_answer_that_is_wrapped_must_come_in_its_wrapping(text: str) -> None:
    with pytest.raises(Mismatch, match=r'answer: should be a JSON object {"answer": ...} and no more; got '):
        Form(int).read(text)


@pytest.mark.parametrize("text", [f"Here it is: {GOOD}", f"```json\n{GOOD}", GOOD[:-1], f"{GOOD},"])
def test_nothing_is_repaired(text: str) -> None:
    with pytest.raises(Mismatch, match="answer: Invalid JSON"):
        Form(Invoice).read(text)


def test_a_validator_that_fails_in_its_own_way_is_a_mistake_of_the_answer() -> None:
    with pytest.raises(Mismatch, match="KeyError: 'bob'"):
        Form(Fussy).read('{"name": "bob"}')


def test_many_mistakes_are_counted() -> None:
    with pytest.raises(Mismatch, match="and 4 more"):
        Form(list[int]).read(msgspec.json.encode({"answer": ["x"] * 12}).decode())


@given(st.lists(st.builds(Point, st.integers(-(2**53), 2**53), st.integers(-9, 9))))
def test_what_follows_the_schema_is_read_as_it_was_meant(points: list[Point]) -> None:
    assert Form(list[Point]).read(msgspec.json.encode({"answer": points}).decode()) == points


# ---- one correction -----------------------------------------------------------------------------------


def test_a_wrong_answer_is_corrected_once() -> None:
    model = ScriptedModel([BAD, GOOD])
    answer = ask(model, biller())
    assert answer.output == VALUE
    told = model.requests[1]["messages"][-1]
    assert told["role"] == "user"
    assert "lines.0.count: should be greater than or equal to 1; got 0" in told["content"]
    assert [type(m) for m in answer.messages] == [UserMessage, AssistantMessage, UserMessage, AssistantMessage]


def test_a_second_wrong_answer_ends_the_run() -> None:
    model = ScriptedModel([BAD, "nonsense"])
    failed = fail(model, biller())
    assert isinstance(failed, OutputInvalid)
    assert failed.reason == "output_invalid"
    assert 'answer: Invalid JSON: expected ident at line 1 column 2; got "nonsense"' in str(failed)
    assert failed.answer.output == "nonsense"
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("first", "budget"),
    [(reply(BAD, finish="length"), Budget()), (reply(BAD), Budget(turns=1)), (reply(BAD), Budget(tokens=10))],
)
def test_no_correction_is_asked_for_where_there_is_none_to_be_had(first: Any, budget: Budget) -> None:
    model = ScriptedModel([first])
    failed = fail(model, biller(budget=budget))
    assert isinstance(failed, OutputInvalid)
    assert len(model.requests) == 1
    assert failed.answer.output == BAD


def test_an_answer_cut_at_its_length_says_so() -> None:
    assert "it reached the bound of its length" in str(fail(ScriptedModel([reply(BAD[:9], finish="length")]), biller()))


def test_each_run_of_a_thread_may_be_corrected() -> None:
    model = ScriptedModel([BAD, GOOD, BAD, GOOD])

    async def main() -> None:
        async with world(model):
            assert (await run(biller(), "The bill?", thread="t1")).output == VALUE
            assert (await run(biller(), "And mine?", thread="t1")).output == VALUE

    run_virtual(main())


def test_a_run_that_was_taken_up_is_corrected_as_it_would_have_been() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with world(ScriptedModel([BAD, BAD]), journal=journal) as runtime:
            with pytest.raises(OutputInvalid):
                await runtime.start(biller(), "The bill?", run_id="r1").answer()
        facts = await journal.read("r1")
        assert [type(fact).__name__ for fact in facts] == [
            "RunStarted", "ModelReplied", "OutputRejected", "ModelReplied", "RunEnded",
        ]  # fmt: skip
        for end in range(1, len(facts)):
            model = ScriptedModel([BAD, BAD][: sum(not isinstance(f, OutputRejected) for f in facts[end:]) - 1])
            again = await left_behind(facts[:end])
            async with world(model, journal=again) as runtime:
                with pytest.raises(OutputInvalid):
                    await (await runtime.resume("r1", biller())).answer()
            assert sum(isinstance(fact, OutputRejected) for fact in await again.read("r1")) == 1
            late = await left_behind(facts[:2])  # an answer that is right is one however late it is read
        async with world(ScriptedModel([]), journal=late) as runtime:
            await asyncio.sleep(700)
            with pytest.raises(OutputInvalid):
                await (await runtime.resume("r1", biller())).answer()

    run_virtual(main())


def test_the_correction_of_a_run_that_was_taken_up_is_under_its_deadline() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with world(ScriptedModel([BAD, BAD]), journal=journal) as runtime:
            with pytest.raises(OutputInvalid):
                await runtime.start(biller(), "The bill?", run_id="r1", deadline=10).answer()
        answered = (await journal.read("r1"))[:2]
        model = ScriptedModel([reply(GOOD, pieces=50, pause=1.0)])
        async with world(model, journal=await left_behind(answered)) as runtime:
            with pytest.raises(DeadlineExceeded):
                await (await runtime.resume("r1", biller())).answer()
        assert model.cut == 1

    run_virtual(main())


def test_a_run_that_is_to_stop_is_not_corrected() -> None:
    model = ScriptedModel([reply(BAD, pieces=4, pause=1.0), GOOD])

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(biller(), "The bill?")
            await asyncio.sleep(2)
            running.cancel(mode="after_turn")
            with pytest.raises(OutputInvalid):
                await running.answer()
        assert len(model.requests) == 1

    run_virtual(main())


def test_the_stream_shows_the_rejection_and_answers_with_the_value() -> None:
    model = ScriptedModel([BAD, GOOD])

    async def main() -> None:
        async with world(model):
            async with stream(biller(), "The bill?") as running:
                seen = [event async for event in running if isinstance(event, OutputRejected | RunEnded)]
                assert (await running.answer()).output == VALUE
        assert [type(event) for event in seen] == [OutputRejected, RunEnded]

    run_virtual(main())


def test_a_cancel_at_every_step_leaves_a_whole_journal() -> None:
    cut: list[str] = []

    async def scene(n: int) -> None:
        model = ScriptedModel([reply(BAD, pieces=2, pause=0.1), reply(GOOD, pieces=2, pause=0.1)])
        journal = MemoryJournal()
        async with assert_no_leaks(), Runtime(providers=[model.provider("openai")], journal=journal) as runtime:
            running = runtime.start(biller(), "The bill?", run_id="r1")

            def cancel() -> None:
                if running.state.ended is None:
                    cut.append("now")
                    running.cancel()

            virtual_loop().at_step(n, cancel)
            try:
                assert (await running.answer()).output == VALUE
            except RunCancelled as cancelled:
                assert_valid(cancelled.answer.messages)
        assert_whole(await journal.read("r1"))

    for n in range(1, 1_000):
        run_virtual(scene(n))
        if len(cut) < n:
            break
    assert len(cut) > 20
