"""A set of examples as memory-mapped ids on disk, made once and found again by its content and its tokenizer.

A folder holds the ids of all texts one after another (int32), where each text starts (int64), and the labels (float32):
a score as it is, a class by its number. Texts are cut to a length; special tokens are among the ids. Where the two
texts of an example are read as one, it holds them as one text, or as one in each order, and the type of each token
(int8).
"""
import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64

from embeddings.corpus import writing
from embeddings.corpus.example_files import Broken, Example
from embeddings.corpus.shards import Progress
from embeddings.problems import Problem
from embeddings.tokenizers.frames import Encoded, Ragged, framed, shortened
from embeddings.tokenizers.pieces import Pieces

FORMAT = 1
AT_ONCE = 8192
"""Examples cut into tokens at a time."""


class Some(NamedTuple):
    """The texts of n examples one after another."""

    ids: Int32[np.ndarray, "tokens"]
    types: Int32[np.ndarray, "tokens"]
    """1 for the second of two texts that are read as one, where the tokenizer tells them apart."""
    starts: Int64[np.ndarray, "texts_and_end"]
    labels: Float32[np.ndarray, "n"]


class Stored:
    """The examples of a folder. Raises Problem where it is damaged."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            said = json.loads((folder / writing.MANIFEST).read_bytes())
            self.columns, self.classes, self.broken = said["columns"], tuple(said["classes"]), said["broken"]
            self.cut, self.first_broken = said["cut"], said["first_broken"]
            self._starts = np.memmap(folder / "starts", "<i8", "r")
            self._labels = np.memmap(folder / "labels", "<f4", "r")
            self.tokens = int(self._starts[-1])
            self._ids = np.memmap(folder / "ids", "<i4", "r")
            self._types = np.memmap(folder / "types", "i1", "r") if (folder / "types").exists() else None
            sizes = {len(array) for array in (self._ids, self._types) if array is not None}
            if sizes != {self.tokens} or len(self._starts) != len(self._labels) * self.columns + 1:
                raise ValueError("files of other sizes than the manifest says")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Problem(f"{folder}: damaged ({error}); delete this folder: it is made again") from None

    def __len__(self) -> int:
        return len(self._labels)

    def read(self, numbers: Int64[np.ndarray, "n"]) -> Some:
        """Some examples."""
        texts = (numbers[:, None] * self.columns + np.arange(self.columns)).reshape(-1)
        begins, lengths = self._starts[texts], self._starts[texts + 1] - self._starts[texts]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        source = np.repeat(begins - starts[:-1], lengths) + np.arange(starts[-1])
        types = np.zeros(len(source), np.int32) if self._types is None else self._types[source].astype(np.int32)
        return Some(np.asarray(self._ids[source]), types, starts, np.asarray(self._labels[numbers]))


def prepare(
    name: str,
    examples: Iterable[Example | Broken],
    content: str,
    pieces: Pieces,
    longest: int,
    cache: Path,
    label: str = "",
    classes: tuple[str, ...] = (),
    skip: bool = False,
    progress: Progress | None = None,
    orders: int = 0,
) -> Stored:
    """The examples of a set, made or found in `cache`.

    Args:
        name: what messages call the set.
        examples: its rows; gone through only where the folder is not there yet.
        content: what names them: a digest of files, or a name and a version.
        pieces: the tokenizer.
        longest: tokens of a text at most, special ones included; what is beyond is cut off.
        cache: folder.
        label: "", "class", "score" (from -1 to 1) or "number".
        classes: the classes that are known, in order; empty takes those that are found, sorted.
        skip: whether broken rows are counted and left out; otherwise the first one ends it.
        progress: told (what, done, all).
        orders: 1 where the two texts of each example are read as one, 2 where in both orders; 0 where each is alone.

    Raises Problem with file and row for a broken row, a label that is no class or number, and where there are none.
    """
    described = {"format": FORMAT, "content": content, "tokenizer": pieces.digest(), "longest": longest, "label": label,
                 "classes": classes, "skip": skip}
    described |= {0: {}, 1: {"joined": True}, 2: {"joined": True, "orders": 2}}[orders]
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache / f"examples-{key}"
    if not folder.exists():
        with writing.written(folder) as part:
            _Writer(part, name, pieces, longest, label, classes, skip, orders).write(examples, progress)
    return Stored(folder)


@dataclasses.dataclass
class _Writer:
    part: Path
    name: str
    pieces: Pieces
    longest: int
    label: str
    classes: tuple[str, ...]
    skip: bool
    orders: int = 0
    broken: int = 0
    first_broken: str = ""
    columns: int = 0
    cut: int = 0

    def write(self, examples: Iterable[Example | Broken], progress: Progress | None) -> None:
        """All files of the folder."""
        labels: list[Any] = []
        total = 0
        names = ("ids", "starts", *(["types"] if self.orders else []))
        with contextlib.ExitStack() as files:
            ids, starts, *types = (files.enter_context((self.part / name).open("wb")) for name in names)
            np.zeros(1, "<i8").tofile(starts)
            for some in self._portions(examples):
                encoded = self._encoded(some)
                encoded.ids.astype("<i4").tofile(ids)
                for file in types:
                    encoded.types.astype("i1").tofile(file)
                (encoded.starts[1:] + total).astype("<i8").tofile(starts)
                total += int(encoded.starts[-1])
                labels += [example.label for example in some]
                if progress:
                    progress(f"reading {self.name}", len(labels), 0)
        if not labels:
            why = f", but {self.broken} broken rows, the first {self.first_broken}" if self.broken else ""
            raise Problem(f"{self.name}: no example in it{why}: name other --examples.sets")
        self._numbers(labels).astype("<f4").tofile(self.part / "labels")
        manifest = {"columns": self.orders or self.columns, "classes": self.classes, "broken": self.broken,
                    "cut": self.cut, "first_broken": self.first_broken}
        (self.part / writing.MANIFEST).write_text(json.dumps(manifest))

    def _portions(self, examples: Iterable[Example | Broken]) -> Iterator[list[Example]]:
        some: list[Example] = []
        for example in examples:
            broken = example if isinstance(example, Broken) else None
            self.columns = self.columns or (0 if broken else len(example.texts))
            if broken and not self.skip:
                raise Problem(f"{broken.where}: {broken.what}: correct it, or leave such rows out with "
                              "--examples.broken=skip")
            if broken:
                self.broken, self.first_broken = self.broken + 1, self.first_broken or f"{broken.where}: {broken.what}"
                continue
            some.append(example)
            if len(some) == AT_ONCE:
                yield some
                some = []
        if some:
            yield some

    def _encoded(self, some: list[Example]) -> Encoded:
        if self.orders:
            pairs = [pair for example in some for pair in (example.texts[:2], example.texts[1::-1])[: self.orders]]
            encoded, cut = self.pieces.joined(pairs, self.longest)
            self.cut += cut // self.orders  # both orders of a pair have as many tokens
            return encoded
        whole = self.pieces.encode([text for example in some for text in example.texts], special=False)
        room = self.longest - self.pieces.added()
        self.cut += int(np.sum(whole.lengths > room))
        kept = shortened(Ragged(whole.ids, whole.starts, None), np.minimum(whole.lengths, room))
        return framed(self.pieces.frame(), kept)

    def _numbers(self, labels: list[Any]) -> np.ndarray:
        """Labels as numbers; classes that are not named beforehand are numbered in order."""
        if not self.label:
            return np.zeros(len(labels))
        if self.label in ("score", "number"):
            for number, label in enumerate(labels, 1):
                if not _is_number(label):
                    raise Problem(f"{self.name}: example {number}: the score {label!r} is no number: correct it")
                if self.label == "score" and not -1 <= float(label) <= 1:
                    raise Problem(f"{self.name}: example {number}: the score {label} is not from -1 to 1, as cosines "
                                  "are: scale all of them")
            return np.array([float(label) for label in labels])
        self.classes = self.classes or tuple(sorted({str(label) for label in labels}))
        known = {name: number for number, name in enumerate(self.classes)}
        for number, label in enumerate(labels, 1):
            if str(label) not in known:
                raise Problem(f"{self.name}: example {number}: {label!r} is none of the classes {', '.join(known)}: "
                              "correct it, or --examples.classes")
        return np.array([known[str(label)] for label in labels])


def _is_number(label: Any) -> bool:
    try:
        return bool(np.isfinite(float(label)))
    except (TypeError, ValueError):
        return False
