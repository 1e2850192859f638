"""Classes of texts, or of pairs of texts, by the softmax that a model of sentences was trained with."""
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from embeddings.objectives.sentences import Softmax
from embeddings.problems import UsageProblem


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """What is made of vectors."""

    classes: tuple[str, ...]
    """Their names, in order; Y."""
    parts: tuple[str, ...]
    """What of a text's vector, or of two, stands side by side; see objectives.sentences.Softmax."""
    params: Any
    """Of the softmax."""

    @property
    def texts(self) -> int:
        """Texts that are classified together: 1 or 2."""
        return Softmax(len(self.classes), self.parts).texts


class Classified(NamedTuple):
    """What n texts, or pairs, were found to be."""

    labels: tuple[str, ...]
    """The likeliest class of each."""
    probabilities: Float[np.ndarray, "n Y"]
    """Of each class, in the order of the head's."""


def classify(encode: Any, head: Head, texts: Sequence[Any]) -> Classified:
    """The class of each text, or of each pair of them.

    Raises UsageProblem for single texts where pairs are wanted, and the other way round.
    """
    wanted = head.texts
    rows = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
    for number, row in enumerate(rows):
        if len(row) != wanted:
            raise UsageProblem(f"text {number} (from 0): this model classifies {'pairs' if wanted == 2 else 'texts'}, "
                               f"not {len(row)} texts")
    different = {text: n for n, text in enumerate(dict.fromkeys(text for row in rows for text in row))}
    vectors = encode(list(different))
    places = np.array([[different[text] for text in row] for row in rows], np.int64).reshape(-1, wanted)
    softmax = Softmax(len(head.classes), head.parts)
    p = np.asarray(jax.nn.softmax(softmax.logits(head.params, jnp.asarray(vectors[places])), axis=-1))
    return Classified(tuple(head.classes[n] for n in p.argmax(axis=1)), p)
