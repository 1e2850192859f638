"""Sets of labelled texts and pairs that a model's own classes and numbers are held against.

    MRPC    the test part: 1 for paraphrases
    SNLI    the test part, as SentEval prepares it: a sentence, a word and a blank at a time
    GLUE    the development parts, by the measures of Wang et al. (2019): Matthews' correlation of CoLA, accuracy and F1
            of MRPC and QQP, Pearson's and Spearman's correlations of STS-B, accuracy of the others

F1 is that of class 1.
"""
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from embeddings.corpus import glue
from embeddings.corpus.example_files import Broken
from embeddings.evaluation import pair_classification, reading
from embeddings.evaluation.scores import Score
from embeddings.evaluation.word_similarity import spearman
from embeddings.problems import Problem

SNLI = tuple(Path("nli/snli") / f"{name}.test.gz" for name in ("s1", "s2", "labels"))
MEASURES = {"glue-cola": ("Matthews",), "glue-mrpc": ("accuracy", "F1"), "glue-qqp": ("accuracy", "F1"),
            "glue-sts-b": ("Pearson", "Spearman")}
"""Of GLUE's tasks; of the others accuracy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Told:
    """Texts, or pairs of them, and what is to be told of each."""

    name: str
    texts: tuple[Any, ...]
    """Strings, or (first, second)."""
    labels: tuple[str, ...]


def find(data: Path) -> tuple[Told, ...]:
    """The sets of pairs with a class that are in a folder of data sets."""
    found = []
    if pair_classification.find(data):
        test = pair_classification.read(data)[1]
        pairs = tuple(zip(test.first, test.second, strict=True))
        found.append(Told("MRPC", pairs, tuple(map(str, test.labels))))
    if all((data / path).is_file() for path in SNLI):
        first, second, labels = (reading.lines(data / path, "labelled pairs") for path in SNLI)
        if not len(first) == len(second) == len(labels):
            raise Problem(f"{data / SNLI[2]}: {len(labels)} labels for {len(first)} and {len(second)} sentences: copy "
                          "the three files again")
        found.append(Told("SNLI", tuple(zip(first, second, strict=True)), tuple(labels)))
    return tuple(found)


def read(data: Path, name: str) -> tuple[Told, ...]:
    """The development parts of one of GLUE's tasks. Raises Problem with file and line."""
    return tuple(_part(name, title, data, part) for title, part in glue.TASKS[name].measured.items())


def _part(name: str, title: str, data: Path, part: str) -> Told:
    texts, labels = [], []
    for row in glue.read(data, name, part):
        if isinstance(row, Broken):
            raise Problem(f"{row.where}: {row.what}: copy the file again")
        texts.append(row.texts if len(row.texts) > 1 else row.texts[0])
        labels.append(row.label)
    if not labels:
        raise Problem(f"{glue.path(data, name, part)}: holds no example: copy the file again")
    return Told(title, tuple(texts), tuple(labels))


def of_classes(measure: str, found: Sequence[str], labels: Sequence[str]) -> float:
    """Accuracy, F1 of class 1, or Matthews' correlation (0 where one of both is always the same)."""
    from sklearn import metrics  # late, as in the other tasks

    if measure == "F1":
        return float(metrics.f1_score(labels, found, labels=["1"], average="macro", zero_division=0))
    return float({"accuracy": metrics.accuracy_score, "Matthews": metrics.matthews_corrcoef}[measure](labels, found))


def pearson(x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> float | None:
    """Pearson's correlation; None where it is undefined."""
    return float(np.corrcoef(x, y)[0, 1]) if np.std(x) > 0 and np.std(y) > 0 else None


def strange(one: Told, classes: Sequence[str]) -> str | None:
    """What is wrong where a set has other classes than a model tells."""
    if {*one.labels} <= {*classes}:
        return None
    return (f"has classes {', '.join(sorted({*one.labels}))} in {one.name}, and the model tells {', '.join(classes)}: "
            "those of a folder are named by id2label in its config.json")


def classes(model: Any, one: Told, measures: Sequence[str] = ("accuracy",)) -> tuple[Score, ...]:
    """How well a model tells the classes of a set."""
    found, n = model.classify(one.texts).labels, len(one.labels)
    return tuple(Score(one.name, name, of_classes(name, found, one.labels), n, n) for name in measures)


def numbers(model: Any, one: Told) -> tuple[Score, ...]:
    """How well a model's numbers go with those of a set."""
    found, wanted = np.asarray(model.predict(one.texts), np.float64), np.array(one.labels, np.float64)
    values = {"Pearson": pearson(found, wanted), "Spearman": spearman(found, wanted)}
    return tuple(Score(one.name, name, value, len(wanted), len(wanted)) for name, value in values.items())
