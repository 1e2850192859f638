"""Texts whose tokens have marks, as memory-mapped arrays on disk, made once and found again by what names them.

A folder holds the ids, types and marks of all texts one after another (int32), and where each text starts (int64).
"""
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from embeddings.corpus import writing
from embeddings.problems import Problem

FORMAT = 1
"""Raised when what is written, or how texts become tokens, changes: older folders are not found any more."""
ARRAYS = ("ids", "types", "marks")


class Marked(NamedTuple):
    """The tokens of n texts one after another."""

    ids: Int32[np.ndarray, "tokens"]
    types: Int32[np.ndarray, "tokens"]
    """1 for the second of a pair of texts, where the tokenizer tells them apart."""
    marks: Int32[np.ndarray, "tokens"]
    lengths: Int64[np.ndarray, "n"]
    """Tokens of each text."""


class Stored:
    """The texts of a folder. Raises Problem where it is damaged."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            json.loads((folder / writing.MANIFEST).read_bytes())
            self._starts = np.memmap(folder / "starts", "<i8", "r")
            self._arrays = [np.memmap(folder / name, "<i4", "r") for name in ARRAYS]
            self.tokens = int(self._starts[-1])
            if {len(array) for array in self._arrays} != {self.tokens}:
                raise ValueError("files of other sizes than the starts say")
        except (OSError, ValueError) as error:
            raise Problem(f"{folder}: damaged ({error}); delete this folder: it is made again") from None

    def __len__(self) -> int:
        return len(self._starts) - 1

    def read(self, numbers: Int64[np.ndarray, "n"]) -> Marked:
        """Some of the texts."""
        begins, lengths = self._starts[numbers], self._starts[numbers + 1] - self._starts[numbers]
        place = np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        return Marked(*(np.asarray(array[place]) for array in self._arrays), np.asarray(lengths))


def stored(key: str, cache: Path, make: Callable[[], Marked]) -> Stored:
    """The texts that `make` gives, found in `cache` by their key where they were made before."""
    folder = cache / f"marked-{key}"
    if not folder.exists():
        made = make()
        with writing.written(folder) as part:
            for name in ARRAYS:
                getattr(made, name).astype("<i4").tofile(part / name)
            np.concatenate([[0], np.cumsum(made.lengths)]).astype("<i8").tofile(part / "starts")
            (part / writing.MANIFEST).write_text(json.dumps({"format": FORMAT, "texts": len(made.lengths)}))
    return Stored(folder)
