from __future__ import annotations

import asyncio

import msgspec
import pytest

from agentrt.errors import ToolInvalid
from agentrt.index.index import Chunk, Document
from agentrt.index.sqlite import SqliteIndex
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context, Tell
from agentrt.toolbox.outcome import ToolOutcome
from agentrt_tools.retrieval import search_tool


async def lease_index() -> SqliteIndex:
    index = SqliteIndex()
    for number in range(4):
        texts = f"A lease is kept in room {number}.", f"The key to room {number} is kept elsewhere, with the porter."
        chunks = tuple(Chunk(text, 0, len(text)) for text in texts)
        await index.put(Document(str(number), f"Room {number}", f"http://x/{number}", chunks))
    return index


def called(arguments: str, k: int = 5, tell: Tell = lambda _: None) -> ToolOutcome:
    async def main() -> ToolOutcome:
        index = await lease_index()
        caller = Caller()
        outcome = await caller.call(search_tool(index, k), arguments, Context[object](None, tell=tell))
        caller.close()
        await index.aclose()
        return outcome

    return asyncio.run(main())


def test_the_model_gets_passages_with_their_sources() -> None:
    outcome = called('{"query": "what is in `room` 2?"}')
    best = msgspec.json.decode(outcome.content)[0]

    assert outcome.status == "ok"
    assert set(best) == {"title", "url", "text", "score"}
    assert (best["title"], best["url"], best["text"]) == ("Room 2", "http://x/2", "A lease is kept in room 2.")


def test_no_more_than_k_passages_come_and_none_is_an_empty_list() -> None:
    assert len(msgspec.json.decode(called('{"query": "lease"}', k=3).content)) == 3
    assert called('{"query": "zebra"}').content == "[]"
    assert called('{"query": "?!"}').content == "[]"


def test_viewers_are_shown_each_document_once_the_best_first() -> None:
    told: list[dict[str, list[dict[str, object]]]] = []
    outcome = called('{"query": "what is kept in `room` 2?"}', k=8, tell=told.append)
    passages = msgspec.json.decode(outcome.content)

    (shown,) = told
    assert shown["sources"][0] == {"id": "2", "title": "Room 2", "uri": "http://x/2", "score": passages[0]["score"]}
    assert len(passages) == 8
    assert [source["uri"] for source in shown["sources"]] == list(dict.fromkeys(one["url"] for one in passages))


def test_where_nothing_is_found_nothing_is_shown() -> None:
    told: list[object] = []
    called('{"query": "zebra"}', tell=told.append)
    assert told == []


def test_the_tool_is_declared_as_a_reading_one() -> None:
    async def main() -> None:
        index = SqliteIndex()
        tool = search_tool(index)
        assert (tool.name, tool.effect) == ("search", "read")
        schema = msgspec.json.decode(tool.spec.parameters)
        assert schema["required"] == ["query"]
        with pytest.raises(ToolInvalid, match="k=0"):
            search_tool(index, 0)
        await index.aclose()

    asyncio.run(main())
