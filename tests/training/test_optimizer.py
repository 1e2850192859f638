"""Schedules against their formulas; optimizers against optax by name and against first steps that are known."""
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings import experiment
from embeddings.training import optimizer


def rates(steps=10, **settings):
    rate = optimizer.schedule(experiment.Optimizer(learning_rate=2.0, **settings), steps)
    return np.array([float(rate(jnp.int32(n))) for n in range(steps + 1)])


def test_linear_goes_from_the_peak_to_its_final_share():
    np.testing.assert_allclose(rates(schedule="linear", final_learning_rate=0.1), np.linspace(2, 0.2, 11), rtol=1e-5)


def test_cosine_is_half_a_wave():
    want = [2 * (0.1 + 0.9 * (1 + np.cos(np.pi * n / 10)) / 2) for n in range(11)]
    np.testing.assert_allclose(rates(schedule="cosine", final_learning_rate=0.1), want, rtol=1e-5)


def test_constant_stays():
    assert (rates(schedule="constant") == 2).all()


def test_warm_up_rises_to_the_peak():
    got = rates(schedule="linear", warmup=0.4, final_learning_rate=0.0)
    np.testing.assert_allclose(got, [0.5, 1, 1.5, 2, 2, 5 / 3, 4 / 3, 1, 2 / 3, 1 / 3, 0], rtol=1e-5, atol=1e-6)
    assert rates(schedule="constant", warmup=1.0)[0] == pytest.approx(0.2)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_of_no_or_one_step_has_a_rate(steps):
    assert np.isfinite(rates(steps=steps, warmup=0.5)).all()


FIRST = {
    "sgd": -0.1 * 4.0,
    "momentum": -0.1 * 4.0,
    "adam": -0.1,
    "adamw": -0.1 * (1 + 0.5 * 2.0),
    "adagrad": -0.1 * 4.0 / np.sqrt(0.1 + 16.0),
    "lamb": -0.1 * 2.0,
}


@pytest.mark.parametrize("name", FIRST)
def test_the_first_step_is_the_papers(name):
    """From parameter 2 with gradient 4, rate .1; weight decay .5 for adamw; LAMB's trust ratio is 2 / 1."""
    decay = 0.5 if name == "adamw" else 0.0
    config = experiment.Optimizer(name=name, learning_rate=0.1, schedule="constant", weight_decay=decay)
    optax_optimizer = optimizer.build(config, optimizer.schedule(config, 10))
    params = jnp.full((1,), 2.0)
    change, _ = optax_optimizer.update(jnp.full((1,), 4.0), optax_optimizer.init(params), params)
    np.testing.assert_allclose(change, [FIRST[name]], rtol=1e-4)


def test_adafactor_descends():
    config = experiment.Optimizer(name="adafactor", learning_rate=0.1, schedule="constant")
    made = optimizer.build(config, optimizer.schedule(config, 10))
    params = jnp.ones((130, 140))
    change, _ = made.update(params, made.init(params), params)
    assert (change < 0).all()


def test_clipping_is_to_the_global_norm():
    config = experiment.Optimizer(name="sgd", learning_rate=1.0, schedule="constant", clip=0.5)
    made = optimizer.build(config, optimizer.schedule(config, 10))
    gradient = [jnp.array([3.0]), jnp.array([4.0])]
    change, _ = made.update(gradient, made.init(gradient), gradient)
    np.testing.assert_allclose([c[0] for c in change], [-0.3, -0.4], rtol=1e-6)


