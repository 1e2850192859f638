"""Texts on their way into a model: a prompt before them, cut to the model's length or into windows, special tokens.

Shapes: n texts, w windows of all of them, N tokens of all windows, E width of a text's vector.
"""
import dataclasses
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int32, Int64

from embeddings.formats.sentence_transformers import Pipeline
from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers.frames import FIRST, Ragged, framed
from embeddings.tokenizers.pieces import Pieces

ALONE = Pipeline()
"""A model without prompts."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """What the model reads of n texts: w windows, one a text unless asked otherwise."""

    ids: Int32[np.ndarray, "N"]
    types: Int32[np.ndarray, "N"]
    starts: Int64[np.ndarray, "w_and_end"]
    offsets: Int32[np.ndarray, "N 2"] | None
    """Characters of each token in its text with the prompt before it; None where nobody asked."""
    skipped: Int64[np.ndarray, "w"] | None
    """How many first tokens of a window do not count in its vector; None where all do."""
    owner: Int64[np.ndarray, "w"]
    """Which text a window is of."""
    cut: int
    """How many texts were not read to their end."""
    texts: int
    """n."""

    def joined(self, vectors: Float[np.ndarray, "w E"]) -> Float[np.ndarray, "n E"]:
        """The vectors of texts: the mean of their windows' by their tokens."""
        if len(self.owner) == self.texts:
            return vectors
        length = np.diff(self.starts).astype(np.float64)
        weight = length / np.bincount(self.owner, length, self.texts)[self.owner]
        shape = (self.texts, len(self.owner))
        mean = scipy.sparse.csr_matrix((weight, (self.owner, np.arange(len(self.owner)))), shape)
        return (mean @ vectors).astype(np.float32)


class CutText(UserWarning):
    """Texts were longer than the model reads: what is beyond was left out."""

    meaning = "are longer than the model reads: their beginning was read"

    def __init__(self, message: str, count: int):
        """`count` is how many."""
        super().__init__(message)
        self.count = count


def warn_of_cut(count: int, texts: int, longest: int) -> None:
    """Warns the caller's caller where some of so many texts were not read to their end."""
    if count:
        said = f"{count} of {texts} texts have more than {longest} tokens: their beginning was read"
        warnings.warn(CutText(said, count), stacklevel=3)


class Windows(NamedTuple):
    """How texts that are too long are cut."""

    room: int | Int64[np.ndarray, "n"]
    """Tokens of a window, special ones left out; one number, or one for each text."""
    overlap: int | None
    """Tokens that a window has in common with the next; None reads the first window only."""


def check(texts: Sequence[object], joined: bool | None = False) -> None:
    """Raises Problem that names the first of the texts that is none, and UsageProblem for a single one among pairs.

    `joined` says which of both a model reads, see Pipeline.
    """
    pairs = joined or (joined is None and len(texts) > 0 and not isinstance(texts[0], str))
    for number, text in enumerate(texts):
        if pairs and isinstance(text, str):
            raise UsageProblem(f"text {number} (from 0): pairs are read, not single texts: give (first, second)")
        if pairs and not (isinstance(text, Sequence) and len(text) == 2 and all(isinstance(one, str) for one in text)):
            raise Problem(f"pair {number} (from 0) is {type(text).__name__}, not two strings: {text!r:.40}")
        if not pairs and not isinstance(text, str):
            raise Problem(f"text {number} (from 0) is {type(text).__name__}, not a string: {text!r:.40}")


def read(
    tokenizer: Pieces,
    texts: Sequence[str] | Sequence[Sequence[str]],
    longest: int,
    pipeline: Pipeline = ALONE,
    prompt: str = "",
    overlap: int | None = None,
    offsets: bool = False,
) -> Reading:
    """Texts, or pairs, as a model with `longest` tokens reads them.

    Raises UsageProblem for an overlap as long as a window, and for prompts and windows of pairs, which have none.
    """
    if len(texts) and not isinstance(texts[0], str):
        return _pairs(tokenizer, texts, longest, pipeline, bool(prompt) or overlap is not None, offsets)
    frame = tokenizer.frame()
    room = longest - tokenizer.added()
    if overlap is not None and not 0 <= overlap < room:
        raise UsageProblem(f"windows of {room} tokens cannot overlap by {overlap}: choose 0 to {room - 1}")
    said = [prompt + text for text in texts] if prompt else texts
    said = [text.lower() for text in said] if pipeline.lower else said
    whole = tokenizer.encode(said, special=False, offsets=offsets)
    source, starts, owner = windows(whole.starts, Windows(room, overlap))
    some = Ragged(whole.ids[source], starts, None if whole.offsets is None else whole.offsets[source])
    encoded = framed(frame, some)
    skipped = None
    if prompt and not pipeline.prompt_counts:
        before = [part.id for part in frame].index(FIRST) + len(tokenizer.encode([prompt], special=False).ids)
        first = np.diff(owner, prepend=-1) > 0
        skipped = np.where(first, before, 0)
    cut = 0 if overlap is not None else int(np.sum(whole.lengths > room))
    return Reading(encoded.ids, encoded.types, encoded.starts, encoded.offsets, skipped, owner, cut, len(texts))


def _pairs(
    tokenizer: Pieces, pairs: Sequence[Sequence[str]], longest: int, pipeline: Pipeline, asked: bool, offsets: bool
) -> Reading:
    if asked:
        raise UsageProblem("pairs are read without a prompt and in one window: leave both out")
    pairs = [(first.lower(), second.lower()) for first, second in pairs] if pipeline.lower else pairs
    made, cut = tokenizer.joined(pairs, longest, offsets)
    return Reading(made.ids, made.types, made.starts, made.offsets, None, np.arange(len(pairs)), cut, len(pairs))


def windows(
    starts: Int64[np.ndarray, "n_and_end"], how: Windows
) -> tuple[Int64[np.ndarray, "N"], Int64[np.ndarray, "w_and_end"], Int64[np.ndarray, "w"]]:
    """Of texts with tokens `starts[i] .. starts[i + 1]`: the tokens of all windows, their starts, whose they are.

    Every text has a window; the last one ends with the text, and all but it are full.
    """
    lengths = np.diff(starts)
    room = np.broadcast_to(how.room, lengths.shape)
    step = room - (how.overlap or 0)
    count = np.ones_like(lengths)
    if how.overlap is not None:
        count += -(-np.maximum(lengths - room, 0) // step)
    owner = np.repeat(np.arange(len(lengths)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    begins = number * step[owner]
    size = np.minimum(room[owner], lengths[owner] - begins)
    edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
    place = np.arange(edges[-1]) - np.repeat(edges[:-1], size)
    return np.repeat(starts[owner] + begins, size) + place, edges, owner
