"""Treebanks of dependencies: of each word the word of its sentence that it depends on, its head, and how.

CoNLL-U (universaldependencies.org) and CoNLL-X (Buchholz and Marsi 2006) are read: a word a line, ten columns by tabs,
of which the first is the word's number in its sentence, the second the word, the seventh the number of its head, 0 for
a root, which has none, the eighth the relation. Blank lines part sentences. Left out are comments (#), the words as
they are written where several are written as one (1-2), and words that are not written (1.1).

The accuracy of a relation is the share of its words whose head is told rightly. As the authors' code of Clark et al.
2019 has it, `all` are all words, punctuation and roots too, whose head nobody can tell, and a possessor before 's is
judged by the head that is told of the 's (section 4.2).

Shapes: n words of all sentences, c some of them, R relations.
"""
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from embeddings.evaluation import reading
from embeddings.problems import Problem

WHAT = "dependencies"
COLUMNS = 10
ALL = "all"
OFFSETS = (1, -1, 2, -2, 3, -3)
"""In words; of equally good ones the first counts."""
POSSESSORS, CLITICS = ("poss", "nmod:poss"), ("'s", "\N{RIGHT SINGLE QUOTATION MARK}s")
"""A possessor's relation, in Stanford's and in Universal Dependencies, and what may stand behind it."""


@dataclasses.dataclass(frozen=True)
class Treebank:
    """Sentences, and for each word its head and its relation."""

    name: str
    sentences: tuple[tuple[str, ...], ...]
    heads: tuple[tuple[int, ...], ...]
    """From 0; -1 for roots, which have none."""
    relations: tuple[tuple[str, ...], ...]
    """As they are given, sub-types too."""

    def part(self, some: Bool[np.ndarray, "_"]) -> "Treebank":
        """The sentences that are true."""
        columns = zip(self.sentences, self.heads, self.relations, strict=True)
        kept = [row for row, is_kept in zip(columns, some, strict=True) if is_kept]
        return Treebank(self.name, *zip(*kept, strict=True)) if kept else Treebank(self.name, (), (), ())


def read(path: Path) -> Treebank:
    """A file, .gz too. Raises Problem with file and line."""
    sentences = []
    for block in reading.blocks(path, WHAT):
        lines = [(number, line.split("\t")) for number, line in block if not line.startswith("#")]
        for number, columns in lines:
            if len(columns) != COLUMNS:
                raise Problem(f"{path}:{number}: {len(columns)} columns where CoNLL-U and CoNLL-X have {COLUMNS}, by "
                              "tabs: correct the line, or convert the file")
        if rows := [line for line in lines if not re.fullmatch(r"\d+[-.]\d+", line[1][0])]:
            sentences.append(_sentence(path, rows))
    if not sentences:
        raise Problem(f"{path}: holds no sentences: name a treebank in CoNLL-U or CoNLL-X")
    return Treebank(path.name, *zip(*sentences, strict=True))


def _sentence(path: Path, rows: Sequence[tuple[int, list[str]]]) -> tuple[tuple, tuple, tuple]:
    """Words, heads and relations of the lines of a sentence."""
    heads = []
    for place, (number, columns) in enumerate(rows, 1):
        said, word, head, relation = columns[0], columns[1], columns[6], columns[7]
        where = f"{path}:{number}"
        if said != str(place):
            raise Problem(f"{where}: word {said} where {place} comes next: correct the line, or part sentences by a "
                          "blank one")
        if not word.strip():
            raise Problem(f"{where}: no word in the second column: correct the line")
        if not head.isdecimal():
            raise Problem(f"{where}: head {head!r} is no number: give that of a word of the sentence, or 0")
        if int(head) > len(rows) or int(head) == place:
            raise Problem(f"{where}: head {head} of word {place} of {len(rows)}: give the number of another word of "
                          "the sentence, or 0")
        if relation in ("", "_"):
            raise Problem(f"{where}: no relation in the eighth column: correct the line")
        heads.append(int(head) - 1)
    return tuple(columns[1] for _, columns in rows), tuple(heads), tuple(columns[7] for _, columns in rows)


class Words(NamedTuple):
    """The words of a treebank, numbered through all its sentences."""

    sentence: Int[np.ndarray, "n"]
    head: Int[np.ndarray, "n"]
    """-2 for roots: no word, nor the -1 that is told where there is none."""
    judge: Int[np.ndarray, "n"]
    """By what is told of which word a word is judged: of itself, or of its 's."""
    member: Float[np.ndarray, "n R"]
    """1 where a word is of a relation: every one of ALL, roots of no other."""
    relations: tuple[str, ...]


def words_of(bank: Treebank) -> Words:
    """Of a treebank with a sentence or more."""
    lengths = np.array([len(some) for some in bank.sentences])
    begins = np.repeat(np.cumsum(lengths) - lengths, lengths)
    forms, relations = (np.array([x for some in column for x in some], object)
                        for column in (bank.sentences, bank.relations))
    own = np.array([head for some in bank.heads for head in some])
    n, sentence = len(own), np.repeat(np.arange(len(lengths)), lengths)
    following = np.minimum(np.arange(n) + 1, n - 1)
    possessor = np.isin(relations, POSSESSORS) & np.isin(forms[following], CLITICS) & (sentence[following] == sentence)
    names, which, count = np.unique(relations[own >= 0].astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(-count, kind="stable")
    member = np.zeros((n, 1 + len(names)), np.float32)
    member[:, 0] = 1
    member[np.flatnonzero(own >= 0), 1 + np.argsort(order)[which]] = 1
    return Words(sentence, np.where(own < 0, -2, begins + own), np.where(possessor, following, np.arange(n)), member,
                 (ALL, *names[order].tolist()))


def right(words: Words, some: Int[np.ndarray, "c"], told: Int[np.ndarray, "*M c"]) -> Float[np.ndarray, "*M c"]:
    """1 where the head of a word is told rightly; `told` is of the words `some`, which are of whole sentences."""
    column = np.full(len(words.head), -1)
    column[some] = np.arange(len(some))
    judge = column[words.judge[some]]
    return ((told[..., judge] == words.head[some]) & (judge >= 0)).astype(np.float64)


def offset(words: Words, k: int) -> Int[np.ndarray, "n"]:
    """The word k places behind each word; -1 where its sentence has none there."""
    n = len(words.sentence)
    there = np.arange(n) + k
    inside = (there >= 0) & (there < n)
    return np.where(inside & (words.sentence[np.clip(there, 0, n - 1)] == words.sentence), there, -1)
