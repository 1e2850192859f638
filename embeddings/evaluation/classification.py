"""Classification: how well does a logistic regression on frozen vectors tell labels apart from few samples?

The protocol is MTEB's: the training texts are shuffled (seed 42, each draw shuffles the last one's order again) and the
first 8 of each label are taken; a logistic regression (scikit-learn's: L2 with C = 1, L-BFGS, 100 iterations at most,
converged or not) is fitted to their vectors and tested on all of the test part; 10 draws, and the mean is the score. A
set of which the test part alone is at hand draws from that, and tests on what was not drawn.
"""
import contextlib
import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from embeddings.evaluation import scores
from embeddings.evaluation.labelled import LabelledSet
from embeddings.evaluation.scores import Encode, Result, Score
from embeddings.evaluation.table import Table

SETS = ("Banking77", "AG News")
SEED = 42


def draws(labels: Sequence[str], samples: int, times: int, seed: int = SEED) -> list[Int[np.ndarray, "n"]]:
    """Rows of each draw: in its order of all rows, the first `samples` of each label, or all where there are fewer."""
    shuffle = np.random.RandomState(seed).permutation(len(labels))
    _, of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    starts = np.cumsum(counts) - counts
    order, found = np.arange(len(labels)), []
    for _ in range(times):
        order = order[shuffle]
        by_label = np.argsort(of[order], kind="stable")
        before = np.empty(len(order), np.int64)  # how many of the same label stand before each
        before[by_label] = np.arange(len(order)) - np.repeat(starts, counts)
        found.append(order[before < samples])
    return found


@functools.cache
def _threads() -> Any:
    import sklearn.cluster  # noqa: F401 (the controller finds the libraries that are loaded by then)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> contextlib.AbstractContextManager:
    """Within it BLAS and OpenMP use one thread: on small problems threads wait for each other, most of all the time."""
    return _threads().limit(limits=1)


def fitted(
    vectors: Float[np.ndarray, "n D"], labels: Shaped[np.ndarray, "n"], c: float = 1.0, iterations: int = 100
) -> Any:
    """scikit-learn's logistic regression: the least  c sum of log losses + |w|^2 / 2, or what L-BFGS has by then."""
    from sklearn.exceptions import ConvergenceWarning  # late, here and in the other tasks: it takes a second
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)  # MTEB's protocol stops there
        return LogisticRegression(C=c, max_iter=iterations, random_state=SEED).fit(vectors, labels)


def evaluate(
    encode: Encode, sets: Sequence[LabelledSet], method: str = "encoder", samples: int = 8, times: int = 10
) -> Result:
    """Accuracy, its standard deviation over the draws, and macro F1; the texts of a set are encoded in one call."""
    return Result(method, tuple(score for one in sets for score in _measured(encode, one, samples, times)))


def _measured(encode: Encode, one: LabelledSet, samples: int, times: int) -> list[Score]:
    from sklearn.metrics import f1_score

    source, answers = one.train or one.test, np.array(one.test.labels)
    labels = np.array(source.labels)
    drawn = draws(source.labels, samples, times)
    used = np.unique(np.concatenate(drawn)) if one.train else np.zeros(0, int)
    vectors, covered = scores.encoded(encode, [*(source.texts[row] for row in used), *one.test.texts])
    test, covered = vectors[len(used):], covered[len(used):]
    train = test
    if one.train:
        train = np.zeros((len(labels), vectors.shape[1]), vectors.dtype)
        train[used] = vectors[: len(used)]
    accuracies, f1 = [], []
    for rows in drawn:
        tested = np.ones(len(answers), bool)
        if one.train is None:
            tested[rows] = False
        guesses = fitted(train[rows], labels[rows]).predict(test[tested])
        accuracies.append(np.mean(guesses == answers[tested]))
        f1.append(f1_score(answers[tested], guesses, average="macro"))
    values = {"accuracy": np.mean(accuracies), "accuracy, deviation": np.std(accuracies), "macro F1": np.mean(f1)}
    return [Score(one.name, name, float(value), int(covered.sum()), len(answers)) for name, value in values.items()]


def table(results: Sequence[Result]) -> Table:
    """A row a set and measure."""
    note = ("MTEB's protocol: logistic regression on 8 samples a label, mean of 10 draws, times 100; a set without a "
            "training part is tested on what was not drawn.")
    return scores.table("Classification", results, "texts", (note,))
