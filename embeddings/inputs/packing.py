"""Texts packed into rows of few lengths: long ones open rows, shorter ones fill what is left, each where it fits best.

Best-fit decreasing (Johnson 1974). Shapes: n texts.
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Int64

SHORTEST = 4
"""Tokens of a row for each text that it may hold at most."""
SLACK = 1.1
"""Rows of a batch as a multiple of what its texts fill on the mean."""


class Rows(NamedTuple):
    """Where each text is."""

    row: Int64[np.ndarray, "n"]
    start: Int64[np.ndarray, "n"]
    """Its first place in the row."""
    slot: Int64[np.ndarray, "n"]
    """Which of the row's texts it is, from 0."""
    lengths: Int64[np.ndarray, "rows"]
    """T of each row."""


def pack(lengths: Int[np.ndarray, "n"], tiers: Sequence[int]) -> Rows:
    """Puts texts of these lengths into rows, each of one of the lengths `tiers`, ascending; the last holds any text."""
    n = len(lengths)
    row, start, slot = (np.zeros(n, np.int64) for _ in range(3))
    sizes: list[int] = []
    texts: list[int] = []
    with_space: list[list[int]] = [[] for _ in range(tiers[-1] + 1)]
    filled = 0  # bit f is set where some row has f places left
    for text in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        length = int(lengths[text])
        fitting = filled >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            number = with_space[space].pop()
            if not with_space[space]:
                filled &= ~(1 << space)
        else:
            space, number = next(tier for tier in tiers if tier >= length), len(sizes)
            sizes.append(space)
            texts.append(0)
        row[text], start[text], slot[text] = number, sizes[number] - space, texts[number]
        texts[number] += 1
        left = space - length
        if left and texts[number] < slots(sizes[number]):
            with_space[left].append(number)
            filled |= 1 << left
    return Rows(row, start, slot, np.array(sizes, np.int64))


def slots(length: int) -> int:
    """S of rows of a length."""
    return max(1, length // SHORTEST)


def enough(tokens: float, length: int, multiple: int) -> int:
    """Rows of a length for batches of so many tokens on the mean: a multiple of what they are split over."""
    return -(-int(np.ceil(SLACK * tokens / length + 1)) // multiple) * multiple


def doubled(rows: int, needed: int) -> int:
    """Rows of a batch that needs so many: as many as the others have, or twice or four times as many."""
    while rows < needed:
        rows *= 2
    return rows


def laid(
    rows: Rows, lengths: Int[np.ndarray, "n"], shape: tuple[int, int], *values: Int[np.ndarray, "tokens"]
) -> list[Int32[np.ndarray, "B T"]]:
    """The first of some values of the tokens of n texts one after another, the number of each one's text in its row
    from 1, its place in its text, then the other values: each laid out in rows, 0 where no text is."""
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    at = np.repeat(rows.row, lengths), np.repeat(rows.start, lengths) + place
    arrays = []
    for some in (values[0], np.repeat(rows.slot + 1, lengths), place, *values[1:]):
        array = np.zeros(shape, np.int32)
        array[at] = some
        arrays.append(array)
    return arrays
