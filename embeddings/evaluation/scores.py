"""What sets were scored by one way of encoding, and several ways side by side."""
import dataclasses
import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from embeddings.evaluation.table import Cell, Table

Encode = Callable[[Sequence[str]], Float[np.ndarray, "n D"]]
"""Texts in, a row each out: `.encode` of anything that embeddings.load gives."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A measure of a set."""

    set: str
    measure: str
    value: float | None
    """None where it is undefined."""
    covered: int
    """Items whose texts have a vector that is not zeros."""
    total: int
    """Items: queries, pairs, texts, as the kind of task counts them."""


@dataclasses.dataclass(frozen=True)
class Result:
    """Measures of several sets by one way of encoding."""

    method: str
    measured: tuple[Score, ...]

    def rows(self) -> list[dict[str, Cell]]:
        """One record a set and measure; see table.KEYS."""
        return [{"set": score.set, "section": score.measure, "method": self.method, "score": score.value,
                 "correct": None, "covered": score.covered, "total": score.total} for score in self.measured]

    def scores(self) -> dict[str, float]:
        """Values as `SET MEASURE METHOD`, without those that are undefined."""
        return {f"{score.set} {score.measure} {self.method}": score.value
                for score in self.measured if score.value is not None}

    def value(self, set: str, measure: str) -> float | None:
        """One value. Raises KeyError where it was not measured."""
        for score in self.measured:
            if (score.set, score.measure) == (set, measure):
                return score.value
        raise KeyError(f"{measure} of {set}")


def encoded(encode: Encode, texts: Sequence[str]) -> tuple[Float[np.ndarray, "n D"], Bool[np.ndarray, "n"]]:
    """The vectors of texts, in one call, and which of them are not zeros; blank texts, which sets have, get zeros."""
    written = np.array([bool(text.strip()) for text in texts], bool)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* have no known word: zeros")  # they are counted
        vectors = np.asarray(encode(texts if written.all() else [text for text in texts if text.strip()]))
    if not written.all():
        found, vectors = vectors, np.zeros((len(texts), vectors.shape[1]), vectors.dtype)
        vectors[written] = found
    return vectors, vectors.any(axis=1)


def table(title: str, results: Sequence[Result], items: str, notes: Sequence[str], average: str = "") -> Table:
    """A row a set and measure, a column a way of encoding, times 100 as papers print it.

    Args:
        title: above the table.
        results: of the same sets and measures.
        items: what is counted, as `queries`.
        notes: below the table.
        average: name of a last row with the means over all rows; empty makes none.
    """
    rows: list[tuple[Cell, ...]] = []
    for scores in zip(*(result.measured for result in results), strict=True):
        values = (None if score.value is None else 100 * score.value for score in scores)
        first = scores[0]
        rows.append((first.set, first.measure, *values, first.covered, first.total))
    if average:
        columns = list(itertools.islice(zip(*rows, strict=True), 2, 2 + len(results)))
        rows.append((average, rows[0][1], *(None if None in column else float(np.mean(column)) for column in columns),
                     *(sum(row[i] for row in rows) for i in (-2, -1))))
    columns = ("set", "measure", *(result.method for result in results), f"{items} covered", items)
    return Table(title, columns, tuple(rows), tuple(notes))
