import gzip
import re

import numpy as np
import pytest

from embeddings.evaluation import pair_classification
from embeddings.evaluation.pair_classification import LabelledPairs
from embeddings.problems import Problem

HEADER = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"


def by_definition(likeness, labels):
    """AP, accuracy and F1, one threshold after the other."""
    thresholds = sorted(set(likeness), reverse=True)
    precision, recall, accuracies, f1 = [], [0.0], [0.0], [0.0]
    for threshold in thresholds:
        guessed = likeness >= threshold
        right = np.sum(guessed & (labels == 1))
        precision.append(right / guessed.sum())
        recall.append(right / labels.sum())
        if threshold != thresholds[-1]:
            accuracies.append(np.mean(guessed == labels))
            f1.append(2 * right / (guessed.sum() + labels.sum()))
    return {"AP": np.sum(np.diff(recall) * precision), "accuracy": max(accuracies), "F1": max(f1)}


@pytest.mark.parametrize("distinct", [1, 3, 20, 10**6])
def test_measures_are_their_definition_with_ties(distinct):
    random = np.random.default_rng(distinct)
    likeness = random.integers(0, distinct, 60) / distinct
    labels = (random.random(60) < 0.3 + 0.5 * likeness).astype(int)
    assert pair_classification.measures(likeness, labels) == pytest.approx(by_definition(likeness, labels), abs=1e-12)


def test_likenesses_are_their_definition():
    random = np.random.default_rng(0)
    u, v = random.normal(size=(2, 8, 5))
    u[0] = 0
    found = pair_classification.likenesses(u, v)
    for row in range(8):
        a, b = u[row], v[row]
        length = (sum(a**2) * sum(b**2)) ** 0.5
        assert found["cosine"][row] == pytest.approx(sum(a * b) / length if length else 0)
        assert found["dot"][row] == pytest.approx(sum(a * b))
        assert found["euclidean"][row] == pytest.approx(-(sum((a - b) ** 2) ** 0.5))
        assert found["manhattan"][row] == pytest.approx(-sum(abs(a - b)))


def test_the_best_likeness_counts():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(100, 4)).astype(np.float32) * random.uniform(0.1, 3, (100, 1)).astype(np.float32)
    vectors[60] = 0
    texts = tuple(map(str, range(100)))
    pairs = LabelledPairs("mine", texts[:50], texts[50:], random.integers(0, 2, 50))
    calls = []

    def encode(asked):
        calls.append(list(asked))
        return vectors[[int(text) for text in asked]]

    result = pair_classification.evaluate(encode, [pairs], "mean")
    likenesses = pair_classification.likenesses(*np.split(vectors.astype(np.float64), 2))
    each = [by_definition(likeness, pairs.labels) for likeness in likenesses.values()]
    for measure in ("AP", "accuracy", "F1"):
        assert result.value("mine", measure) == pytest.approx(max(one[measure] for one in each), abs=1e-12)
    assert result.value("mine", "AP, cosine") == pytest.approx(each[0]["AP"]) != result.value("mine", "AP")
    assert calls == [list(texts)] and (result.measured[0].covered, result.measured[0].total) == (49, 50)
    assert "AP, cosine" in pair_classification.table([result]).text()


def write(folder, train, test):
    for path, text in zip(pair_classification.MRPC, (train, test), strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(gzip.compress(text.encode()))


def test_mrpc_is_read(tmp_path):
    rows = '1\t1\t2\tA "quoted word .\tB .\n0\t3\t4\tC .\tD .\n'
    write(tmp_path, HEADER + rows, HEADER + rows.replace("A", "E"))
    train, test = pair_classification.read(tmp_path)
    assert (train.first, train.second) == (('A "quoted word .', "C ."), ("B .", "D ."))
    assert train.labels.tolist() == [1, 0]
    assert test.first[0] == 'E "quoted word .' and pair_classification.find(tmp_path)


@pytest.mark.parametrize(("rows", "complaint"), [
    ("1\t1\t2\ta\n", "test.txt.gz:2: expected 0 or 1, two numbers and two sentences"),
    ("1\t1\t2\ta\tb\n2\t1\t2\ta\tb\n", "test.txt.gz:3: expected 0 or 1"),
    ("1\t1\t2\ta\tb\n", "test.txt.gz: holds no two kinds of pairs"),
    ("", "test.txt.gz: holds no two kinds of pairs"),
])
def test_a_broken_file_is_named(tmp_path, rows, complaint):
    write(tmp_path, HEADER + "1\t1\t2\ta\tb\n0\t1\t2\ta\tb\n", HEADER + rows)
    with pytest.raises(Problem, match=re.escape(complaint)):
        pair_classification.read(tmp_path)


def test_mrpc_has_its_published_size(data):
    train, test = pair_classification.read(data)
    assert (len(train.labels), int(train.labels.sum())) == (4076, 2753)
    assert (len(test.labels), int(test.labels.sum())) == (1725, 1147)
