"""Losses over the words of running text.

A model gives each predicted place a state; with s = logits(state) over all V words and y the word that stood there,

    J = - sum_p log softmax(s_p)[y_p]     masked words (Devlin et al. 2019), or each next word (Radford et al. 2019)

Logits are made some places at a time and made again on the way back: at once they would be the largest arrays by far.

Shapes: B rows, T positions, P predictions of a row, D width, V vocabulary.
"""
import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.inputs.sequences import Batch
from embeddings.models.dropout import Keys

Sums = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]
"""Each quantity as (sum, weight): sums add up over chunks, devices and steps; means do not."""
AT_ONCE = 16
"""Predictions of a row whose logits are there at the same time."""


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """Prediction of words by their contexts: by both sides where they are masked, by what is before where a model is
    causal."""

    module: ModuleType
    """models.bert or models.gpt: apply and logits."""
    config: Any

    def init(self, key: PRNGKeyArray) -> Any:
        """No parameters beside the model's."""
        return {}

    def loss(self, params: Any, batch: Batch, keys: Keys | None = None) -> Sums:
        """J and how often the likeliest word was right, over the predictions of the batch."""
        hidden = self.module.apply(params["model"], self.config, batch.tokens, key=keys).hidden
        states = jnp.take_along_axis(hidden, batch.places[:, :, None], axis=1)

        def logits(states: Float[Array, "N D"]) -> Float[Array, "N V"]:
            return self.module.logits(params["model"], self.config, states)

        loss, right = cross_entropy(states, batch.targets, batch.weights, logits)
        number = jnp.sum(batch.weights)
        return {"loss": (loss, number), "accuracy": (right, number)}


def cross_entropy(
    states: Float[Array, "B P D"],
    targets: Int[Array, "B P"],
    weights: Float[Array, "B P"],
    logits: Callable[[Array], Array],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """J, and the weight of the predictions that were right."""
    B, P, D = states.shape
    padding = -P % min(P, AT_ONCE)

    def split(array: Array) -> Array:
        """`[blocks, B, some, ...]`: blocks of places; rows stay as they are split over devices."""
        array = jnp.pad(array, ((0, 0), (0, padding), *((0, 0),) * (array.ndim - 2)))
        return jnp.moveaxis(array.reshape(B, -1, min(P, AT_ONCE), *array.shape[2:]), 1, 0)

    @jax.checkpoint
    def block(sums: tuple[Array, Array], some: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
        states, targets, weights = some
        s = logits(states.reshape(-1, D)).reshape(*targets.shape, -1)
        of_target = jnp.take_along_axis(s, targets[..., None], axis=-1)[..., 0]
        loss = jnp.sum(weights * (jax.nn.logsumexp(s, axis=-1) - of_target))
        right = jnp.sum(weights * (of_target >= jnp.max(s, axis=-1)))
        return (sums[0] + loss, sums[1] + right), None

    zero = jnp.zeros(())
    return jax.lax.scan(block, (zero, zero), (split(states), split(targets), split(weights)))[0]
