"""Word similarity: does the cosine of two words' vectors rank pairs as people did?

The score is Spearman's rank correlation of cosines and judgements over the pairs whose two words are known; the others
are left out and counted (as gensim does unless asked for dummies). Case is ignored, as for analogies.
"""
import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Num

from embeddings.evaluation.analogies import first_rows
from embeddings.evaluation.table import Cell, Table
from embeddings.problems import Problem

VECTO = ("", "word1", "word2", "similarity")


@dataclasses.dataclass(frozen=True, eq=False)
class TestSet:
    """Pairs of words and how similar people found them."""

    __test__ = False  # not a test of ours, whatever pytest makes of the name
    name: str
    pairs: tuple[tuple[str, str], ...]
    judgements: Float64[np.ndarray, "P"]


@dataclasses.dataclass(frozen=True)
class Score:
    """One test set."""

    name: str
    spearman: float | None
    """Rank correlation, -1 to 1; None where fewer than two pairs are covered or all are alike."""
    covered: int
    """Pairs whose two words are in the vocabulary."""
    total: int
    cosines: Float64[np.ndarray, "covered"] | None = dataclasses.field(default=None, compare=False, repr=False)
    """Of each covered pair, in order."""
    judgements: Float64[np.ndarray, "covered"] | None = dataclasses.field(default=None, compare=False, repr=False)
    """Likewise."""


@dataclasses.dataclass(frozen=True)
class Result:
    """Scores of several test sets."""

    vocabulary: int
    """Most frequent words that were taken as known."""
    sets: tuple[Score, ...]

    def rows(self) -> list[dict[str, Cell]]:
        """One record a test set; see table.KEYS."""
        return [
            {"set": score.name, "section": "total", "method": "cosine", "score": score.spearman, "correct": None,
             "covered": score.covered, "total": score.total}
            for score in self.sets
        ]

    def scores(self) -> dict[str, float]:
        """Spearman's rho by set."""
        return {score.name: score.spearman for score in self.sets if score.spearman is not None}


def find(folder: Path) -> list[Path]:
    """The files of test sets in a folder: EN-*.txt (word, word, judgement by tabs) and *_vecto.csv, by name."""
    return sorted([*folder.glob("EN-*.txt"), *folder.glob("*_vecto.csv")])


def read(path: Path) -> TestSet:
    """A test set. Raises Problem with file and line."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            lines = list(csv.reader(handle)) if path.suffix == ".csv" else [line.rstrip("\r\n").split("\t")
                                                                           for line in handle]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Problem(f"{path}: no file of word pairs ({type(error).__name__})") from None
    start = 0
    if path.suffix == ".csv":
        if not lines or tuple(lines[0]) != VECTO:
            raise Problem(f"{path}:1: expected the header {','.join(VECTO)}")
        start, lines = 1, [line[1:] for line in lines[1:]]
    pairs, judgements = [], []
    for number, line in enumerate(lines, start + 1):
        try:
            a, b, judgement = line
            judgements.append(float(judgement))
        except ValueError:
            raise Problem(f"{path}:{number}: expected two words and a number") from None
        pairs.append((a, b))
    if not pairs:
        raise Problem(f"{path}: holds no pairs")
    return TestSet(path.stem.removeprefix("EN-"), tuple(pairs), np.array(judgements))


def evaluate(
    vectors: Float[np.ndarray, "V D"], words: Sequence[str], sets: Sequence[TestSet], vocabulary: int = 0
) -> Result:
    """Scores of all sets; `vocabulary` most frequent words count as known, 0 takes all."""
    limit = min(vocabulary or len(words), len(words))
    rows, _ = first_rows(words[:limit])
    scores = []
    for one in sets:
        asked = np.array([[rows.get(word.upper(), -1) for word in pair] for pair in one.pairs])
        covered = (asked >= 0).all(axis=1)
        a, b = (vectors[asked[covered, side]].astype(np.float64) for side in (0, 1))
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines = (a * b).sum(axis=1) / np.where(norms > 0, norms, 1)
        judged = one.judgements[covered]
        rho = spearman(cosines, judged)
        scores.append(Score(one.name, rho, int(covered.sum()), len(covered), cosines, judged))
    return Result(limit, tuple(scores))


def table(results: Sequence[Result]) -> Table:
    """A row a test set, of the one result that there is."""
    rows = tuple((score.name, score.spearman, score.covered, score.total) for score in results[0].sets)
    note = "Spearman's rho of cosines and judgements; pairs with an unknown word are left out."
    return Table("Word similarity", ("set", "Spearman", "pairs covered", "pairs"), rows, (note,))


def spearman(x: Num[np.ndarray, "n"], y: Num[np.ndarray, "n"]) -> float | None:
    """Pearson's correlation of the ranks; equal values share the mean of their ranks. None where it is undefined."""
    a, b = (ranks - ranks.mean() for ranks in (average_ranks(x), average_ranks(y))) if len(x) else (x, y)
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else None


def average_ranks(x: Num[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """Ranks from 1, the smallest; equal values share the mean of their ranks."""
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]
