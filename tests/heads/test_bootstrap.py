"""Weighted ranks against repeated items, and the procedures against SciPy's."""
import numpy as np
import pytest
import scipy.stats

from embeddings.heads import bootstrap

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 8, 40) / 4  # many equal
Y = RANDOM.normal(size=40)


def test_draws_hold_as_many_items_as_there_are():
    weights = bootstrap.draws(40, 7)
    assert weights.shape == (7, 40) and set(weights.sum(axis=1)) == {40}
    assert (bootstrap.draws(40, 7) == weights).all() and (bootstrap.draws(40, 7, seed=1) != weights).any()


def test_correlations_are_those_of_the_repeated_items():
    weights = bootstrap.draws(40, 20)
    expected = [scipy.stats.spearmanr(np.repeat(X, w), np.repeat(Y, w)).statistic for w in weights]
    np.testing.assert_allclose(bootstrap.correlations(X, Y, weights), expected, atol=1e-12)
    np.testing.assert_array_equal(bootstrap.correlations(np.ones(40), Y, weights), np.zeros(20))


def test_means_leave_out_what_is_not_known():
    values = np.array([1.0, np.nan, 3.0])
    np.testing.assert_allclose(bootstrap.means(values, np.array([[1, 1, 1], [2, 1, 0], [0, 3, 0]])), [2, 1, 0])


def test_a_difference_has_the_quantiles_of_its_draws():
    base, other = RANDOM.normal(0.5, 0.1, 1000), RANDOM.normal(0.6, 0.1, 1000)
    found = bootstrap.difference(0.1, base, other)
    assert (found.low, found.high) == tuple(np.quantile(other - base, (0.025, 0.975)))
    z = 0.1 / np.std(other - base, ddof=1)
    assert found.p == pytest.approx(2 * (1 - scipy.stats.norm.cdf(z)))
    assert bootstrap.difference(0.0, base, base).p == 1


def test_significance_is_benjamini_and_hochbergs():
    for seed in range(20):
        p = np.random.default_rng(seed).uniform(size=30) ** 3
        expected = scipy.stats.false_discovery_control(p) <= bootstrap.RATE
        np.testing.assert_array_equal(bootstrap.significant(p), expected)
    assert not bootstrap.significant(np.ones(3)).any() and bootstrap.significant(np.zeros(3)).all()
