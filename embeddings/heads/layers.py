"""What layers are worth: their states pooled, a model that ends early or leaves one out, and a mix of all.

    pooled     the vector of a text from the states after l layers, l = 0 for what goes into the first
    without    the whole model less one layer, whose input is its output
    mix        gamma-less scalar mix (Peters et al. 2018, eq. 1): sum_l softmax(w)_l v_l of the pooled vectors v_l, w
               learned by Adam on a task's loss

Pooling by mean, cls or last token is linear, so that mixing pooled vectors is mixing states.

Shapes: L layers, n texts, D width, m items, k texts of an item.
"""
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from embeddings.contextual.model import Contextual
from embeddings.heads.measures import Loss, Measure, encoded, halves


def dropped(model: Contextual, gone: Sequence[int]) -> Contextual:
    """The model without some of its layers."""
    stack = model.config.stack
    left = [layer for layer in range(stack.layers) if layer not in gone]
    layers = model.params["transformer"]["layers"]
    layers = (tuple(layers[n] for n in left) if isinstance(layers, tuple)
              else jax.tree.map(lambda leaf: np.asarray(leaf)[left], layers))
    stack = dataclasses.replace(stack, layers=len(left), kept=tuple(stack.kept[n] for n in left) if stack.kept else ())
    if stack.kept and stack.equal and isinstance(layers, tuple):
        layers = jax.tree.map(lambda *leaves: np.stack(leaves), *layers)
    params = {**model.params, "transformer": {**model.params["transformer"], "layers": layers}}
    return dataclasses.replace(model, config=dataclasses.replace(model.config, stack=stack), params=params)


def states(model: Contextual, measure: Measure, report: Callable[[float], None]) -> Float[np.ndarray, "L1 n D"]:
    """The pooled vectors of each layer's states."""
    L, found = model.config.stack.layers, []
    for layer in range(L + 1):
        found.append(encoded(model, measure, layer=layer, normalize=False))
        report((layer + 1) / (L + 1))
    return np.stack(found)


def mixed(
    vectors: Float[np.ndarray, "L1 n D"],
    loss: Loss,
    items: Int[np.ndarray, "some"],
    steps: int = 200,
    rate: float = 0.05,
) -> Float[np.ndarray, "L1"]:
    """The weights softmax(w) after training on some items, all of them each step."""
    optimizer = optax.adam(rate)
    rows = loss.of(items)
    v, targets = jnp.asarray(vectors[:, loss.members[rows]]), jnp.asarray(loss.targets[rows])

    def total(w: Float[Array, "L1"]) -> Float[Array, ""]:
        return jnp.mean(jax.vmap(loss.of_item)(jnp.einsum("l,lmkd->mkd", jax.nn.softmax(w), v), targets))

    def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], None]:
        w, state = carry
        updates, state = optimizer.update(jax.grad(total)(w), state)
        return (optax.apply_updates(w, updates), state), None

    start = jnp.zeros(len(vectors))
    (w, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), None, length=steps)
    return np.asarray(jax.nn.softmax(w))


@dataclasses.dataclass(frozen=True)
class Layers:
    """Scores of a task."""

    score: float
    """Of the whole model."""
    pooled: tuple[float, ...]
    """By the states after 0 .. L layers."""
    without: tuple[float, ...]
    """Without each layer."""
    weights: tuple[float, ...]
    """Of the mix, learned on the items 0, 2, 4, ...; none where the task is not one of vectors."""
    half: tuple[float, ...]
    """Scores on the items 1, 3, 5, ... of the last layer's pooled states, and of the mix; none as above."""


def measured(model: Contextual, measure: Measure, report: Callable[[str, float], None]) -> Layers:
    """All of it."""
    vectors = states(model, measure, lambda share: report("pooling layers", share))
    items = [measure.items(one) for one in vectors]
    L, without = model.config.stack.layers, []
    for layer in range(L):
        without.append(measure.score(measure.items(encoded(dropped(model, [layer]), measure))))
        report("dropping layers", (layer + 1) / L)
    whole = measure.score(measure.items(encoded(model, measure)))
    found = Layers(whole, tuple(map(measure.score, items)), tuple(without), (), ())
    if not measure.mixes:
        return found
    learned_on, others = halves(len(items[0]))
    weights = mixed(vectors, measure.loss(vectors[-1]), learned_on)
    mix = measure.items(np.einsum("l,lnd->nd", weights, vectors))
    half = tuple(measure.score(some, others) for some in (items[-1], mix))
    return dataclasses.replace(found, weights=tuple(map(float, weights)), half=half)
