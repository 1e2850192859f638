"""Word vectors, and ELMo's words, as models of numbered words: what a head is trained on as on a Transformer's states.

The state of a word is its own vector, whatever stands around it, or what ELMo makes of it there; either is fixed or
trained with the head.
"""
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from embeddings.contextual import folder
from embeddings.contextual.elmo import Elmo, numbered
from embeddings.contextual.model import Contextual
from embeddings.models import averaging, elmo_words
from embeddings.tokenizers.characters import Characters
from embeddings.tokenizers.known_words import KnownWords
from embeddings.tokenizers.pieces import Pieces
from embeddings.tokenizers.settings import Settings
from embeddings.tokenizers.words import Words

SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>"}
"""Tokens that have no vector, zeros at the start: one stands for all unknown words, one begins a text."""
LONGEST = 4096
"""Words of a text that are read, at most."""


def model(words: Sequence[str], vectors: Float[np.ndarray, "V D"], cut: Words) -> Contextual:
    """The vectors of these words as a model of texts, cut as `cut` does."""
    kept = [row for row, word in enumerate(words) if word not in SPECIAL.values()]
    words, vectors = [words[row] for row in kept], vectors[kept]
    table = np.concatenate([np.zeros((len(SPECIAL), vectors.shape[1]), np.float32), vectors], dtype=np.float32)
    config = averaging.Config(len(table), vectors.shape[1], buckets=0, longest=LONGEST)
    unknown, begin = SPECIAL.values()
    engine = KnownWords((unknown, begin, *words), cut, begin, unknown=unknown)
    return folder.in_use("averaging", config, {"words": jnp.asarray(table)}, Pieces(engine, SPECIAL, Settings(Path())))


def of_elmo(model: Elmo, texts: Iterable[str], layer: int = -1) -> Contextual:
    """ELMo over the words of these texts, its layers mixed as they are; what goes on from it is of them alone.

    `layer` is the one that is read instead of the mixture, if any.
    """
    pieces, L1 = numbered(texts, model.tokenizer), model.config.layers + 1
    spelling = elmo_words.Spelling(Characters(model.config.characters.longest).ids(pieces.tokens))
    mix = model.mixture._asdict() if model.mixture else {"weights": jnp.zeros(L1), "scale": jnp.ones(())}
    mix = elmo_words.alone(layer, L1) if layer >= 0 else mix
    config = elmo_words.Config(model.config, spelling)
    return Contextual(elmo_words, "elmo", config, {**model.params, "mix": mix}, pieces, model.pipeline, model.devices)
