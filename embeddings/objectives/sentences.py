"""Losses over the vectors of texts. With u, v, w the vectors of an example's texts and y its label:

    softmax       - log softmax(W [u; v; |u - v|])[y]                Reimers and Gurevych 2019, sections 3 and 6; of
                                                                     single texts log softmax(W u)[y]
    regression    (w [u; v; |u - v|] - y)^2                          the same with a number
    cosine        (cos(u, v) - y)^2                                  the same
    triplet       max(0, ||u - v|| - ||u - w|| + margin)             the same
    contrastive   y d^2 / 2 + (1 - y) max(0, margin - d)^2 / 2       Hadsell, Chopra, LeCun 2006; d = 1 - cos(u, v)
    in-batch      - log softmax_j(cos(u_i, v_j) / t)[i]              van den Oord et al. 2018; Henderson et al. 2017

The last one takes all other examples of the batch for wrong answers, and hard ones where an example brings some; with
`symmetric` the mean of both directions. SimCSE (Gao, Yao, Chen 2021) is the last one with v the same text under other
dropout. Matryoshka (Kusupati et al. 2022) is any loss summed over the first numbers of the vectors.

A loss is a dataclass with `init` for its own parameters and `loss`, which gives {name: (sum, weight)} over examples.

Shapes: N examples, C texts of an example, E width of a vector, Y classes.
"""
import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, PRNGKeyArray

from embeddings.inputs.sentences import Labels
from embeddings.models import linear
from embeddings.models.pooling import unit
from embeddings.objectives.similarities import Texts, log_sums

Sums = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]
"""Each quantity as (sum, weight): sums add up over steps; means do not."""
Params = Any
TINY = 1e-12
SUM = "u+v"
"""What the two orders of a pair are told by."""


@runtime_checkable
class Loss(Protocol):
    """What a training step asks of a loss."""

    def init(self, key: PRNGKeyArray, width: int) -> Params:
        """Its own parameters, for vectors of a width."""

    def loss(self, params: Params, vectors: Float[Array, "N C E"], labels: Labels) -> Sums:
        """Sums over the examples of a batch."""


class Bare:
    """A loss without parameters."""

    def init(self, key: PRNGKeyArray, width: int) -> Params:
        """None."""
        return {}


def length(vectors: Float[Array, "N E"]) -> Float[Array, "N"]:
    """Euclidean; its gradient at 0 is 0."""
    return jnp.sqrt(jnp.maximum(jnp.sum(vectors**2, axis=-1), TINY))


