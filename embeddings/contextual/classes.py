"""Classes of texts, or of pairs of texts, or a number each, by what a model of sentences was trained with."""
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embeddings.objectives.sentences import SUM, Linear
from embeddings.problems import UsageProblem


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """What is made of vectors."""

    classes: tuple[str, ...]
    """Their names, in order, Y; none where a number is told."""
    parts: tuple[str, ...]
    """What of a text's vector, or of two, stands side by side; see objectives.sentences.Softmax."""
    params: Any
    """Of the linear map."""

    @property
    def linear(self) -> Linear:
        """What is computed of vectors."""
        return Linear(len(self.classes) or 1, self.parts)


class Classified(NamedTuple):
    """What n texts, or pairs, were found to be."""

    labels: tuple[str, ...]
    """The likeliest class of each."""
    probabilities: Float[np.ndarray, "n Y"]
    """Of each class, in the order of the head's."""


def classify(encode: Any, head: Head, joined: bool | None, texts: Sequence[Any]) -> Classified:
    """The class of each text, or of each pair of them. Raises as `_applied`."""
    p = np.asarray(jax.nn.softmax(_applied(encode, head, joined, texts), axis=-1))
    return Classified(tuple(head.classes[n] for n in p.argmax(axis=1)), p)


def predict(encode: Any, head: Head, joined: bool | None, texts: Sequence[Any]) -> Float[np.ndarray, "n"]:
    """The number of each text, or of each pair of them. Raises as `_applied`."""
    return np.asarray(_applied(encode, head, joined, texts))[:, 0]


def _applied(encode: Any, head: Head, joined: bool | None, texts: Sequence[Any]) -> Float[Array, "n _"]:
    """Raises UsageProblem for single texts where pairs are wanted, and the other way round.

    `joined` says whether the encoder reads pairs as one, see Pipeline; a head of their sum is given both orders.
    """
    if joined or joined is None:
        turned = [tuple(pair)[::-1] for pair in texts] if SUM in head.parts else []
        vectors = jnp.asarray(encode([*texts, *turned] if turned else texts))
        return head.linear.apply(head.params, jnp.stack(jnp.split(vectors, 1 + (SUM in head.parts)), axis=1))
    wanted = head.linear.texts
    rows = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
    for number, row in enumerate(rows):
        if len(row) != wanted:
            raise UsageProblem(f"text {number} (from 0): this model reads {'pairs' if wanted == 2 else 'texts'}, "
                               f"not {len(row)} texts")
    different = {text: n for n, text in enumerate(dict.fromkeys(text for row in rows for text in row))}
    vectors = encode(list(different))
    places = np.array([[different[text] for text in row] for row in rows], np.int64).reshape(-1, wanted)
    return head.linear.apply(head.params, jnp.asarray(vectors[places]))
