import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.models.dropout import dropped, fold, hashed, kept, row_keys, scaled


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_what_it_says_and_the_mean_stays(rate):
    x = jnp.ones((4, 200, 200))
    y = np.asarray(dropped(x, rate, row_keys(jax.random.key(0), 4)))
    share = (y == 0).mean(axis=(1, 2))
    np.testing.assert_allclose(share, rate, atol=5 * (rate * (1 - rate) / 40000) ** 0.5)
    np.testing.assert_allclose(y[y > 0], 1 / (1 - rate), rtol=1e-4)
    np.testing.assert_allclose(y.mean(), 1, atol=0.05)


def test_rates_are_rounded_alike_where_they_drop_and_where_they_scale():
    keep = kept(jax.random.key(1), 2**-34, (1000,))
    assert keep.all() and (np.asarray(scaled(jnp.ones(1000), keep, 2**-34)) == 1).all()


def test_bits_look_random():
    """Every bit half of the time, rows and neighbours uncorrelated, bytes equally often: within 5 deviations."""
    n = 2**14
    bits = np.asarray(jax.vmap(lambda key: hashed(key, n))(row_keys(jax.random.key(3), 64)))
    each = (bits[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    assert abs(each.mean(axis=(0, 1)) - 0.5).max() < 5 * 0.5 / (64 * n) ** 0.5
    assert abs(each.mean(axis=1) - 0.5).max() < 5 * 0.5 / n**0.5
    x = (bits / 2**32 - 0.5) * 12**0.5
    between = x @ x.T / n - np.eye(64)
    assert abs(between - np.diag(np.diag(between))).max() < 5 / n**0.5
    for apart in (1, 2, 12, 64, 384):
        assert abs((x[:, :-apart] * x[:, apart:]).mean()) < 5 / (64 * n) ** 0.5
    for shift in (0, 8, 16, 24):
        counts = np.bincount(((bits >> shift) & 255).reshape(-1).astype(int), minlength=256)
        expected = 64 * n / 256
        assert abs(((counts - expected) ** 2 / expected).sum() - 255) < 5 * (2 * 255) ** 0.5
    assert len(np.unique(bits)) > 64 * n * (1 - 64 * n / 2**33) - 5 * (64 * n) ** 0.5


def test_nothing_is_dropped_without_a_key_or_a_rate():
    x = jnp.arange(6.0).reshape(2, 3)
    assert dropped(x, 0.5, None) is x
    assert dropped(x, 0.0, row_keys(jax.random.key(0), 2)) is x
    assert fold(None, 3) is None


def test_a_row_drops_the_same_whatever_stands_beside_it():
    keys = row_keys(jax.random.key(5), 6)
    x = jax.random.normal(jax.random.key(1), (6, 40))
    whole = dropped(x, 0.3, keys)
    np.testing.assert_array_equal(dropped(x[4:5], 0.3, keys[4:5]), whole[4:5])
    backwards = dropped(x[::-1], 0.3, keys[::-1])
    np.testing.assert_array_equal(backwards[::-1], whole)
    assert row_keys(keys, 6) is keys
    again = row_keys(jax.random.key(5), 2)
    np.testing.assert_array_equal(jax.random.key_data(again), jax.random.key_data(keys[:2]))


def test_rows_places_and_layers_draw_apart():
    keys, x = row_keys(jax.random.key(5), 2), jnp.ones((2, 500))
    draws = [dropped(x, 0.5, k) for k in (keys, fold(keys, 0), fold(keys, 1), fold(fold(keys, 1), 0))]
    drawn = [np.asarray(row) for one in draws for row in one]
    for n, one in enumerate(drawn):
        for other in drawn[:n]:
            assert 0.35 < (one == other).mean() < 0.65