@pytest.mark.parametrize("name", ["lamb", "adafactor"])
def test_stacked_layers_are_moved_as_if_each_stood_alone(name):
    config = experiment.Optimizer(name=name, learning_rate=0.1, schedule="constant", weight_decay=0.1)
    made = optimizer.build(config, optimizer.schedule(config, 10))
    draw = np.random.default_rng(0)
    kernel, gradient = (jnp.asarray(draw.normal(size=(3, 130, 140)) * [[[1]], [[5]], [[0.1]]]) for _ in range(2))

    def changes(params, gradient):
        return made.update(gradient, made.init(params), params)[0]

    stacked = changes({"layers": {"kernel": kernel}}, {"layers": {"kernel": gradient}})["layers"]["kernel"]
    for layer in range(3):
        alone = changes({"kernel": kernel[layer]}, {"kernel": gradient[layer]})["kernel"]
        np.testing.assert_allclose(stacked[layer], alone, rtol=1e-5, atol=1e-7)


def test_neither_biases_nor_the_scales_of_norms_decay():
    config = experiment.Optimizer(name="adamw", learning_rate=1.0, schedule="constant", weight_decay=0.5)
    made = optimizer.build(config, optimizer.schedule(config, 10))
    params = {"kernel": jnp.ones(1), "bias": jnp.ones(1), "norm": {"scale": jnp.ones(1)}}
    change, _ = made.update(jax.tree.map(jnp.zeros_like, params), made.init(params), params)
    assert jax.tree.map(lambda x: float(x[0]), change) == {"kernel": -0.5, "bias": 0.0, "norm": {"scale": 0.0}}


@pytest.mark.parametrize(("tune", "trained"), [
    ({}, {"words": 1, "layers": [1, 1, 1], "scale": [1, 1, 1], "head": 1}),
    ({"layers": 1}, {"words": 0, "layers": [0, 0, 1], "scale": [0, 0, 1], "head": 1}),
    ({"layers": 0}, {"words": 0, "layers": [0, 0, 0], "scale": [0, 0, 0], "head": 1}),
    ({"only": "norms"}, {"words": 0, "layers": [0, 0, 0], "scale": [1, 1, 1], "head": 1}),
    ({"only": "embeddings"}, {"words": 1, "layers": [0, 0, 0], "scale": [0, 0, 0], "head": 1}),
    ({"elmo_layer": 1}, {"words": 1, "layers": [1, 1, 1], "scale": [1, 1, 1], "head": 1}),
    ({"layers": 0, "elmo_layer": 0}, {"words": 0, "layers": [0, 0, 0], "scale": [0, 0, 0], "head": 1}),
    ({"decay": 0.5}, {"words": 0.125, "layers": [0.25, 0.5, 1], "scale": [0.25, 0.5, 1], "head": 1}),
])
@pytest.mark.parametrize("stacked", [True, False])
def test_what_is_tuned_moves_and_what_is_not_stays(tune, trained, stacked):
    sgd = experiment.Optimizer(name="sgd", learning_rate=1.0, schedule="constant")
    encoder = types.SimpleNamespace(stack=types.SimpleNamespace(layers=3))
    made = optimizer.tuned(optimizer.build(sgd, optimizer.schedule(sgd, 1)), experiment.Tune(**tune), encoder)
    layer = {"output": {"kernel": jnp.ones(2)}, "norm": {"scale": jnp.ones(2)}}
    layers = jax.tree.map(lambda x: jnp.stack([x] * 3), layer) if stacked else (layer,) * 3
    inside = {"words": jnp.ones(2), "mix": {"weights": jnp.ones(2)}, "transformer": {"layers": layers}}
    params = {"model": {"model": inside}, "objective": jnp.ones(2)}
    change, _ = made.update(params, made.init(params), params)
    inner = change["model"]["model"]

    def moved(*names):
        found = [inner["transformer"]["layers"]] if stacked else inner["transformer"]["layers"]
        for name in names:
            found = [one[name] for one in found]
        return (-np.concatenate([np.atleast_2d(one) for one in found])[:, 0]).tolist()

    found = {"words": -float(inner["words"][0]), "layers": moved("output", "kernel"), "scale": moved("norm", "scale"),
             "head": -float(change["objective"][0])}
    assert found == trained
    mixed = "elmo_layer" not in tune
    assert inner["mix"]["weights"].tolist() == [-mixed, -mixed]  # the task's own, whatever else is tuned
