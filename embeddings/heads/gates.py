"""Gates that learn which heads to close (Voita, Talbot, Moiseev, Sennrich, Titov 2019, "Analyzing Multi-Head
Self-Attention", section 5), by the hard concrete distribution of Louizos, Welling, Kingma (2018).

A gate of each head multiplies what it adds. With u uniform in (0, 1),

    s = sigmoid((ln u - ln(1 - u) + ln alpha) / beta),   g = min(1, max(0, s (zeta - gamma) + gamma))
    P(g > 0) = sigmoid(ln alpha - beta ln(-gamma / zeta))
    loss = task loss + lambda sum over heads of P(g > 0)                                  (eq. 7)

with beta = 2/3, gamma = -0.1, zeta = 1.1. Here the weights stay as they are and ln alpha alone is learned, by Adam. In
use a gate is min(1, max(0, sigmoid(ln alpha) (zeta - gamma) + gamma)); heads whose gate is 0 can go.

Shapes: L layers, H heads, m items, k texts of an item, b items of a batch.
"""
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.contextual.model import Contextual
from embeddings.heads.measures import Measure
from embeddings.inputs.sequences import Tokens
from embeddings.problems import Problem

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
START = 2.0
"""ln alpha at the start: gates are nearly always open."""


def drawn(key: PRNGKeyArray, log_alpha: Float[Array, "L H"]) -> Float[Array, "L H"]:
    """g."""
    u = jax.random.uniform(key, log_alpha.shape, minval=1e-6, maxval=1 - 1e-6)
    s = jax.nn.sigmoid((jnp.log(u) - jnp.log1p(-u) + log_alpha) / BETA)
    return jnp.clip(s * (ZETA - GAMMA) + GAMMA, 0, 1)


def open_probability(log_alpha: Float[Array, "L H"]) -> Float[Array, "L H"]:
    """P(g > 0)."""
    return jax.nn.sigmoid(log_alpha - BETA * jnp.log(-GAMMA / ZETA))


def settled(log_alpha: Float[Array | np.ndarray, "L H"]) -> Float[np.ndarray, "L H"]:
    """Gates in use."""
    return np.asarray(jnp.clip(jax.nn.sigmoid(log_alpha) * (ZETA - GAMMA) + GAMMA, 0, 1))


@dataclasses.dataclass(frozen=True)
class Training:
    """How gates are learned."""

    penalty: float = 0.003
    """lambda: what an open head costs, beside a task's loss that is a mean over items."""
    steps: int = 300
    batch: int = 32
    """Items a step."""
    rate: float = 0.1
    seed: int = 0


def learned(
    model: Contextual,
    measure: Measure,
    vectors: Float[np.ndarray, "n E"],
    items: Int[np.ndarray, "some"],
    how: Training,
    report: Callable[[float], None],
) -> Float[np.ndarray, "L H"]:
    """ln alpha after training on some items of a task; `vectors` are those of its texts by the model as it is.

    Raises Problem for a model that has lost heads already.
    """
    stack = model.config.stack
    if stack.kept:
        raise Problem("this model has lost heads already: learn the gates of the whole one")
    loss, optimizer = measure.loss(vectors), optax.adam(how.rate)
    read = model.read(measure.texts)
    T = next(tier for tier in model.packer().tiers if tier >= np.diff(read.starts).max())
    log_alpha = jnp.full((stack.layers, stack.heads), START)
    state = optimizer.init(log_alpha)
    random, key = np.random.default_rng(how.seed), jax.random.key(how.seed)
    chosen = loss.of(items)

    @jax.jit
    def step(log_alpha: Array, state: Any, params: Any, tokens: Tokens, targets: Array, key: Array) -> tuple:
        gradient = jax.grad(functools.partial(_loss, model, loss.of_item, how.penalty))(
            log_alpha, params, tokens, targets, key)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(log_alpha, updates), state

    for number in range(how.steps):
        some = random.choice(chosen, how.batch)
        tokens = rows(read, loss.members[some].ravel(), T)
        log_alpha, state = step(log_alpha, state, model.placed, tokens, loss.targets[some],
                                jax.random.fold_in(key, number))
        report((number + 1) / how.steps)
    return np.asarray(log_alpha)


def rows(read: Any, texts: Int[np.ndarray, "B"], T: int) -> Tokens:
    """Texts as rows of their own."""
    out = np.zeros((4, len(texts), T), np.int32)
    for row, text in enumerate(texts):
        a, b = read.starts[text], read.starts[text + 1]
        out[:, row, : b - a] = read.ids[a:b], np.ones(b - a), np.arange(b - a), read.types[a:b]
    return Tokens(*out)


def _loss(
    model: Contextual, of_item: Callable, penalty: float, log_alpha: Array, params: Any, tokens: Tokens, targets: Array,
    key: Array,
) -> Float[Array, ""]:
    program = model.program()
    shown = program.given(tokens, tokens.segments)
    hidden = model.module.apply(params[0], model.config, shown, head_mask=drawn(key, log_alpha)).hidden
    u = program.finished(params, hidden, tokens, tokens.segments, texts=1)[:, 0]
    task = jnp.mean(jax.vmap(of_item)(u.reshape(len(targets), -1, u.shape[-1]), targets))
    return task + penalty * jnp.sum(open_probability(log_alpha))
