"""Limits of clusters against all there are, and against a text whose words are drawn."""
import itertools

import numpy as np
import pytest

from embeddings.inputs.clusters import limits


def cost(shares, found, predicted):
    """What the page says a centre costs."""
    shares = shares / shares.sum()
    total = found[0]
    for a, b in itertools.pairwise(found):
        total += (1 - (1 - shares[a:b].sum()) ** predicted) * (b - a)
    return total


@pytest.mark.parametrize("predicted", [1.0, 6.0])
@pytest.mark.parametrize("clusters", [1, 2, 3])
def test_no_limits_cost_less(clusters, predicted):
    shares = 1 / np.arange(1, 21) ** 1.3
    found = limits(shares, clusters, predicted)
    assert len(found) == clusters + 1 and found[-1] == 20 and list(found) == sorted(set(found))
    best = min(
        ((*choice, 20) for choice in itertools.combinations(range(1, 20), clusters)),
        key=lambda one: cost(shares, one, predicted),
    )
    assert cost(shares, found, predicted) == pytest.approx(cost(shares, best, predicted))


def test_the_cost_is_that_of_words_drawn_from_the_shares():
    """Scored classes a centre, counted in drawn text."""
    shares, predicted = 1 / np.arange(1, 5001), 4
    found = limits(shares, 2, float(predicted))
    drawn = np.random.default_rng(0).choice(5000, (20000, predicted), p=shares / shares.sum())
    counted = found[0]
    for a, b in itertools.pairwise(found):
        counted += np.mean(np.any((drawn >= a) & (drawn < b), axis=1)) * (b - a)
    assert counted == pytest.approx(cost(shares, found, predicted), rel=0.02)
    assert counted < 0.5 * 5000
    assert shares[: found[0]].sum() > 0.5 * shares.sum()


def test_few_words_make_few_clusters():
    assert limits(np.array([3.0, 2.0]), 3, 1.0) == (1, 2)
    assert limits(np.array([3.0, 2.0, 1.0]), 2, 1.0) == (1, 2, 3)
