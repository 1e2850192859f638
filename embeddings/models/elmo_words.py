"""ELMo below a head: words by number, each made of its characters, and the mixture of their layers.

Peters et al. (2018), section 3.3: a task gets each word as a mixture of the layers of a bidirectional language model
(eq. 1), whose weights and scale are the task's own and always trained; the language model (models/elmo.py) is fixed or
trained with them. What the task reads of it is dropped out as its inputs are.

    h_t = gamma sum_l s_l h_tl,   s = softmax(w)

To see what a layer holds (section 5.3), it is read alone: s is 1 for it and 0 for the others, gamma 1, and neither is
trained.

A row holds several texts, each with its beginning and end, which are words here but none of the text's own.

Shapes: B rows, T positions, C characters of a word, D width of one direction, V words, L1 layers, the words' own
vectors among them.
"""
import dataclasses
from collections.abc import Collection
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from embeddings.inputs.sequences import Tokens
from embeddings.models import character_cnn, elmo, transformer
from embeddings.models.dropout import Keys, dropped, fold, row_keys
from embeddings.models.transformer import Output

Params = Any
"""{"characters", "lstm": as elmo.Params, "mix": {"weights": w [L1], "scale": gamma}}."""
BEGIN, END = 0, 1
"""Numbers of the words that stand for the beginning and the end of a text."""
LONGEST = 1024
"""Words of a text that are read, its beginning and end among them."""
_OUT = -1e9
"""w of a layer that does not count, beside 0: the exponential is 0, exactly, and so is its gradient."""
_MIXED = 1
"""Where something is dropped that the language model's own dropout does not reach."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spelling:
    """The characters of words by number: no parameter, but a constant of what is compiled."""

    table: Int[np.ndarray, "V C"]
    """As tokenizers/characters.py spells them."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines a model, and the words that it is trained on."""

    elmo: elmo.Config
    """The language model."""
    spelling: Spelling | None = None
    """None where no words are known: such a model is only described."""
    longest: int = LONGEST
    """Words of a text that are read."""
    is_transformer: ClassVar[bool] = False
    """Whether it has attention, and the formats of Transformers."""

    @property
    def stack(self) -> transformer.Config:
        """A stack of no layers, for those who ask how wide states are."""
        width = 2 * self.elmo.width
        return transformer.Config(layers=0, width=width, heads=1, head_width=width)

    def retrained(self, dropout: float, dtype: Literal["float32", "bfloat16"]) -> "Config":
        """The configuration with what training sets."""
        return dataclasses.replace(self, elmo=dataclasses.replace(self.elmo, dropout=dropout, dtype=dtype))


def init(key: PRNGKeyArray, config: Config) -> Params:
    """A language model at random, its layers mixed in equal parts: w = 0, gamma = 1."""
    mix = {"weights": jnp.zeros(config.elmo.layers + 1), "scale": jnp.ones(())}
    return elmo.init(key, config.elmo) | {"mix": mix}


def alone(layer: int, layers: int) -> Params:
    """The mixture that is one of so many layers, L1."""
    return {"weights": jnp.where(jnp.arange(layers) == layer, 0.0, _OUT), "scale": jnp.ones(())}


def apply(
    params: Params,
    config: Config,
    batch: Tokens,
    *,
    head_mask: None = None,
    frozen: int = 0,
    key: PRNGKeyArray | Keys | None = None,
    outputs: Collection[str] = frozenset(),
) -> Output:
    """h of all words, `[B, T, 2 D]`, zeros for padding; there are no heads to mask, and what is fixed is so outside."""
    model, keys = config.elmo, None if key is None else row_keys(key, len(batch.ids))
    characters = jnp.asarray(config.spelling.table)[batch.ids]
    words = character_cnn.apply(params["characters"], model.characters, characters, model.dtype)
    made = elmo.contextual(params["lstm"], model, words, batch.segments, key=keys, outputs={elmo.STATES})
    return Output(dropped(elmo.mix(elmo.Mix(**params["mix"]), made.states), model.dropout, fold(keys, _MIXED)))


def inside(batch: Tokens) -> Bool[Array, "B T"]:
    """Whether a word is one of a text: neither its beginning nor its end."""
    return (batch.segments > 0) & (batch.ids != BEGIN) & (batch.ids != END)
