"""Whatever goes wrong, wherever: every document ends exactly once, and the next run goes on from there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.egress.egress import Egress
from agentrt.egress.fetched import Fetched
from agentrt.errors import EgressFailed, EgressRefused, IndexFailed, ProviderRefused, ProviderUnavailable
from agentrt.index.index import Entry, Quarantined
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.document import Broken, Ended, Listed, Reference, Stored, Unchanged
from agentrt.pipeline.journey import Parts
from agentrt.pipeline.pipeline import Pipeline
from agentrt.pipeline.report import PipelineSettings, Report
from tests.pipeline.world import Digests, Impatient, Names

FAULTS = {
    "": None,
    "flaky": None,  # the first two attempts to read it fail
    "flaky embed": None,  # the first time that a batch has it, the embedder is ill
    "broken": "list",
    "absent": "read",
    "refused": "read",
    "unheard of": "read",
    "ill": "read",
    "picture": "parse",
    "blank": "parse",
    "poison": "embed",
    "unstorable": "store",
}
"""What is wrong with a document, and where it then ends; None where it is stored all the same."""


class FaultyWay(Egress):
    def __init__(self) -> None:
        super().__init__()
        self.asked = Counter[str]()

    async def get(self, url: str) -> Fetched:
        await asyncio.sleep(0)
        self.asked[url] += 1
        fault = url.partition("/")[2]
        if fault == "ill" or (fault == "flaky" and self.asked[url] < 3):
            raise EgressFailed("not now")
        if fault == "refused":
            raise EgressRefused("not there")
        if fault == "unheard of":
            raise KeyError(url)
        text = "" if fault == "blank" else f"Text of {url}.\n\n" + "More of it. " * (len(url) * 37 % 400)
        media = "image/png" if fault == "picture" else "text/plain"
        return Fetched(url, 404 if fault == "absent" else 200, media, "utf-8", text.encode())


class FaultyIndex(SqliteIndex):
    async def store(self, entries: Sequence[Entry], embedder: str = "") -> list[Exception | None]:
        good = [entry for entry in entries if not entry.document.id.endswith("/unstorable")]
        said = iter(await super().store(good, embedder))
        return [next(said) if entry in good else IndexFailed("it does not fit") for entry in entries]


def embedder() -> Digests:
    ill = {True}

    def refuse(texts: Sequence[str]) -> None:
        if any("/poison." in text for text in texts):
            raise ProviderRefused("no", status=400)
        if ill and any("/flaky embed." in text for text in texts):
            ill.clear()
            raise ProviderUnavailable("ill", status=503)

    return Digests(refuse)


async def fill(documents: list[Listed], index: SqliteIndex, sizes: PipelineSettings) -> tuple[Report, list[Ended]]:
    ended: list[Ended] = []
    made = Parts(index=index, egress=FaultyWay(), embedder=embedder(), random=Impatient())
    report = await Pipeline(Names(*documents), made, sizes, ended=ended.append).run()
    return report, ended


def listed(faults: Sequence[str]) -> list[Listed]:
    return [
        Broken(f"{n}/broken", "?") if fault == "broken" else Reference(f"{n}/{fault}") for n, fault in enumerate(faults)
    ]


SIZES = st.builds(
    lambda flight, readers, embeds, embed_batch, store_batch, size: PipelineSettings(
        in_flight=flight,
        in_flight_bytes=size,
        readers=readers,
        embeds=embeds,
        embed_batch=embed_batch,
        store_batch=store_batch,
        embed_wait=0.01,
        store_wait=0.02,
        stop_after=10_000,
    ),
    st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9),
    st.sampled_from([1, 5000, 10**9]),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=40), SIZES)
def test_every_document_ends_exactly_once_and_as_it_must(faults: list[str], sizes: PipelineSettings) -> None:
    documents = listed(faults)
    stored = {one.url for one in documents if FAULTS[one.url.partition("/")[2]] is None}

    async def main() -> None:
        index = FaultyIndex()
        report, ended = await fill(documents, index, sizes)
        assert Counter(end.url for end in ended) == Counter(one.url for one in documents)
        for end in ended:
            if isinstance(end, Quarantined):
                assert end.stage == FAULTS[end.url.partition("/")[2]], end.error
            else:
                assert isinstance(end, Stored)
                assert end.url in stored
        assert report.total == report.stored + report.unchanged + report.quarantined == len(documents)
        counts = await index.counts()
        assert (counts.documents, counts.quarantined) == (len(stored), len(documents) - len(stored))
        assert counts.chunks == counts.vectors == report.passages
        assert await index.listed("names:test") == {one.url for one in documents}

        report, ended = await fill(documents, index, sizes)
        assert {end.url for end in ended if isinstance(end, Unchanged)} == stored
        assert report.total == len(ended) == len(documents)
        assert report.stored == 0
        assert await index.counts() == counts
        await index.aclose()

    asyncio.run(main())
