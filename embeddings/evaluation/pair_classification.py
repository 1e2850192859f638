"""Pair classification: does the likeness of two texts' vectors tell whether they mean the same?

Pairs are ranked by cosine, inner product, minus Euclidean and minus Manhattan distance. Of each ranking:

    AP        sum over n of (R_n - R_(n-1)) P_n: precision and recall of the pairs down to each distinct likeness
    accuracy  the best over all thresholds between two different likenesses
    F1        likewise

and, as MTEB has it, of each measure the largest of the four likenesses is the result; AP by cosine stands beside it. A
text that gets zeros has cosine 0 with any other. MRPC's test part is measured. The Quora questions at hand are
duplicates only, which no likeness can be wrong about: retrieval is measured on them instead (retrieval.py).
"""
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from embeddings.evaluation import reading, scores
from embeddings.evaluation.scores import Encode, Result, Score
from embeddings.evaluation.table import Table
from embeddings.problems import Problem

MRPC = tuple(Path("pairs/MRPC") / f"msr_paraphrase_{part}.txt.gz" for part in ("train", "test"))
WHAT = "labelled pairs"


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Pairs of texts and whether they mean the same."""

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    labels: Int[np.ndarray, "P"]
    """1 where they do, else 0."""


def find(data: Path) -> bool:
    """Whether MRPC is in a folder of data sets."""
    return all((data / path).is_file() for path in MRPC)


def read(data: Path) -> tuple[LabelledPairs, LabelledPairs]:
    """The training and the test part of MRPC. Raises Problem with file and line."""
    train, test = (_mrpc(data / path) for path in MRPC)
    return train, test


def _mrpc(path: Path) -> LabelledPairs:
    """Quality, two numbers and two sentences a line, by tabs without quoting, below a header."""
    rows = []
    for number, line in enumerate(reading.lines(path, WHAT)[1:], 2):
        fields = line.split("\t")
        if len(fields) != 5 or fields[0] not in ("0", "1"):
            raise Problem(f"{path}:{number}: expected 0 or 1, two numbers and two sentences, by tabs")
        rows.append((fields[3], fields[4], int(fields[0])))
    return labelled_pairs("MRPC", path, rows)


def labelled_pairs(name: str, path: Path, rows: Sequence[tuple[str, str, int]]) -> LabelledPairs:
    """Rows of two texts and a label. Raises Problem where all labels are alike."""
    if len({label for *_, label in rows}) != 2:
        raise Problem(f"{path}: holds no two kinds of pairs: pairs that mean the same and pairs that don't are needed")
    first, second, labels = zip(*rows, strict=True)
    return LabelledPairs(name, first, second, np.array(labels))


def likenesses(u: Float[np.ndarray, "P D"], v: Float[np.ndarray, "P D"]) -> dict[str, Float[np.ndarray, "P"]]:
    """The four likenesses of the rows of u and v; larger is more alike."""
    products = (u * v).sum(axis=1)
    norms = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    return {
        "cosine": products / np.where(norms > 0, norms, 1),
        "dot": products,
        "euclidean": -np.linalg.norm(u - v, axis=1),
        "manhattan": -abs(u - v).sum(axis=1),
    }


def measures(likeness: Float[np.ndarray, "P"], labels: Int[np.ndarray, "P"]) -> dict[str, float]:
    """AP, and accuracy and F1 at their best thresholds; 0 where all likenesses are equal."""
    from sklearn.metrics import average_precision_score

    order = np.argsort(-likeness, kind="stable")
    cuts = np.flatnonzero(np.diff(likeness[order]))  # a threshold never parts equals
    right = np.cumsum(labels[order])[cuts]
    above, positives = cuts + 1, labels.sum()
    correct = right + (len(labels) - positives) - (above - right)
    return {
        "AP": float(average_precision_score(labels, likeness)),
        "accuracy": float(np.max(correct / len(labels), initial=0)),
        "F1": float(np.max(2 * right / (above + positives), initial=0)),
    }


def evaluate(encode: Encode, sets: Sequence[LabelledPairs], method: str = "encoder") -> Result:
    """The measures of all sets; both sides of a set are encoded in one call."""
    measured = []
    for one in sets:
        vectors, covered = scores.encoded(encode, [*one.first, *one.second])
        u, v = np.split(vectors.astype(np.float64), 2)
        found = {name: measures(likeness, one.labels) for name, likeness in likenesses(u, v).items()}
        values = {name: max(each[name] for each in found.values()) for name in ("AP", "accuracy", "F1")}
        values["AP, cosine"] = found["cosine"]["AP"]
        both = int(np.logical_and(*np.split(covered, 2)).sum())
        measured += [Score(one.name, name, value, both, len(one.labels)) for name, value in values.items()]
    return Result(method, tuple(measured))


def table(results: Sequence[Result]) -> Table:
    """A row a set and measure."""
    note = ("Average precision, accuracy and F1 at the best threshold, times 100: of each the largest by cosine, inner "
            "product, Euclidean and Manhattan distance, as MTEB's max_ap.")
    return scores.table("Pair classification", results, "pairs", (note,))
