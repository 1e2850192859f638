"""Sets of labelled texts and pairs that a model's own classes and numbers are held against.

    MRPC    the test part: 1 for paraphrases
    SNLI    the test or the development part, as SentEval prepares it: a sentence, a word and a blank at a time
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

SNLI = {part: tuple(Path("nli/snli") / f"{name}.{part}.gz" for name in ("s1", "s2", "labels"))
        for part in ("dev", "test")}
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
    found = [mrpc(data)] if pair_classification.find(data) else []
    if all((data / path).is_file() for path in SNLI["test"]):
        found.append(snli(data, "test"))
    return tuple(found)


def mrpc(data: Path) -> Told:
    """MRPC's test part. Raises Problem with file and line."""
    test = pair_classification.read(data)[1]
    return Told("MRPC", tuple(zip(test.first, test.second, strict=True)), tuple(map(str, test.labels)))


def snli(data: Path, part: str) -> Told:
    """A part of SNLI. Raises Problem where its files are damaged or not of one another."""
    paths = SNLI[part]
    first, second, labels = (reading.lines(data / path, "labelled pairs") for path in paths)
    if not len(first) == len(second) == len(labels):
        raise Problem(f"{data / paths[2]}: {len(labels)} labels for {len(first)} and {len(second)} sentences: copy "
                      "the three files again")
    return Told("SNLI" if part == "test" else f"SNLI {part}", tuple(zip(first, second, strict=True)), tuple(labels))


def read(data: Path, name: str) -> tuple[Told, ...]:
    """The development parts of one of GLUE's tasks. Raises Problem with file and line."""
    return tuple(part(data, name, title) for title in glue.TASKS[name].measured)


def part(data: Path, name: str, title: str) -> Told:
    """One of them by its title. Raises Problem with file and line."""
    file = glue.TASKS[name].measured[title]
    texts, labels = [], []
    for row in glue.read(data, name, file):
        if isinstance(row, Broken):
            raise Problem(f"{row.where}: {row.what}: copy the file again")
        texts.append(row.texts if len(row.texts) > 1 else row.texts[0])
        labels.append(row.label)
    if not labels:
        raise Problem(f"{glue.path(data, name, file)}: holds no example: copy the file again")
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


def unfit(sets: Sequence[Told], at_once: Sequence[int], classes: Sequence[str] | None) -> str | None:
    """Why a model is no use for sets of one kind, that reads so many texts at once and tells these classes.

    None instead of classes asks for the texts alone.
    """
    texts = 1 if isinstance(sets[0].texts[0], str) else 2
    if texts not in at_once:
        return f"is of {'pairs' if texts == 2 else 'single texts'}, which the model does not read"
    return None if classes is None else next(filter(None, (strange(one, classes) for one in sets)), None)


def classes(model: Any, one: Told, measures: Sequence[str] = ("accuracy",)) -> tuple[Score, ...]:
    """How well a model tells the classes of a set."""
    found, n = model.classify(one.texts).labels, len(one.labels)
    return tuple(Score(one.name, name, of_classes(name, found, one.labels), n, n) for name in measures)


def numbers(model: Any, one: Told) -> tuple[Score, ...]:
    """How well a model's numbers go with those of a set."""
    found, wanted = np.asarray(model.predict(one.texts), np.float64), np.array(one.labels, np.float64)
    values = {"Pearson": pearson(found, wanted), "Spearman": spearman(found, wanted)}
    return tuple(Score(one.name, name, value, len(wanted), len(wanted)) for name, value in values.items())
