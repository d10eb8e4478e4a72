"""Fragments find their call. What providers do with them stands in tests/conformance; here is the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.messages import ToolCall
from agentrt.model import calls
from agentrt.model.calls import CallAssembler
from agentrt.model.chunks import CallPart, FunctionPart, StrangeCallPart
from agentrt.model.model import ArgumentsPiece

PARTS = st.builds(
    CallPart,
    index=st.sampled_from([None, 0, 0, 1, 2, -1]),
    id=st.sampled_from([None, "", "a", "b", "call_0", "call_1"]),
    function=st.builds(
        FunctionPart, st.sampled_from([None, "", "f", "g"]), st.sampled_from([None, "", "{", "}", "{}", '"x"'])
    ),
)


def part(text: str | None, name: str | None = None, *, index: int | None = None, id: str | None = None) -> CallPart:
    return CallPart(index, id, "function", FunctionPart(name, text))


def test_the_first_piece_names_the_tool_even_without_text() -> None:
    assembler = CallAssembler()
    assert assembler.add(part("", "look", index=0, id="a")) == ArgumentsPiece("a", "look", "")
    assert assembler.add(part("", index=0)) is None
    assert assembler.add(part("{}", index=0)) == ArgumentsPiece("a", "look", "{}")


def test_an_id_whose_name_comes_later_is_told_once_it_has_one() -> None:
    assembler = CallAssembler()
    assert assembler.add(part("", "", index=0, id="a")) is None
    assert assembler.add(part("", "look", index=0)) == ArgumentsPiece("a", "look", "")


def test_calls_beyond_the_cap_are_left_out_and_not_told() -> None:
    assembler = CallAssembler()
    for index in range(calls.MOST_CALLS):
        assert assembler.add(part("{}", "look", index=index)) is not None
    assert assembler.add(part("{", "look", index=999, id="z")) is None
    assert assembler.add(part("}", index=999)) is None
    assert len(assembler.calls()) == calls.MOST_CALLS


def test_arguments_beyond_the_cap_are_cut_and_no_longer_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_ARGUMENTS", 4)
    assembler = CallAssembler()
    assert assembler.add(part("{}", "look", index=0)) == ArgumentsPiece("call_0", "look", "{}")
    assert assembler.add(part("    ", index=0)) == ArgumentsPiece("call_0", "look", "  ")
    assert assembler.add(part("  ", index=0)) is None
    assembler.add(part("{}", "find", index=1))
    cut, find = assembler.calls()
    assert cut.arguments.startswith("{}  …")
    assert find.arguments.startswith("…")
    assert not assembler.all_whole()


def test_arguments_that_were_cut_are_not_whole_even_if_they_look_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_ARGUMENTS", 4)
    assembler = CallAssembler()
    assembler.add(part("{}   {}", "look", index=0))
    assert not assembler.all_whole()


def test_unknown_fields_stand_at_their_calls_position() -> None:
    assembler = CallAssembler()
    assembler.add(part("{}", "look", index=0))
    assembler.add(StrangeCallPart(1, "b", None, FunctionPart("find", "{}"), unknown={"sig": "s"}))
    assert assembler.unknown() == [{}, {"sig": "s"}]


def test_whole_calls_never_run_into_each_other() -> None:
    assembler = CallAssembler()
    for _ in range(3):
        assembler.add(part("{}", "look", index=0, id="a"), whole=True)
    assert assembler.calls() == [ToolCall("a", "look"), ToolCall("a_2", "look"), ToolCall("a_3", "look")]


@given(st.lists(PARTS, max_size=30))
def test_ids_are_unique_and_what_is_told_is_what_results(parts: list[CallPart]) -> None:
    assembler = CallAssembler()
    told: dict[str, str] = {}
    for one in parts:
        piece = assembler.add(one)
        if piece is not None:
            told[piece.call_id] = told.get(piece.call_id, "") + piece.text
    made = assembler.calls()
    assert len({call.id for call in made}) == len(made)
    assert all(call.id for call in made)
    assert {call.id: call.arguments for call in made} == {call_id: text or "{}" for call_id, text in told.items()}
    sent = "".join((one.function.arguments or "") for one in parts if one.function)
    assert sorted(sent) == sorted("".join(told.values()))


def test_a_name_in_fragments_is_told_as_far_as_it_is_known() -> None:
    assembler = CallAssembler()
    assert assembler.add(part("", "edit_ex", index=0, id="a")) == ArgumentsPiece("a", "edit_ex", "")
    assert assembler.add(part("", "isting", index=0)) == ArgumentsPiece("a", "edit_existing", "")
    assert assembler.add(part("{}", index=0)) == ArgumentsPiece("a", "edit_existing", "{}")
    assert assembler.calls() == [ToolCall("a", "edit_existing", "{}")]


def test_a_second_name_begins_a_call_where_there_are_no_ids_or_arguments_have_begun() -> None:
    without_ids, begun = CallAssembler(), CallAssembler()
    for one in (part("", "one", index=0), part("", "two", index=0)):
        without_ids.add(one)
    for one in (part("{}", "one", index=0, id="a"), part("", "two", index=0)):
        begun.add(one)
    assert [call.name for call in without_ids.calls()] == ["one", "two"]
    assert [call.name for call in begun.calls()] == ["one", "two"]


def test_a_name_that_comes_after_arguments_is_told() -> None:
    assembler = CallAssembler()
    assert assembler.add(part("{", index=0, id="a")) == ArgumentsPiece("a", "", "{")
    assert assembler.add(part("", "look", index=0)) == ArgumentsPiece("a", "look", "")
    assert assembler.add(part("}", "look", index=0)) == ArgumentsPiece("a", "look", "}")
