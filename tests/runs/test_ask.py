"""What viewers see of a reply belongs together: one id for one call, and what was cut off is taken back."""

from __future__ import annotations

import pytest

from agentrt import run, stream
from agentrt.errors import RunCancelled
from agentrt.events import AnyEvent, ArgumentsDelta, ModelReplied, Rewound, TextDelta, ToolReturned, ToolStarted
from agentrt.messages import AssistantMessage, ToolCall, ToolMessage
from agentrt.testing import ScriptedModel, call, faults, reply, run_virtual
from tests.runs.world import CLERK, assert_valid, world

SAME = ToolCall("call_0", "wait", '{"seconds":0.1}')


def test_calls_that_reuse_an_id_of_an_earlier_turn_are_told_apart() -> None:
    model = ScriptedModel([reply(calls=[SAME]), reply(calls=[SAME]), reply("done")])

    async def main() -> None:
        async with world(model):
            assert_valid((await run(CLERK, "Wait.")).messages)

    run_virtual(main())


def test_two_calls_of_one_reply_that_reuse_an_id_are_told_apart_by_all_who_see_them() -> None:
    again = ToolCall("call_0", "wait", '{"seconds":0.2}')
    model = ScriptedModel([reply(calls=[SAME]), reply(calls=[SAME, again], pieces=4), reply("done")])

    async def main() -> None:
        events: list[AnyEvent] = []
        async with world(model), stream(CLERK, "Wait.") as running:
            events = [event async for event in running]
            messages = (await running.answer()).messages
        assert_valid(messages)
        replied = [
            (wanted.id, wanted.arguments)
            for message in messages
            if isinstance(message, AssistantMessage)
            for wanted in message.tool_calls
        ]
        assert len(dict(replied)) == 3
        shown: dict[str, str] = {}
        for event in events:
            if isinstance(event, ArgumentsDelta):
                shown[event.call_id] = shown.get(event.call_id, "") + event.text
        assert shown == dict(replied)
        assert [event.call_id for event in events if isinstance(event, ToolStarted)] == list(shown)
        assert sorted(event.call_id for event in events if isinstance(event, ToolReturned)) == sorted(shown)
        waited = {message.call_id: message.content for message in messages if isinstance(message, ToolMessage)}
        assert list(waited.values()) == ["waited 0.1", "waited 0.1", "waited 0.2"]

    run_virtual(main())


def test_a_reply_cut_off_when_only_arguments_were_shown_is_rewound() -> None:
    turn = reply(calls=[call("wait", seconds=1.123456789)], pieces=6)
    model = ScriptedModel([turn, turn, reply("done")])
    model.faults.then(faults.cut(after=1100))

    async def main() -> None:
        async with world(model), stream(CLERK, "Wait.") as running:
            events = [event async for event in running]
        shown: dict[str, str] = {}
        (rewound,) = [event for event in events if isinstance(event, Rewound)]
        for event in events:
            if isinstance(event, ArgumentsDelta):
                shown[event.message_id] = shown.get(event.message_id, "") + event.text
        assert list(shown) == [rewound.message_id, rewound.replaced_by]
        assert '{"seconds":1.123456789}'.startswith(shown[rewound.message_id])
        assert shown[rewound.replaced_by] == '{"seconds":1.123456789}'

    run_virtual(main())


def test_text_that_was_taken_back_is_not_the_partial_answer() -> None:
    model = ScriptedModel([reply("one two three four", pieces=4), reply("one two three four", pieces=4)])
    model.faults.then(faults.cut(after=600)).then(faults.silent(30))

    async def main() -> None:
        async with world(model), stream(CLERK, "Count.") as running:
            shown = ""
            async for event in running:
                if isinstance(event, TextDelta):
                    shown += event.text
                elif isinstance(event, Rewound):
                    break
            assert shown
            running.cancel()
            with pytest.raises(RunCancelled) as failed:
                await running.answer()
            assert failed.value.answer.output == ""
            assert [event async for event in running if isinstance(event, ModelReplied)] == []

    run_virtual(main())
