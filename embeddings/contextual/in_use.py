"""What models in use have in common, whatever gives their states: how these become vectors, and what is told by them.

Shapes: n texts, N tokens of a text, E width of a text's vector.
"""
import abc
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from embeddings.contextual.classes import Classified, Head, classify, predict
from embeddings.contextual.tokens import Answer, Reader, States, Tagger
from embeddings.formats.sentence_transformers import Dense, Pipeline
from embeddings.models.pooling import NORMALIZE, POOLINGS, Pooling
from embeddings.problems import UsageProblem
from embeddings.tokenizers.pieces import Pieces


class Finish(NamedTuple):
    """How states become a vector."""

    pooling: tuple[str, ...]
    """Modes; their vectors stand side by side."""
    steps: tuple[tuple[str, int], ...]
    """What is done with a pooled vector: NORMALIZE or the activation of a linear map, and the number of its weights."""


class InUse(abc.ABC):
    """What Contextual and Elmo are, beside how they read texts."""

    pipeline: Pipeline
    devices: tuple[Any, ...]
    head: Head | Tagger | Reader | None

    @abc.abstractmethod
    def encode(self, texts: Any, **how: Any) -> Float[np.ndarray, "n E"]:
        """The vectors of texts."""

    @abc.abstractmethod
    def for_tokens(self, texts: Iterable[str]) -> tuple[Pieces, int, States]:
        """What a head of tokens needs to read texts: a tokenizer, tokens of a text at most, and their states."""

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices in a row."""
        return Mesh(np.array(self.devices or jax.local_devices()), ("data",))

    @property
    def steps(self) -> tuple[tuple, ...]:
        """Kernel and bias of each linear map after pooling; of scaling nothing."""
        return tuple((step.kernel, step.bias) if isinstance(step, Dense) else () for step in self.pipeline.steps)

    def width_of(self, states: int) -> int:
        """E, where states are so wide."""
        dense = [step for step in self.pipeline.steps if isinstance(step, Dense)]
        return dense[-1].kernel.shape[1] if dense else len(self.pipeline.pooling) * states

    def finish(
        self, layer: int | None, pooling: Pooling | Sequence[Pooling] | None, normalize: bool | None
    ) -> Finish:
        """What `encode` does with states, for its arguments. Raises UsageProblem for a pooling that is not there."""
        modes = self.pipeline.pooling if pooling is None else (pooling,) if isinstance(pooling, str) else tuple(pooling)
        for mode in modes:
            if mode not in POOLINGS:
                raise UsageProblem(f"pooling {mode!r}: choose from {', '.join(POOLINGS)}")
        whole = layer is None and pooling is None  # linear maps are made for the last layer, pooled as the model does
        used = [(n, step) for n, step in enumerate(self.pipeline.steps)
                if (whole if isinstance(step, Dense) else normalize is not False)]
        return Finish(modes, tuple((step.activation if isinstance(step, Dense) else NORMALIZE, n) for n, step in used))

    @property
    def classify(self) -> Callable[[Sequence[Any]], Classified]:
        """A function of texts, or of pairs as the model was trained on, to their classes.

        It is an attribute of models only that were trained to tell some (--sentence_bert.loss=softmax).
        """
        if not isinstance(self.head, Head) or not self.head.classes:
            raise AttributeError("this model tells no classes: train it with --sentence_bert.loss=softmax")
        return functools.partial(classify, self.encode, self.head, self.pipeline.joined)

    @property
    def predict(self) -> Callable[[Sequence[Any]], Float[np.ndarray, "n"]]:
        """A function of texts, or of pairs, to numbers; of models that were trained with loss regression only."""
        if not isinstance(self.head, Head) or self.head.classes:
            raise AttributeError("this model tells no numbers: train it with --sentence_bert.loss=regression")
        return functools.partial(predict, self.encode, self.head, self.pipeline.joined)

    @property
    def tag(self) -> Callable[[Sequence[Sequence[str]]], list[tuple[str, ...]]]:
        """A function of sentences, each its words, to a tag for each word: that of its first token.

        It is an attribute of models of --architecture=tagger, and of transformers' *ForTokenClassification, only.
        """
        head = self.head
        if not isinstance(head, Tagger):
            raise AttributeError("this model tags no words: train one with --architecture=tagger, or load the folder "
                                 "of a *ForTokenClassification")
        return lambda words: head.tag(*self.for_tokens(word for some in words for word in some), words)

    @property
    def answer(self) -> Callable[[Sequence[tuple[str, str]]], list[Answer]]:
        """A function of pairs (question, text) to what of the text answers; `head.may_be_empty` says if nothing may.

        It is an attribute of models of --architecture=reader, and of transformers' *ForQuestionAnswering, only.
        """
        head = self.head
        if not isinstance(head, Reader):
            raise AttributeError("this model gives no answers: train one with --architecture=reader, or load the "
                                 "folder of a *ForQuestionAnswering")
        return lambda asked: head.answer(*self.for_tokens(text for pair in asked for text in pair), asked)
