"""Word vectors as a model whose states are the words' own vectors, whatever stands around them.

What is trained on a Transformer's states can be trained on these too, the vectors fixed or not.
"""
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from embeddings.contextual import folder
from embeddings.contextual.model import Contextual
from embeddings.models import averaging
from embeddings.tokenizers.pieces import Pieces
from embeddings.tokenizers.settings import Settings
from embeddings.tokenizers.tokenizer_json import Library
from embeddings.tokenizers.words import Words

SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>"}
"""Tokens that have no vector, zeros at the start: one stands for all unknown words, one begins a text."""
LONGEST = 4096
"""Words of a text that are read, at most."""
_BETWEEN = r"[^\p{L}\p{M}\p{N}]+"
"""What parts words, see tokenizers/words.py."""


def model(words: Sequence[str], vectors: Float[np.ndarray, "V D"], cut: Words) -> Contextual:
    """The vectors of these words as a model of texts, cut as `cut` does."""
    kept = [row for row, word in enumerate(words) if word not in SPECIAL.values()]
    words, vectors = [words[row] for row in kept], vectors[kept]
    table = np.concatenate([np.zeros((len(SPECIAL), vectors.shape[1]), np.float32), vectors], dtype=np.float32)
    config = averaging.Config(len(table), vectors.shape[1], buckets=0, longest=LONGEST)
    return folder.in_use("averaging", config, {"words": jnp.asarray(table)}, tokenizer(words, cut))


def tokenizer(words: Sequence[str], cut: Words) -> Pieces:
    """A token a word."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    known = [*SPECIAL.values(), *words]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, SPECIAL["unk_token"]))
    if cut.lower:
        made.normalizer = normalizers.Lowercase()
    blanks = pre_tokenizers.WhitespaceSplit()
    made.pre_tokenizer = blanks if cut.tokenizer == "whitespace" else pre_tokenizers.Split(Regex(_BETWEEN), "removed")
    made.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL.values()])
    begin = SPECIAL["bos_token"]
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, known.index(begin))]
    )
    return Pieces(Library(made, "the tokenizer of word vectors"), SPECIAL, Settings(Path()))
