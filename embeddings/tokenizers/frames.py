"""Ids of many texts in flat arrays, and the special tokens that stand around each.

    [CLS] a [SEP]     [CLS] a [SEP] b [SEP]       BERT
    <s> a </s>        <s> a </s> </s> b </s>      RoBERTa

A frame is such a row: special tokens, and the places of one or two texts. Texts become ids without their frame, which
is put around all of them at once.

Shapes: n texts, N tokens of all.
"""
import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64

FIRST, SECOND = -1, -2
"""Stand in a frame for the ids of a text, and of the second text of a pair."""


class Part(NamedTuple):
    """One place of a frame."""

    id: int
    """Of a special token; FIRST or SECOND where a text stands."""
    type: int = 0
    """Type id of this token or of all tokens of the text: 1 for the second half of a pair, where a model tells them."""


Frame = tuple[Part, ...]


class Ragged(NamedTuple):
    """The tokens of n texts, without special ones; those of text i are `ids[starts[i]:starts[i + 1]]`."""

    ids: Int32[np.ndarray, "N"]
    starts: Int64[np.ndarray, "n_and_end"]
    offsets: Int32[np.ndarray, "N 2"] | None
    """First character of each token in its text and the one after its last; None where nobody asked."""


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded:
    """The tokens of n texts or pairs; those of text i are `ids[starts[i]:starts[i + 1]]`, as in the other arrays."""

    ids: Int32[np.ndarray, "N"]
    starts: Int64[np.ndarray, "n_and_end"]
    types: Int32[np.ndarray, "N"]
    """0, and 1 for the second half of a pair, where the tokenizer tells them apart."""
    special: Bool[np.ndarray, "N"]
    """Whether the frame brought this token; a [SEP] that stands in the text itself is a token of the text."""
    offsets: Int32[np.ndarray, "N 2"] | None
    """First character of each token in its own text and the one after its last, (0, 0) for the frame's."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int64[np.ndarray, "n"]:
        """Tokens of each text."""
        return np.diff(self.starts)


def joined(portions: Iterable[Ragged], offsets: bool) -> Ragged:
    """The texts of all portions, one after another."""
    none = Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros((0, 2), np.int32) if offsets else None)
    ids, starts, spans = zip(none, *portions, strict=True)
    starts = np.concatenate([np.zeros(1, np.int64), *map(np.diff, starts)]).cumsum()
    return Ragged(np.concatenate(ids), starts, np.concatenate(spans) if offsets else None)


def shortened(texts: Ragged, lengths: Int64[np.ndarray, "n"]) -> Ragged:
    """The first so many tokens of each text."""
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    place = np.repeat(texts.starts[:-1] - starts[:-1], lengths) + np.arange(starts[-1])
    return Ragged(texts.ids[place], starts, None if texts.offsets is None else texts.offsets[place])


def longest_first(
    first: Int64[np.ndarray, "n"], second: Int64[np.ndarray, "n"], room: int
) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "n"]]:
    """How many tokens of both texts of pairs are kept: a longer text gives way first (tokenizers' `longest_first`).

    Where both are cut, each keeps half; the odd one goes to the longer, to the second where they are equal.
    """
    short, long = np.minimum(first, second), np.maximum(first, second)
    short = np.minimum(short, room // 2)
    long = np.minimum(long, room - short)
    return np.where(first > second, long, short), np.where(first > second, short, long)


def framed(frame: Frame, *texts: Ragged) -> Encoded:
    """Each text, or each pair of the first and the second, in the frame."""
    lengths = [np.diff(text.starts) for text in texts]
    parts = sum(lengths) + sum(part.id >= 0 for part in frame)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(parts)])
    N = int(starts[-1])
    ids, types, special = np.empty(N, np.int32), np.empty(N, np.int32), np.zeros(N, bool)
    offsets = None if texts[0].offsets is None else np.zeros((N, 2), np.int32)
    at = starts[:-1].copy()
    for part in frame:
        if part.id >= 0:
            ids[at], types[at], special[at] = part.id, part.type, True
            at += 1
            continue
        text, length = texts[FIRST - part.id], lengths[FIRST - part.id]
        place = np.repeat(at - text.starts[:-1], length) + np.arange(len(text.ids))
        ids[place], types[place] = text.ids, part.type
        if offsets is not None:
            offsets[place] = text.offsets
        at += length
    return Encoded(ids, starts, types, special, offsets)
