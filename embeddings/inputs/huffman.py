"""A Huffman tree of words by their counts.

Mikolov et al. (2013), "Efficient Estimation of Word Representations in Vector Space", section 3; built as their program
does: the two rarest are merged; of a merged one and a word that are equally rare the merged one is taken first, of such
words the last. The V - 1 inner nodes are numbered from the root, 0, in falling order of what hangs below them. So node
numbers rise on the way down, and the first T nodes, the tops of all paths, are a tree themselves.

A turn is 2 node + 1 where a path goes on to the right of a node (code 1), 2 node where to the left (code 0).
"""
import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32, Int64

from embeddings.problems import Problem

TOP = 32
"""Nodes taken for the top: twice as many shorten what is left of a path by one turn on the mean."""


class Below(NamedTuple):
    """Paths without their tops."""

    turns: Int32[np.ndarray, "all"]
    """Of one word after the other, each path from its last turn up."""
    starts: Int64[np.ndarray, "V"]
    """Where each word's begin."""
    length: Int32[np.ndarray, "V"]
    """How many each has."""
    exits: Int32[np.ndarray, "V"]
    """The turn at which each path leaves the top."""


@dataclasses.dataclass(frozen=True)
class Huffman:
    """A Huffman tree of V words."""

    up: Int32[np.ndarray, "V_and_nodes"]
    """The turn that leads to each word, then the turn that leads to each inner node; -1 for the root."""
    words: int
    """V."""

    @property
    def top(self) -> int:
        """T: how many nodes the top has."""
        return min(TOP, self.words - 1)

    def paths(self, words: Int[np.ndarray, "n"]) -> Int32[np.ndarray, "n L"]:
        """The turns of words, from the last up to the root's, then -1; L is the longest of these paths."""
        columns, turns = [], self.up[words]
        while np.any(turns >= 0):
            columns.append(turns)
            turns = np.where(turns >= 0, self.up[self.words + (turns >> 1)], np.int32(-1))
        return np.stack(columns, axis=1) if columns else np.zeros((len(words), 0), np.int32)

    @functools.cached_property
    def below(self) -> "Below":
        """What is left of the paths of all words below the top."""
        turns, words, levels = self.up[: self.words], np.arange(self.words), []
        length, exits = np.zeros((2, self.words), np.int32)
        while len(words):
            out = turns >> 1 < self.top
            exits[words[out]] = turns[out]
            turns, words = turns[~out], words[~out]
            length[words] += 1
            levels.append((words, turns))
            turns = self.up[self.words + (turns >> 1)]
        starts = np.cumsum(length) - length
        found = np.zeros(length.sum(), np.int32)
        for level, (words, turns) in enumerate(levels):
            found[starts[words] + level] = turns
        return Below(found, starts, length, exits)

    def tops(self) -> Float[np.ndarray, "exits 2 T"]:
        """For each turn at a node of the top: which of the T nodes are on the way to it, and where it goes left."""
        way = np.zeros((2 * self.top, 2, self.top), np.float32)
        for turn in range(2 * self.top):
            node, right = divmod(turn, 2)
            if node:
                way[turn] = way[self.up[self.words + node]]
            way[turn, :, node] = 1, 1 - right
        return way


def tree(counts: Int64[np.ndarray, "V"]) -> Huffman:
    """The Huffman tree of words with these counts; once they are sorted, in time linear in V.

    Raises Problem for fewer than two words.
    """
    V = len(counts)
    if V < 2:
        raise Problem("a Huffman tree needs two different words: take more text, or lower --vocabulary.min_count")
    rarest = V - 1 - np.argsort(counts[::-1], kind="stable")
    taken = np.asarray(_merge([*counts[rarest].tolist(), 1 << 62]))
    # The two that are merged k-th hang below node V - 2 - k, the first of them to the left.
    merging, right = divmod(np.arange(2 * V - 2), 2)
    node = np.where(taken < V, rarest[np.minimum(taken, V - 1)], V + (V - 2 - (taken - V)))
    up = np.full(2 * V - 1, -1, np.int32)
    up[node] = 2 * (V - 2 - merging) + right
    return Huffman(up, V)


def _merge(leaves: list[int]) -> list[int]:
    """What is merged, pair after pair: of V leaves, which rise and end with infinity, leaf n as n, merging k as V + k.

    Merged weights rise too, so both are queues, and the smallest is at the head of one of them (van Leeuwen 1976).
    """
    V = len(leaves) - 1
    merged: list[int] = []
    taken: list[int] = []
    leaf = inner = first = 0
    for n in range(2 * V - 2):
        if inner < len(merged) and merged[inner] <= leaves[leaf]:
            weight = merged[inner]
            taken.append(V + inner)
            inner += 1
        else:
            weight = leaves[leaf]
            taken.append(leaf)
            leaf += 1
        if n & 1:
            merged.append(first + weight)
        else:
            first = weight
    return taken
