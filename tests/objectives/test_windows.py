"""Sums over a window against loops."""
import jax.numpy as jnp
import numpy as np

from embeddings.objectives.windows import around, by_offset, spread

K, B, W, D = 2, 4, 2, 5
R = B + 2 * W


def test_windows_are_sums_over_offsets():
    rng = np.random.default_rng(2)
    weight, rows, centres = (rng.normal(size=shape) for shape in [(K, B, 2 * W + 1), (K, R, D), (K, B, D)])
    near, far = np.zeros((K, B, D)), np.zeros((K, R, D))
    for i in range(B):
        for o in range(2 * W + 1):
            if o != W:
                near[:, i] += weight[:, i, o, None] * rows[:, i + o]
                far[:, i + o] += weight[:, i, o, None] * centres[:, i]
    single = [jnp.asarray(a, jnp.float32) for a in (weight, rows, centres)]
    np.testing.assert_allclose(around(single[0], single[1]), near, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spread(single[0], single[2]), far, rtol=1e-4, atol=1e-5)
    scores = rng.normal(size=(K, B, R)).astype(np.float32)
    want = [[scores[k, i, i : i + 2 * W + 1] for i in range(B)] for k in range(K)]
    assert (by_offset(jnp.asarray(scores)) == np.array(want)).all()
