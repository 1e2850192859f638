"""A token a word: texts cut as tokenizers/words.py does, and the numbers of the words that are known.

What has a vector a word (GloVe's kind), or makes words of their characters (ELMo), is read so below a head. It is kept
as words.json.
"""
import dataclasses
import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers.frames import FIRST, SECOND, Frame, Part, Ragged
from embeddings.tokenizers.texts import portions
from embeddings.tokenizers.words import Words

FILE = "words.json"


@dataclasses.dataclass(frozen=True, eq=False)
class KnownWords:
    """An engine (engine.py) of words."""

    tokens: tuple[str, ...]
    """Each once; a word's number is its place."""
    cut: Words
    """How a text becomes words."""
    begin: str = ""
    """What stands before a text; empty for nothing."""
    end: str = ""
    """What stands behind it."""
    unknown: str = ""
    """What stands for words that are not known; empty where there are none."""

    settings = {"tokenizer_class": "KnownWords"}

    @property
    def size(self) -> int:
        """V."""
        return len(self.tokens)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {token: id for id, token in enumerate(self.tokens)}

    @functools.cached_property
    def _known(self) -> pa.BinaryArray:
        return pa.array([word.encode("utf-8", "surrogatepass") for word in self.tokens], pa.binary())

    def _framed(self, text: int) -> Frame:
        around = [(self.id(self.begin) if self.begin else None), text, (self.id(self.end) if self.end else None)]
        return tuple(Part(id) for id in around if id is not None)

    @property
    def single(self) -> Frame:
        """Its beginning, the text, its end."""
        return self._framed(FIRST)

    @property
    def pair(self) -> Frame:
        """Two texts, each with its beginning and end."""
        return self._framed(FIRST) + self._framed(SECOND)

    def id(self, token: str) -> int | None:
        """Of a word; None where it is not known."""
        return self._ids.get(token)

    def encode(self, texts: Sequence[str], offsets: bool) -> Ragged:
        """The numbers of the words of all texts. Raises Problem for a word that nothing stands for."""
        words, starts = self.cut.lines(_block(texts))
        found = pc.index_in(words.cast(pa.binary()), value_set=self._known)
        if found.null_count and not self.unknown:
            strange = words.filter(pc.is_null(found))[0].as_py()
            raise Problem(f"{strange!r} is not among the {self.size:,} words that are known: number the words of all "
                          "texts first")
        ids = pc.fill_null(found, self.id(self.unknown) or 0).to_numpy().astype(np.int32)
        ends = np.append(starts[: len(texts)], len(ids)).astype(np.int64)
        spans = np.concatenate([np.zeros((0, 2), np.int32), *map(self.cut.offsets, texts)]) if offsets else None
        return Ragged(ids, ends, spans)

    def decode(self, ids: Sequence[int], special: bool) -> str:
        """The words, blanks between them; what stands around a text left out unless it is asked for."""
        around = () if special else (self.begin, self.end)
        return " ".join(token for token in (self.tokens[id] for id in ids) if token not in around)

    def files(self) -> dict[str, str | bytes]:
        """All of it, as words.json."""
        said = {"tokenizer": self.cut.tokenizer, "lower": self.cut.lower, "begin": self.begin, "end": self.end,
                "unknown": self.unknown, "words": self.tokens}
        return {FILE: json.dumps(said) + "\n"}


def different(texts: Iterable[str], cut: Words) -> tuple[str, ...]:
    """The words of texts, each once, in the order in which they come first."""
    found: dict[str, None] = {}
    for portion in portions(texts, "text"):
        found |= dict.fromkeys(pc.unique(cut.lines(_block(portion))[0]).to_pylist())
    return tuple(found)


def _block(texts: Sequence[str]) -> bytes:
    """A line a text."""
    return "".join(text.replace("\n", " ") + "\n" for text in texts).encode()


def read_known_words(file: Path) -> KnownWords:
    """The tokenizer of a words.json. Raises Problem where it is damaged."""
    try:
        said = json.loads(file.read_bytes())
        words, cut = tuple(said["words"]), Words(said["tokenizer"], said["lower"])
        around = said["begin"], said["end"], said["unknown"]
        if not all(isinstance(word, str) for word in words) or len({*words}) != len(words):
            raise ValueError("words that are no strings, or stand there twice")
        if not {*filter(None, around)} <= {*words}:
            raise ValueError(f"{around} are not all among its words")
    except (OSError, ValueError, TypeError, KeyError, UsageProblem) as error:
        raise Problem(f"{file}: no tokenizer of words ({error!r}): copy the folder again") from None
    return KnownWords(words, cut, *around)
