"""Gradients of masks against finite differences of the loss."""
import jax
import numpy as np
from heads.conftest import UNEQUAL, texts, tiny

from embeddings.evaluation.sts import Pairs
from embeddings.heads import importance, measures


def pairs(number):
    some = texts(number + 1)
    return Pairs("toy", tuple(some[:-1]), tuple(some[1:]), np.random.default_rng(0).uniform(0, 5, number))


def test_gradients_are_finite_differences():
    model, measure = tiny("bert", UNEQUAL), measures.of_pairs(pairs(9))
    vectors = model.encode(measure.texts)
    loss = measure.loss(vectors)
    found = importance.gradients(model, measure.texts, vectors, loss)
    numbers = model.config.stack.numbers
    assert found.shape == (9, 3, max(numbers))

    every = jax.jit(jax.vmap(loss.of_item))

    def losses(layer, head, step):
        masks = [np.ones(number, np.float32) for number in numbers]
        masks[layer][head] += step
        u = model.encode(measure.texts, head_mask=tuple(masks))
        return np.asarray(every(u[loss.members], loss.targets), np.float64)

    for layer, head in ((0, 0), (1, 2)):
        slope = (losses(layer, head, 0.02) - losses(layer, head, -0.02)) / 0.04
        np.testing.assert_allclose(found[:, layer, head], slope, atol=1e-2 * np.abs(slope).max())
    assert np.isnan(found[:, 2, 1:]).all()


def test_importances_of_a_layer_have_norm_1():
    gradients = np.array([[[3.0, -1.0], [0.0, 0.0]], [[-3.0, 7.0], [0.0, 0.0]]], np.float32)
    np.testing.assert_allclose(importance.importance(gradients), [[0.6, 0.8], [0, 0]])
