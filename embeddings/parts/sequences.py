"""Models of running text, and how it becomes pieces of words. See experiment.py."""
import dataclasses
from typing import Literal

from embeddings.fields import Count, Decay, Positive, Share


@dataclasses.dataclass(frozen=True)
class Pieces:
    """How text becomes pieces of words, for models of running text."""

    path: str = ""
    """Folder or file of a tokenizer; empty makes one of the corpus, or takes that of --start_from."""
    kind: Literal["wordpiece", "bpe", "unigram", "sentencepiece_bpe"] = "wordpiece"
    """What is made: BERT's, GPT-2's (of bytes), or sentencepiece's two."""
    size: Positive = 30000
    """Tokens of the vocabulary, at most."""
    lower: bool = True
    """Whether upper case is folded."""
    sample: Count = 200
    """Megabytes of the corpus that a tokenizer is made of; 0 takes all."""


@dataclasses.dataclass(frozen=True)
class Transformer:
    """A Transformer (Vaswani et al. 2017)."""

    layers: Positive = 12
    """Layers, L."""
    width: Positive = 768
    """Length of a state, D."""
    heads: Positive = 12
    """Attention heads of a layer, H; they divide the width."""
    feed_forward: Positive = 3072
    """Inner units of the feed-forward network, F."""
    length: Positive = 128
    """Tokens of a row in training, T."""
    positions: Positive = 512
    """Tokens of a text that the model can read, at most."""
    dropout: Decay = 0.1
    """Share of what a sub-layer gives that is dropped."""
    attention_dropout: Decay = 0.1
    """Share of attention weights that are dropped."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What products are taken in; parameters are float32."""
    remat: bool = False
    """Whether layers are computed again on the way back, which takes less memory and more time."""


@dataclasses.dataclass(frozen=True)
class Bert(Transformer):
    """BERT (Devlin et al. 2019), trained on masked words; without the prediction of next sentences, as RoBERTa."""

    masked: Share = 0.15
    """Share of a row's tokens that are predicted."""


@dataclasses.dataclass(frozen=True)
class Gpt(Transformer):
    """GPT-2 (Radford et al. 2019), trained on each next word."""
