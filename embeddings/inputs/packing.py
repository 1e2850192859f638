"""Texts packed into rows of few lengths: long ones open rows, shorter ones fill what is left, each where it fits best.

Best-fit decreasing (Johnson 1974). Shapes: n texts.
"""
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Int64

SHORTEST = 4
"""Tokens of a row for each text that it may hold at most."""
TRIED = 16384
"""Texts that are packed to see how many rows batches need, about."""
WIDER = 1.125
"""How many times as many rows a batch has that needs more than most: each shape is compiled once."""


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


def usual(lengths: Callable[[int], Int[np.ndarray, "n"]], texts: int, length: int, multiple: int) -> int:
    """Rows of most batches of so many texts, such that the mean batch has fewest.

    They are a multiple of `multiple`. `lengths` gives those of the texts of batch n, of which the first are packed.
    """
    tried = [len(pack(lengths(n), (length,)).lengths) for n in range(max(2, min(32, TRIED // texts)))]
    whole = sorted({-(-rows // multiple) * multiple for rows in tried})
    return min(whole, key=lambda rows: sum(widened(rows, needed, multiple) for needed in tried))


def widened(rows: int, needed: int, multiple: int) -> int:
    """Rows of a batch that needs so many: as many as most have, or WIDER as many, and so on."""
    while rows < needed:
        rows = -(-math.ceil(WIDER * rows) // multiple) * multiple
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
