"""Attention beside a loop over its definition."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_transformer import attention as plain

from embeddings.models import attention as module
from embeddings.models.attention import attention
from embeddings.models.dropout import kept, row_keys

B, T, S, H, K = 3, 5, 7, 2, 4
SEGMENTS = jnp.array([[1, 1, 2, 2, 0], [1, 1, 1, 1, 1], [2, 1, 2, 1, 2]])
KEY_SEGMENTS = jnp.array([[1, 1, 1, 2, 2, 0, 0], [1] * 7, [1, 2, 1, 2, 2, 1, 0]])
BIAS = jax.random.normal(jax.random.key(9), (H, T, T))


def drawn(keys: int, seed: int = 0):
    """q, k and v with so many keys."""
    draw = np.random.default_rng(seed)
    return [jnp.asarray(draw.normal(size=(B, size, H, K)), jnp.float32) for size in (T, keys, keys)]


def rows(q, k, v, segments, key_segments, **how):
    """The loop over each row of a batch."""
    arrays = (np.asarray(x, np.float64) for x in (q, k, v))
    found = [plain(*row, **how) for row in zip(*arrays, np.asarray(segments), np.asarray(key_segments), strict=True)]
    return [np.stack(part) for part in zip(*found, strict=True)]


@pytest.mark.parametrize("implementation", ["xla", "rows"])
@pytest.mark.parametrize("how", [{}, {"causal": True}, {"bias": BIAS}, {"bias": BIAS, "causal": True}], ids=str)
def test_it_is_the_definition(implementation, how):
    q, k, v = drawn(T)
    given = {name: np.asarray(value, np.float64) if name == "bias" else value for name, value in how.items()}
    z, a = rows(q, k, v, SEGMENTS, SEGMENTS, **given)
    got, none = attention(q, k, v, SEGMENTS, SEGMENTS, implementation=implementation, **how)
    np.testing.assert_allclose(got, z, atol=1e-6)
    assert none is None
    got, weights = attention(q, k, v, SEGMENTS, SEGMENTS, weights=True, implementation=implementation, **how)
    np.testing.assert_allclose(got, z, atol=1e-6)
    np.testing.assert_allclose(weights, a, atol=1e-6)
    np.testing.assert_allclose(np.asarray(weights).sum(-1), 1, atol=1e-6)
    assert (np.asarray(weights)[a == 0] == 0).all(), "what is not seen counts nothing at all"


@pytest.mark.parametrize("implementation", ["xla", "rows"])
def test_it_looks_at_a_memory_of_another_length(implementation):
    q, k, v = drawn(S)
    z, a = rows(q, k, v, SEGMENTS, KEY_SEGMENTS)
    got, _ = attention(q, k, v, SEGMENTS, KEY_SEGMENTS, implementation=implementation)
    np.testing.assert_allclose(got, z, atol=1e-6)
    np.testing.assert_allclose(attention(q, k, v, SEGMENTS, KEY_SEGMENTS, weights=True)[1], a, atol=1e-6)


def test_a_query_that_sees_no_key_gives_a_number():
    q, k, v = drawn(S)
    got, _ = attention(q, k, v, SEGMENTS, jnp.full((B, S), 9))
    assert np.isfinite(np.asarray(got)).all()


@pytest.mark.parametrize("implementation", ["xla", "rows"])
def test_scores_of_any_size_give_numbers(implementation):
    q, k, v = drawn(T)
    got, a = attention(300 * q, 300 * k, v, SEGMENTS, SEGMENTS, weights=True, implementation=implementation)
    assert np.isfinite(np.asarray(got)).all() and np.isfinite(np.asarray(a)).all()
    np.testing.assert_allclose(np.asarray(a).max(-1), 1, atol=0.5)


@pytest.mark.parametrize("implementation", ["xla", "rows"])
def test_dropped_weights_by_the_definition(implementation):
    """Each row's own key says what is dropped; what stays is scaled, and not normalised again."""
    q, k, v = drawn(T)
    keys, rate = row_keys(jax.random.key(3), B), 0.25
    _, a = rows(q, k, v, SEGMENTS, SEGMENTS)
    keep = np.stack([kept(key, rate, (H, T, T)) for key in keys])
    assert 0.6 < keep.mean() < 0.9
    a = np.where(keep, a / (1 - rate), 0)
    z = np.einsum("bhts,bshk->bthk", a, np.asarray(v, np.float64))
    got, _ = attention(q, k, v, SEGMENTS, SEGMENTS, dropout=(keys, rate), implementation=implementation)
    np.testing.assert_allclose(got, z, atol=1e-6)
    got, weights = attention(q, k, v, SEGMENTS, SEGMENTS, dropout=(keys, rate), weights=True)
    np.testing.assert_allclose(weights, a, atol=1e-6)
    np.testing.assert_allclose(got, z, atol=1e-6)
    alone, _ = attention(q[1:2], k[1:2], v[1:2], SEGMENTS[1:2], SEGMENTS[1:2], dropout=(keys[1:2], rate))
    np.testing.assert_allclose(alone[0], z[1], atol=1e-6)


@pytest.mark.parametrize("implementation", ["xla", "rows"])
def test_gradients_by_finite_differences_of_the_loop(implementation):
    q, k, v = drawn(T)
    draw = np.random.default_rng(1)
    towards = [draw.normal(size=x.shape) for x in (q, k, v, BIAS)]
    weight = draw.normal(size=q.shape)

    def loss(q, k, v, bias):
        z, _ = attention(q, k, v, SEGMENTS, SEGMENTS, bias=bias, causal=True, implementation=implementation)
        return jnp.sum(z * jnp.asarray(weight, jnp.float32))

    def slope(argument, step=1e-5):
        at = [np.asarray(x, np.float64) for x in (q, k, v, BIAS)]
        sides = []
        for sign in (1, -1):
            moved = [x + sign * step * towards[n] * (n == argument) for n, x in enumerate(at)]
            sides.append((rows(*moved[:3], SEGMENTS, SEGMENTS, bias=moved[3], causal=True)[0] * weight).sum())
        return (sides[0] - sides[1]) / (2 * step)

    gradients = jax.grad(loss, argnums=(0, 1, 2, 3))(q, k, v, BIAS)
    for argument, gradient in enumerate(gradients):
        assert (np.asarray(gradient) * towards[argument]).sum() == pytest.approx(slope(argument), abs=1e-4)


def test_products_in_bfloat16_are_close_and_say_so():
    q, k, v = drawn(T)
    exact, _ = attention(q, k, v, SEGMENTS, SEGMENTS)
    got, a = attention(*(x.astype(jnp.bfloat16) for x in (q, k, v)), SEGMENTS, SEGMENTS, weights=True)
    assert (got.dtype, a.dtype) == (jnp.bfloat16, jnp.float32)
    error = np.abs(np.asarray(got, np.float32) - np.asarray(exact)).max()
    assert 0 < error < 0.03


def test_what_is_hidden_is_hidden_for_good():
    seen = module.hidden(jnp.array([1, 1, 2]), jnp.array([1, 2, 2]), causal=True)
    np.testing.assert_array_equal(seen == 0, [[1, 0, 0], [1, 0, 0], [0, 1, 1]])
    assert np.exp(np.float32(module.HIDDEN)) == 0
