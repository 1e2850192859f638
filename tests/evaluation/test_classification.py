import collections

import numpy as np
import pytest
import scipy.optimize

from embeddings.evaluation import classification
from embeddings.evaluation.labelled import Labelled, LabelledSet


def described(labels, samples, times, seed):
    """The draws as MTEB's protocol is told: shuffle the last order, walk through it, take until a label has enough."""
    random, order, found = np.random.RandomState(seed), list(range(len(labels))), []
    for _ in range(times):
        random = np.random.RandomState(seed)
        random.shuffle(order)
        taken, rows = collections.Counter(), []
        for row in order:
            if taken[labels[row]] < samples:
                taken[labels[row]] += 1
                rows.append(row)
        found.append(rows)
    return found


@pytest.mark.parametrize(("size", "samples"), [(60, 4), (7, 16)])
def test_draws_are_the_protocols(size, samples):
    labels = np.random.default_rng(size).choice(["a", "b", "c"], size).tolist()
    found = classification.draws(labels, samples, 5, seed=42)
    assert [rows.tolist() for rows in found] == described(labels, samples, 5, 42)


def test_the_regression_is_at_the_least_of_its_loss():
    random = np.random.default_rng(0)
    vectors, labels = random.normal(size=(40, 3)), random.integers(0, 3, 40)

    def loss(parameters, c=0.5):
        weights, bias = parameters[:9].reshape(3, 3), parameters[9:]
        logits = vectors @ weights.T + bias
        log_losses = scipy.special.logsumexp(logits, axis=1) - logits[np.arange(40), labels]
        return c * log_losses.sum() + (weights**2).sum() / 2

    least = scipy.optimize.minimize(loss, np.zeros(12)).x
    model = classification.fitted(vectors, labels, c=0.5, iterations=1000)
    np.testing.assert_allclose(model.coef_, least[:9].reshape(3, 3), atol=1e-3)


@pytest.fixture(scope="module")
def sets():
    """Texts that are numbers, of three labels that lie apart but for noise; in two parts, and in a test part alone."""
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 300)
    vectors = np.eye(5)[labels] + 0.6 * random.normal(size=(300, 5))
    vectors[-1] = 0
    texts, names = tuple(map(str, range(300))), tuple(f"label {label}" for label in labels)
    train, test = Labelled(texts[:200], names[:200]), Labelled(texts[200:], names[200:])
    return vectors.astype(np.float32), [LabelledSet("both", train, test), LabelledSet("one", None, test)]


def test_scores_are_their_definition(sets):
    vectors, (both, one) = sets
    calls = []

    def encode(texts):
        calls.append(list(texts))
        return vectors[[int(text) for text in texts]]

    result = classification.evaluate(encode, [both, one], "mine", samples=4, times=3)
    labels = np.array([*both.train.labels, *both.test.labels])
    accuracies = []
    for rows in described(both.train.labels, 4, 3, 42):
        model = classification.fitted(vectors[rows], labels[rows])
        accuracies.append(np.mean(model.predict(vectors[200:]) == labels[200:]))
    assert result.value("both", "accuracy") == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert result.value("both", "accuracy, deviation") == pytest.approx(np.std(accuracies), abs=1e-12)
    assert 0.5 < result.value("both", "macro F1") < 1
    accuracies = []
    for rows in described(one.test.labels, 4, 3, 42):
        rest = np.setdiff1d(np.arange(100), rows) + 200
        model = classification.fitted(vectors[200:][rows], labels[200:][rows])
        accuracies.append(np.mean(model.predict(vectors[rest]) == labels[rest]))
    assert result.value("one", "accuracy") == pytest.approx(np.mean(accuracies), abs=1e-12), "drawn rows are not tested"
    assert len(calls) == 2 and len(calls[0]) < 136 + 1 and len(calls[1]) == 100, "a call a set, of what is needed"
    assert {(score.covered, score.total) for score in result.measured} == {(99, 100)}
    assert "accuracy, deviation" in classification.table([result]).text()


def test_macro_f1_is_its_definition(sets):
    vectors, (both, _) = sets
    encode = lambda texts: vectors[[int(text) for text in texts]]  # noqa: E731
    result = classification.evaluate(encode, [both], samples=4, times=1)
    (rows,) = described(both.train.labels, 4, 1, 42)
    guesses = classification.fitted(vectors[rows], np.array(both.train.labels)[rows]).predict(vectors[200:])
    answers, f1 = np.array(both.test.labels), []
    for label in sorted(set(answers)):
        right = np.sum((guesses == label) & (answers == label))
        f1.append(2 * right / (np.sum(guesses == label) + np.sum(answers == label)))
    assert result.value("both", "macro F1") == pytest.approx(np.mean(f1), abs=1e-12)
