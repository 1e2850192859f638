import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from embeddings.objectives import similarities
from embeddings.objectives.similarities import Texts, log_sums


def problem(N, M, seed=0):
    draw = np.random.default_rng(seed)
    a, b = (jnp.asarray(draw.normal(size=(n, 6)), jnp.float32) for n in (N, M))
    first, second = draw.integers(0, 15, N), draw.integers(8, 30, M)
    first[-1] = second[0] = -1  # no texts
    return a, b, Texts(jnp.asarray(first), jnp.asarray(second))


def by_definition(a, b, texts):
    first, second = np.asarray(texts.first), np.asarray(texts.second)
    N, M = len(first), len(second)
    there = np.zeros((N, M), bool)
    for i in range(N):
        for j in range(M):
            strangers = second[i] != second[j] and first[i] != second[j] and (j >= N or first[i] != first[j])
            there[i, j] = (i == j or strangers) and first[i] >= 0 and second[j] >= 0
    s = jnp.where(there, a @ b.T, similarities.HIDDEN)
    return jax.nn.logsumexp(s, axis=1), jax.nn.logsumexp(s, axis=0), there


@pytest.mark.parametrize(("N", "M"), [
    (17, 51), (1, 1), *(pytest.param(n, n, marks=pytest.mark.slow) for n in (20, 5))])
def test_sums_and_gradients_are_those_of_the_whole_matrix(N, M, monkeypatch):
    monkeypatch.setattr(similarities, "BLOCK", 7)
    a, b, texts = problem(N, M)
    *want, there = by_definition(a, b, texts)
    found = log_sums(a, b, texts)
    some = there.any(axis=1), there.any(axis=0)
    for x, y, t in zip(found, want, some, strict=True):
        np.testing.assert_allclose(x[t], y[t], atol=1e-5)
    by = [jnp.asarray(np.random.default_rng(1).normal(size=len(t)) * t, jnp.float32) for t in some]

    def total(sums, a, b):
        return sum(jnp.sum(jnp.where(t, w * x, 0.0)) for w, x, t in zip(by, sums(a, b, texts)[:2], some, strict=True))

    for x, y in zip(*(jax.grad(total, (1, 2))(f, a, b) for f in (log_sums, by_definition)), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_blocks_split_over_devices_give_the_same():
    a, b, texts = problem(40, 40)
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("data", "fsdp"))
    sharding = NamedSharding(mesh, P(("data", "fsdp"), None))

    def total(a, b, sharding):
        r, c = log_sums(a, b, texts, sharding)
        return jnp.sum(r[:-1]) + jnp.sum(c[1:])

    want = jax.value_and_grad(total, (0, 1))(a, b, None)
    a, b = (jax.device_put(x, sharding) for x in (a, b))
    found = jax.jit(lambda a, b: jax.value_and_grad(total, (0, 1))(a, b, sharding))(a, b)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def test_memory_grows_with_the_number_of_vectors_not_with_its_square():
    def peak(N):
        shape = jax.ShapeDtypeStruct((N, 16), jnp.float32)
        number = jax.ShapeDtypeStruct((N,), jnp.int32)

        def total(a, b, n):
            r, c = log_sums(a, b, Texts(n, n + N))
            return jnp.sum(r) + jnp.sum(c)

        compiled = jax.jit(jax.grad(total, (0, 1))).lower(shape, shape, number).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert peak(8192) < 5 * peak(2048)