def weighted(each: Float[Array, "N"], labels: Labels, **more: Float[Array, "N"]) -> Sums:
    """What each example gives, times its weight, added up."""
    total = jnp.sum(labels.weight)
    return {name: (jnp.sum(labels.weight * values), total) for name, values in {"loss": each, **more}.items()}


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear map of what is made of one or two vectors (table 6 of the paper)."""

    outputs: int
    """Y."""
    parts: tuple[str, ...] = ("u", "v", "|u-v|")
    """Of u, v, |u-v|, u*v and u+v: what stands side by side; u alone is for single texts. Of the two orders of a pair
    u+v alone is taken (Radford et al. 2018, section 3.3)."""

    @property
    def texts(self) -> int:
        """Texts of an example."""
        return 1 if set(self.parts) == {"u"} else 2

    def init(self, key: PRNGKeyArray, width: int) -> Params:
        """W, and a bias of 0."""
        return linear.init(key, len(self.parts) * width, self.outputs)

    def apply(self, params: Params, vectors: Float[Array, "N C E"]) -> Float[Array, "N Y"]:
        """What comes out."""
        u, v = vectors[:, 0], vectors[:, self.texts - 1]
        made = {"u": u, "v": v, "|u-v|": jnp.abs(u - v), "u*v": u * v, SUM: u + v}
        return linear.apply(params, jnp.concatenate([made[part] for part in self.parts], axis=-1))


@dataclasses.dataclass(frozen=True)
class Softmax(Linear):
    """Classification of a text, or of a pair, by its vectors."""

    def loss(self, params: Params, vectors: Float[Array, "N C E"], labels: Labels) -> Sums:
        """Cross-entropy, and how often the likeliest class was right."""
        s, y = self.apply(params, vectors), labels.label.astype(jnp.int32)
        of_label = jnp.take_along_axis(s, y[:, None], axis=1)[:, 0]
        right = (jnp.argmax(s, axis=1) == y).astype(s.dtype)
        return weighted(jax.nn.logsumexp(s, axis=1) - of_label, labels, accuracy=right)


@dataclasses.dataclass(frozen=True)
class Regression(Linear):
    """A number of a text, or of a pair, by its vectors."""

    outputs: int = 1

    def loss(self, params: Params, vectors: Float[Array, "N C E"], labels: Labels) -> Sums:
        """Squared error."""
        return weighted((self.apply(params, vectors)[:, 0] - labels.label) ** 2, labels)


@dataclasses.dataclass(frozen=True)
class Cosine(Bare):
    """Regression of the cosine; labels from -1 to 1."""

    def loss(self, params: Params, vectors: Float[Array, "N C E"], labels: Labels) -> Sums:
        """Squared error."""
        cosine = jnp.sum(unit(vectors[:, 0]) * unit(vectors[:, 1]), axis=-1)
        return weighted((cosine - labels.label) ** 2, labels)


@dataclasses.dataclass(frozen=True)
class Triplet(Bare):
    """The first text is to be nearer to the second than to the third, by a margin."""

    margin: float = 1.0
    """Of Euclidean distance."""

    def loss(self, params: Params, vectors: Float[Array, "N C E"], labels: Labels) -> Sums:
        """What is missing of the margin, and how often nothing is."""
        near, far = (length(vectors[:, 0] - vectors[:, n]) for n in (1, 2))
        return weighted(jax.nn.relu(near - far + self.margin), labels, accuracy=(near < far).astype(near.dtype))


@dataclasses.dataclass(frozen=True)
class Contrastive(Bare):
    """Pairs that belong together (label 1) are drawn together, others (0) pushed apart up to a margin."""

    margin: float = 0.5
    """Of cosine distance, 1 - cos."""

    def loss(self, params: Params, vectors: Float[Array, "N C E"], labels: Labels) -> Sums:
        """Half the squares."""
        d, y = 1 - jnp.sum(unit(vectors[:, 0]) * unit(vectors[:, 1]), axis=-1), labels.label
        return weighted(0.5 * (y * d**2 + (1 - y) * jax.nn.relu(self.margin - d) ** 2), labels)


@dataclasses.dataclass(frozen=True)
class InBatch:
    """Each example's second text is to be found among those of the whole batch; texts that are equal never compete."""

    temperature: float = 0.05
    """t."""
    learned: bool = False
    """Whether t is trained (as its logarithm), from there on."""
    symmetric: bool = False
    """Whether first texts are looked for among all first texts too."""
    sharding: NamedSharding | None = None
    """How examples are split over devices."""

    def init(self, key: PRNGKeyArray, width: int) -> Params:
        """log t, where it is trained."""
        return {"log_temperature": jnp.log(jnp.float32(self.temperature))} if self.learned else {}

    def loss(self, params: Params, vectors: Float[Array, "N C E"], labels: Labels) -> Sums:
        """Cross-entropy, and how often the right text had the largest cosine by far: the mean of its probability."""
        t = jnp.exp(params["log_temperature"]) if self.learned else self.temperature
        N, _, E = vectors.shape
        u = unit(vectors)
        a, b = u[:, 0] / t, jnp.moveaxis(u[:, 1:], 1, 0).reshape(-1, E)
        number = jnp.where(labels.weight[:, None] > 0, labels.texts, -1)
        texts = Texts(number[:, 0], jnp.moveaxis(number[:, 1:], 1, 0).reshape(-1))
        rows, columns = log_sums(a, b, texts, self.sharding)
        right = jnp.sum(a * b[:N], axis=-1)
        # An example that is left out has no sum.
        rows, columns = (jnp.where(labels.weight > 0, sums[:N], right) for sums in (rows, columns))
        each = rows - right
        if self.symmetric:
            each = 0.5 * (each + columns - right)
        return weighted(each, labels, probability=jnp.exp(right - rows))


@dataclasses.dataclass(frozen=True)
class Matryoshka:
    """A loss summed over the first numbers of the vectors, so that each beginning is a vector of its own."""

    inner: Any
    """The loss."""
    widths: tuple[int, ...]
    """How many numbers, each."""

    def init(self, key: PRNGKeyArray, width: int) -> Params:
        """The loss's own parameters for each width."""
        return {str(w): self.inner.init(jax.random.fold_in(key, w), w) for w in self.widths}

    def loss(self, params: Params, vectors: Float[Array, "N C E"], labels: Labels) -> Sums:
        """The sum over widths; other quantities are those of the largest."""
        each = [self.inner.loss(params[str(w)], vectors[..., :w], labels) for w in sorted(self.widths)]
        total = sum(sums["loss"][0] for sums in each)
        return each[-1] | {"loss": (total, each[-1]["loss"][1])}
