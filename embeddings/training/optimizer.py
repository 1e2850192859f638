"""Learning rates as functions of the step, and the optimizers of dense parameters, all from one part of the flags."""
from collections.abc import Callable

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from embeddings import experiment

Schedule = Callable[[Int[Array, ""] | int], Float[Array, ""]]


def schedule(config: experiment.Optimizer, steps: int) -> Schedule:
    """The learning rate at a step counted from 0, for a run of `steps` steps.

    It rises linearly over the first warmup * steps steps (step 0 takes one part of it, not 0), then falls from the peak
    along a line or half a cosine to final_learning_rate * learning_rate, reached at step `steps`; or stays.
    """
    shapes = {
        "linear": lambda done: 1 - done,
        "cosine": lambda done: 0.5 * (1 + jnp.cos(jnp.pi * done)),
        "constant": lambda done: jnp.ones_like(done),
    }
    shape, warm = shapes[config.schedule], config.warmup * steps

    def rate(step: Int[Array, ""] | int) -> Float[Array, ""]:
        step = jnp.asarray(step, jnp.float32)
        done = jnp.clip((step - warm) / max(steps - warm, 1), 0, 1)
        final = config.final_learning_rate
        fall = final + (1 - final) * shape(done)
        return config.learning_rate * jnp.where(step < warm, (step + 1) / max(warm, 1), fall)

    return rate


def build(config: experiment.Optimizer, rate: Schedule) -> optax.GradientTransformation:
    """The optax optimizer that the flags name, its gradient clipped to a global norm first where they say so."""
    moments = {"b1": config.momentum, "b2": config.second_moment}
    names = {
        "sgd": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, momentum=config.momentum),
        "adam": lambda: optax.adam(rate, **moments),
        "adamw": lambda: optax.adamw(rate, weight_decay=config.weight_decay, **moments),
        "adagrad": lambda: optax.adagrad(rate, initial_accumulator_value=config.accumulator),
        "adafactor": lambda: optax.adafactor(rate),
        "lamb": lambda: optax.lamb(rate, weight_decay=config.weight_decay, **moments),
    }
    optimizer = names[config.name]()
    return optax.chain(optax.clip_by_global_norm(config.clip), optimizer) if config.clip > 0 else optimizer
