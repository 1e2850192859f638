"""Sentence-BERT: one encoder for every text, and a vector of fixed length for each.

Reimers and Gurevych (2019), "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", section 3: texts go
through the same BERT, the states of a text's tokens are pooled, and what is trained compares the vectors of two texts.

    u = steps(pool(h_1 .. h_n)),   h = BERT(text)

The encoder may be any model of this package that gives states of tokens; the steps are linear maps with a function, and
scaling to length 1. The Universal Sentence Encoder's Transformer (Cer et al. 2018) is one of them: states summed and
divided by sqrt(n), then tanh layers. Rows hold several texts each.

Shapes: B rows, T positions, S texts of a row, D width of a state, E width of a text's vector.
"""
import dataclasses
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.inputs.sequences import Tokens
from embeddings.models import averaging, bert, elmo_words, gpt
from embeddings.models.dropout import Keys
from embeddings.models.linear import glorot
from embeddings.models.pooling import NORMALIZE, after_pooling, pooled

Params = Any
"""{"model": the encoder's, "steps": [kernel and bias of each linear map, () of scaling]}."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A linear map of a pooled vector and a function of it; or, with no width, scaling to length 1."""

    width: int = 0
    """E."""
    activation: str = NORMALIZE
    """Of models.pooling.ACTIVATIONS, or NORMALIZE."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines a model."""

    encoder: Any
    """Configuration of the model that gives states: bert's, gpt's, averaging's or elmo_words'."""
    pooling: tuple[str, ...] = ("mean",)
    """Of models.pooling.POOLINGS; the vectors of several stand side by side."""
    steps: tuple[Step, ...] = ()
    """What is done with the pooled vector, in this order."""

    @property
    def width(self) -> int:
        """E."""
        widths = [step.width for step in self.steps if step.width]
        return widths[-1] if widths else len(self.pooling) * self.encoder.stack.width


def module(encoder: Any) -> ModuleType:
    """The page of an encoder's configuration."""
    return {page.Config: page for page in (bert, gpt, averaging, elmo_words)}[type(encoder)]


def init(key: PRNGKeyArray, config: Config) -> Params:
    """The encoder as it begins, linear maps by Glorot and Bengio (2010), biases 0."""
    first, *keys = jax.random.split(key, 1 + len(config.steps))
    width, steps = len(config.pooling) * config.encoder.stack.width, []
    for step, key in zip(config.steps, keys, strict=True):
        if not step.width:
            steps.append(())
            continue
        steps.append((glorot(key, width, step.width), jnp.zeros(step.width)))
        width = step.width
    return {"model": module(config.encoder).init(first, config.encoder), "steps": steps}


def apply(
    params: Params,
    config: Config,
    tokens: Tokens,
    counted: Int[Array, "B T"],
    texts: int,
    *,
    frozen: int = 0,
    key: PRNGKeyArray | Keys | None = None,
) -> Float[Array, "B {texts} E"]:
    """The vector of each text of each row, zeros where there is none.

    Args:
        params: as `init` makes them.
        config: of the model.
        tokens: rows of texts.
        counted: the number of the text that a token counts for, from 1; 0 where it does not count.
        texts: of a row at most, S.
        frozen: layers of the encoder, from below, that no gradient flows into.
        key: of dropout, or one for each row; None drops nothing.
    """
    page = module(config.encoder)
    hidden = page.apply(params["model"], config.encoder, tokens, frozen=frozen, key=key).hidden
    counted, places = pooled_by(config.encoder, tokens, counted)
    each = [pooled(how, hidden, counted, places, texts) for how in config.pooling]
    steps = tuple((step.activation, number) for number, step in enumerate(config.steps))
    return after_pooling(jnp.concatenate(each, axis=-1), steps, params["steps"])


def pooled_by(
    encoder: Any, tokens: Tokens, counted: Int[Array, "B T"]
) -> tuple[Int[Array, "B T"], Int[Array, "B T"]]:
    """What of the tokens counts for which text, and its place there: ELMo's beginnings and ends are no words of one."""
    if not isinstance(encoder, elmo_words.Config):
        return counted, tokens.positions
    return jnp.where(elmo_words.inside(tokens), counted, 0), tokens.positions - 1
