import numpy as np
import pytest

from embeddings.evaluation import clustering
from embeddings.evaluation.labelled import Labelled, LabelledSet


def entropy(counts):
    shares = counts[counts > 0] / counts.sum()
    return -(shares * np.log(shares)).sum()


def v_measure(labels, clusters):
    """By its definition, from the table of counts."""
    table = np.array([[np.sum((labels == a) & (clusters == b)) for b in set(clusters)] for a in sorted(set(labels))])
    joint, of_labels, of_clusters = entropy(table.ravel()), entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    homogeneity = 1 - (joint - of_clusters) / of_labels
    completeness = 1 - (joint - of_labels) / of_clusters
    return 2 * homogeneity * completeness / (homogeneity + completeness)


def test_scores_are_their_definition():
    random = np.random.default_rng(0)
    labels = np.array(random.choice(["a", "b", "c", "d"], 400))
    vectors = np.eye(4, 6)[np.unique(labels, return_inverse=True)[1]] + 0.5 * random.normal(size=(400, 6))
    vectors[0] = 0
    one = LabelledSet("mine", None, Labelled(tuple(map(str, range(400))), tuple(labels)))
    result = clustering.evaluate(lambda texts: vectors[[int(t) for t in texts]], [one], "mean", seeds=(1, 2, 3))
    found = [clustering.clusters(vectors, 4, seed) for seed in (1, 2, 3)]
    expected = [v_measure(labels, clusters) for clusters in found]
    assert all(len(set(clusters)) == 4 for clusters in found)
    assert result.value("mine", "v-measure") == pytest.approx(np.mean(expected), abs=1e-12)
    assert result.value("mine", "v-measure, deviation") == pytest.approx(np.std(expected), abs=1e-12)
    assert 0.2 < np.mean(expected) < 1 and (result.measured[0].covered, result.measured[0].total) == (399, 400)
    assert clustering.table([result]).rows[0][2] == 100 * result.measured[0].value


def test_clusters_that_lie_apart_are_found():
    random = np.random.default_rng(0)
    of = random.integers(0, 3, 90)
    vectors = 10 * np.eye(3)[of] + random.normal(size=(90, 3))
    assert v_measure(of, clustering.clusters(vectors, 3)) == pytest.approx(1)
