"""SentEval's transfer tasks: accuracy of a logistic regression on frozen vectors (Conneau & Kiela 2018).

    MR CR SUBJ MPQA   in one part: 10-fold cross-validation, C chosen in each fold by an inner 10-fold one on its
                      training rows, from 1/4, 1/2, ..., 8; the score is the mean over the folds
    SST2              C by the accuracy on the validation part, from 1/4, ..., 8
    TREC, MRPC        C by 10-fold cross-validation on the training part, from 1/2, ..., 32; a pair (u, v) of MRPC is
                      [|u - v|, u * v]

Folds are stratified and shuffled by seed 1111, of equal C the least wins. This is SentEval's scikit-learn route; its
other one, by which table 5 of Sentence-BERT was made, fits the same model by Adam with early stopping.
"""
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from embeddings.evaluation import scores
from embeddings.evaluation.classification import fitted
from embeddings.evaluation.labelled import LabelledSet
from embeddings.evaluation.pair_classification import LabelledPairs
from embeddings.evaluation.scores import Encode, Result, Score
from embeddings.evaluation.table import Table

SETS = ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC")
"""The sets of labelled texts; MRPC, of pairs, comes on top."""
SEED = 1111
FOLDS = 10
INNER = tuple(2.0**t for t in range(-2, 4))
OUTER = tuple(2.0**t for t in range(-1, 6))
"""Values of C: OUTER where there is a test part and no validation part, else INNER."""
ITERATIONS = 1000
"""Of L-BFGS at most: enough to converge."""

Rows = tuple[Float[np.ndarray, "_ D"], Shaped[np.ndarray, "_"]]
"""Vectors and their labels."""


def accuracy(train: Rows, test: Rows, c: float) -> float:
    """Of the logistic regression on the training rows."""
    return float(fitted(*train, c, ITERATIONS).score(*test))


def folded(rows: Rows, folds: int) -> Iterator[tuple[Rows, Rows]]:
    """The other rows and the rows of each fold; every label stands in each alike."""
    from sklearn.model_selection import StratifiedKFold

    vectors, labels = rows
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=SEED).split(vectors, labels):
        yield (vectors[train], labels[train]), (vectors[test], labels[test])


def cross_validated(rows: Rows, c: float, folds: int) -> float:
    """Mean accuracy over stratified folds."""
    return float(np.mean([accuracy(train, test, c) for train, test in folded(rows, folds)]))


def nested(rows: Rows, folds: int = FOLDS) -> float:
    """Mean accuracy over folds, each by the C that an inner cross-validation on its training rows chooses."""
    accuracies = []
    for train, test in folded(rows, folds):
        best = max(INNER, key=lambda c, train=train: round(cross_validated(train, c, folds), 4))
        accuracies.append(accuracy(train, test, best))
    return float(np.mean(accuracies))


def tested(train: Rows, test: Rows, valid: Rows | None = None, folds: int = FOLDS) -> float:
    """Accuracy on the test rows, by the C that the validation rows choose, or cross-validation on the training rows."""
    if valid is None:
        best = max(OUTER, key=lambda c: round(cross_validated(train, c, folds), 4))
    else:
        best = max(INNER, key=lambda c: round(accuracy(train, valid, c), 4))
    return accuracy(train, test, best)


def evaluate(
    encode: Encode,
    sets: Sequence[LabelledSet],
    pairs: Sequence[tuple[LabelledPairs, LabelledPairs]] = (),
    method: str = "encoder",
    folds: int = FOLDS,
) -> Result:
    """Accuracy of all sets, and of training and test parts of pairs; the texts of a set are encoded in one call."""
    measured = [_texts(encode, one, folds) for one in sets]
    measured += [_pairs(encode, train, test, folds) for train, test in pairs]
    return Result(method, tuple(measured))


def _texts(encode: Encode, one: LabelledSet, folds: int) -> Score:
    parts = [part for part in (one.train, one.test, one.valid) if part]
    vectors, covered = scores.encoded(encode, [text for part in parts for text in part.texts])
    cuts = np.cumsum([len(part.texts) for part in parts])[:-1]
    rows = [(vectors, np.array(part.labels)) for vectors, part in zip(np.split(vectors, cuts), parts, strict=True)]
    value = tested(*rows, folds=folds) if len(rows) > 1 else nested(rows[0], folds)
    return _score(one.name, value, np.split(covered, cuts)[min(1, len(cuts))])


def _pairs(encode: Encode, train: LabelledPairs, test: LabelledPairs, folds: int) -> Score:
    texts = [*train.first, *test.first, *train.second, *test.second]
    vectors, covered = scores.encoded(encode, texts)
    u, v = np.split(vectors, 2)
    features, cut = np.hstack([abs(u - v), u * v]), len(train.first)
    value = tested((features[:cut], train.labels), (features[cut:], test.labels), folds=folds)
    return _score(train.name, value, np.logical_and(*np.split(covered, 2))[cut:])


def _score(name: str, value: float, covered: Bool[np.ndarray, "n"]) -> Score:
    return Score(name, "accuracy", value, int(covered.sum()), len(covered))


def table(results: Sequence[Result]) -> Table:
    """A row a set and their mean."""
    note = ("SentEval's protocol: logistic regression, its C by cross-validation or a validation part, accuracy on the "
            "test part or over 10 folds, times 100.")
    return scores.table("SentEval", results, "texts", (note,), f"average of {len(results[0].measured)}")
