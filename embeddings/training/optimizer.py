"""Learning rates as functions of the step, and the optimizers of dense parameters, all from one part of the flags."""
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from embeddings import experiment

TASKS = frozenset({"mix"})
"""Parameters of an encoder that belong to the task and are trained whatever else stays: ELMo's mixture of layers,
unless one layer is read."""
SHAPES = {
    "linear": lambda done: 1 - done,
    "cosine": lambda done: 0.5 * (1 + jnp.cos(jnp.pi * done)),
    "constant": lambda done: jnp.ones_like(done),
}
"""How the learning rate falls from 1 to 0, or stays, by the share of the way that is done."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Schedule:
    """The learning rate at a step counted from 0.

    It rises linearly over the first `warm` steps (step 0 takes one part of it, not 0), then falls from the peak along
    its shape to a share `final` of it, reached at step `steps`.

    Its numbers, float32 `[]`, are handed to a compiled step and not built into it, so that a run of another length or
    rate takes the program that is there. (Any: JAX puts shapes and shardings in their places.)
    """

    shape: str = dataclasses.field(metadata={"static": True})
    """One of SHAPES."""
    peak: Any
    final: Any
    warm: Any
    steps: Any

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """The rate of one step."""
        step = jnp.asarray(step, jnp.float32)
        done = jnp.clip((step - self.warm) / jnp.maximum(self.steps - self.warm, 1), 0, 1)
        fall = self.final + (1 - self.final) * SHAPES[self.shape](done)
        return self.peak * jnp.where(step < self.warm, (step + 1) / jnp.maximum(self.warm, 1), fall)


def schedule(config: experiment.Optimizer, steps: int) -> Schedule:
    """The learning rate that the flags name, for a run of `steps` steps."""
    numbers = (config.learning_rate, config.final_learning_rate, config.warmup * steps, steps)
    return Schedule(config.schedule, *(np.asarray(number, np.float32) for number in numbers))


def build(config: experiment.Optimizer, rate: Schedule) -> optax.GradientTransformation:
    """The optax optimizer that the flags name, its gradient clipped to a global norm first where they say so.

    What a paper does tensor by tensor (LAMB's trust ratio, Adafactor's clipping) is done layer by layer where layers
    are stacked. Biases and the scales of norms do not decay.
    """
    moments = {"b1": config.momentum, "b2": config.second_moment}
    names = {
        "sgd": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, momentum=config.momentum),
        "adam": lambda: optax.adam(rate, eps=config.epsilon, **moments),
        "adamw": lambda: optax.adamw(
            rate, eps=config.epsilon, weight_decay=config.weight_decay, mask=_decays, **moments
        ),
        "adagrad": lambda: optax.adagrad(rate, initial_accumulator_value=config.accumulator),
        "adafactor": lambda: by_layer(optax.adafactor(rate)),
        "lamb": lambda: by_layer(optax.lamb(rate, weight_decay=config.weight_decay, mask=_decays, **moments)),
    }
    optimizer = names[config.name]()
    return optax.chain(optax.clip_by_global_norm(config.clip), optimizer) if config.clip > 0 else optimizer


def _decays(params: Any) -> Any:
    """Which leaves weight decay is for."""
    fixed = ("bias", "scale")
    return jax.tree_util.tree_map_with_path(lambda path, _: not path or _name(path[-1]) not in fixed, params)


def by_layer(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    """A transformation that sees each layer of stacked ones, `[L, ...]`, as tensors of their own."""

    def labels(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(lambda path, _: "stacked" if stacked(path) else "single", params)

    def init(params: Any) -> Any:
        return jax.vmap(transformation.init)(params) if jax.tree.leaves(params) else optax.EmptyState()

    def update(gradient: Any, state: Any, params: Any) -> tuple[Any, Any]:
        if not jax.tree.leaves(gradient):
            return gradient, state
        return jax.vmap(transformation.update)(gradient, state, params)

    each = optax.GradientTransformation(init, update)
    return optax.partition({"stacked": each, "single": transformation}, labels)


def stacked(path: tuple) -> bool:
    """Whether the leaf at a path is of layers that are stacked along its first axis."""
    places = [n for n, part in enumerate(path[:-1]) if _name(part) == "layers"]
    return bool(places) and not isinstance(path[places[0] + 1], jax.tree_util.SequenceKey)


def _name(part: Any) -> str:
    return jax.tree_util.keystr((part,), simple=True)


def tuned(
    transformation: optax.GradientTransformation, tune: experiment.Tune, encoder: Any
) -> optax.GradientTransformation:
    """A transformation for the parameters that `tune` says are trained, each layer at its rate; the others stay.

    Parameters are {"model": {"model": an encoder's, ...}, ...}; what stands beside the encoder is always trained, and
    so is what of it belongs to the task.
    """
    layers = encoder.stack.layers
    mixed = tune.elmo_layer < 0
    if tune.layers < 0 and tune.only == "all" and tune.decay == 1 and mixed:
        return transformation

    def beside(names: list[str]) -> bool:
        return names[:2] != ["model", "model"] or names[2] in TASKS

    def labels(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(lambda path, _: "trained" if is_trained(path) else "stays", params)

    def is_trained(path: tuple) -> bool:
        names = [_name(part) for part in path]
        if beside(names):
            return mixed or names[:2] != ["model", "model"]
        if tune.only == "norms":
            return "scale" in names or (names[-1] == "bias" and "norm" in names[-2])
        if tune.only == "embeddings":
            return "transformer" not in names
        return tune.layers < 0 or "transformer" in names  # of stacked layers, `slowed` lets the last ones move only

    def slowed(path: tuple, change: jax.Array) -> jax.Array:
        names = [_name(part) for part in path]
        if beside(names):
            return change
        depth = jnp.arange(layers)
        rate = tune.decay ** (layers - 1 - depth)
        if tune.only == "all" and tune.layers >= 0:
            rate = jnp.where(depth < layers - tune.layers, 0.0, rate)
        if stacked(path):
            return change * rate.reshape(-1, *(1,) * (change.ndim - 1))
        if "layers" in names:
            return change * rate[int(names[names.index("layers") + 1])]
        return change * (1.0 if names[-2:-1] == ["norm"] and "transformer" in names else tune.decay**layers)

    def slow(changes: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree_util.tree_map_with_path(slowed, changes), state

    whole = optax.chain(transformation, optax.GradientTransformation(lambda params: optax.EmptyState(), slow))
    return optax.partition({"trained": whole, "stays": optax.set_to_zero()}, labels)
