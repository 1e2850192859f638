import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from embeddings.evaluation import senteval
from embeddings.evaluation.classification import one_thread
from embeddings.evaluation.labelled import Labelled, LabelledSet
from embeddings.evaluation.pair_classification import LabelledPairs

FOLDS = StratifiedKFold(3, shuffle=True, random_state=1111)


@pytest.fixture(scope="module")
def rows():
    """Vectors of two labels that overlap."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 150)
    return random.normal(size=(150, 4)) + 0.8 * labels[:, None] * np.arange(4) / 4, labels.astype(str)


def searched(values):
    """scikit-learn's own search for C, which doesn't round accuracies."""
    return GridSearchCV(LogisticRegression(max_iter=1000), {"C": values}, cv=FOLDS)


@pytest.fixture(autouse=True)
def alone():
    """Small fits are many times faster on one thread."""
    with one_thread():
        yield


def test_nested_cross_validation_is_scikit_learns(rows):
    expected = cross_val_score(searched(senteval.INNER), *rows, cv=FOLDS)
    assert senteval.nested(rows, folds=3) == pytest.approx(expected.mean(), abs=1e-9)
    assert len(set(expected)) > 1


def test_a_test_part_is_scored_by_the_best_c(rows):
    vectors, labels = rows
    train, valid, test = ((vectors[part], labels[part]) for part in (slice(80), slice(80, 110), slice(110, 150)))
    search = searched(senteval.OUTER).fit(*train)
    assert senteval.tested(train, test, folds=3) == pytest.approx(search.score(*test), abs=1e-9)
    by_valid = {c: senteval.accuracy(train, valid, c) for c in senteval.INNER}
    best = next(c for c in senteval.INNER if by_valid[c] == max(by_valid.values()))
    assert senteval.tested(train, test, valid) == senteval.accuracy(train, test, best)


def test_every_kind_of_set_is_measured(rows):
    vectors, labels = rows
    texts = tuple(map(str, range(150)))
    calls = []

    def encode(asked):
        calls.append(list(asked))
        return vectors[[int(text) for text in asked]]

    def part(start, stop):
        return Labelled(texts[start:stop], tuple(labels[start:stop]))

    def pair(start, stop):
        flags = (labels[start:stop] == labels[stop : 2 * stop - start]).astype(int)
        return LabelledPairs("MRPC", texts[start:stop], texts[stop : 2 * stop - start], flags)

    sets = [LabelledSet("one", part(0, 150), None), LabelledSet("two", part(0, 100), part(100, 150)),
            LabelledSet("three", part(0, 80), part(110, 150), part(80, 110))]
    pairs = pair(0, 50), pair(100, 120)
    result = senteval.evaluate(encode, sets, [pairs], "mine", folds=3)
    assert [score.total for score in result.measured] == [150, 50, 40, 20] and len(calls) == 4
    assert result.value("one", "accuracy") == senteval.nested(rows, folds=3)
    valid, test = ((vectors[a:b], labels[a:b]) for a, b in ((80, 110), (110, 150)))
    assert result.value("three", "accuracy") == senteval.tested((vectors[:80], labels[:80]), test, valid)
    u, v = vectors[np.r_[0:50, 100:120]], vectors[np.r_[50:100, 120:140]]
    features = np.concatenate([np.abs(u - v), u * v], axis=1)
    expected = senteval.tested((features[:50], pairs[0].labels), (features[50:], pairs[1].labels), folds=3)
    assert result.value("MRPC", "accuracy") == expected
    last = senteval.table([result]).rows[-1]
    assert last[0] == "average of 4"
    assert last[2] == pytest.approx(100 * np.mean([score.value for score in result.measured]))
