"""ELMo at work: texts in, vectors of their words in context out, or one vector a text.

Sentences are sorted by length and read in calls of about PLACES places, so that few shapes are compiled and little is
padding; every sentence has the vectors it would have alone. Words are made of their characters once for all sentences
that are read together, and words that are known beforehand not at all.

Shapes: n texts, T words of a text, L1 layers, the words' own one among them, D width of one direction, D2 = 2 D, B
sentences of a call.
"""
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embeddings.formats import elmo as files
from embeddings.models import character_cnn, elmo
from embeddings.problems import Problem
from embeddings.tokenizers.characters import BEGIN, END, Characters
from embeddings.tokenizers.words import Words

PLACES = 2048
"""Words of a call, padding included."""
LONGEST = 1022
"""Words of a sentence; of what is longer, each LONGEST words are a sentence of their own."""
TOGETHER = 1024
"""Sentences whose words are made together: bounds the memory for all but the result."""

AT_ONCE = 256
"""Words made of their characters in a call, at most."""

Text = str | Sequence
"""A string, or its words."""
Layer = int | Literal["mix"]
Pooling = Literal["mean", "max"]


class Tokens(NamedTuple):
    """The words of a text in context."""

    words: tuple[str, ...]
    offsets: Int[np.ndarray, "T 2"] | None
    """First character of each word, and the one after its last; None where the text came as words."""
    vectors: Float[np.ndarray, "T D2"]
    """Of the layer asked for."""
    states: Float[np.ndarray, "L1 T D2"]
    """Of all layers: the words' own, then what comes out of each."""


@dataclasses.dataclass(frozen=True, eq=False)
class Elmo:
    """A bidirectional language model, used for the vectors of words in context.

    Texts are strings, which the tokenizer cuts, or lists of words, which are taken as they are: the published models
    have read punctuation as words of its own. Raises Problem that names a text which is neither, or has no words.
    """

    config: elmo.Config
    params: elmo.Params
    """On the devices."""
    tokenizer: Words = Words(lower=False)
    mixture: elmo.Mix | None = None
    """How layers are mixed; where there is none, all count the same."""
    known: dict[str, int] = dataclasses.field(default_factory=dict)
    """Words that are known beforehand, and their rows of `table`."""
    table: Float[np.ndarray, "known D"] | None = None

    def knowing(self, words: Iterable[str]) -> "Elmo":
        """The same model with the vectors of these words made beforehand; it gives the same results, earlier."""
        known = {word: row for row, word in enumerate(dict.fromkeys(words))}
        return dataclasses.replace(self, known=known, table=self._made(list(known)))

    def encode(
        self, texts: Text, layer: Layer = "mix", pooling: Pooling = "mean"
    ) -> Float[np.ndarray, "n D2"]:
        """One row a text (a single string is one text): the mean or the maximum of the vectors of its words.

        `layer` is a number, 0 for the words' own vectors, -1 for the last layer, or "mix".
        """
        self._check(layer)
        pieces, starts = _pieces([self._words(text, at) for at, text in enumerate(_several(texts))])

        def call(words: Array, segments: Array) -> Array:
            return _pooled(self.params["lstm"], self.config, words, segments, self._mix, layer, pooling)

        vectors = np.array(list(self._read(pieces, call))).reshape(len(pieces), 2 * self.config.width)
        if pooling == "max":
            return np.maximum.reduceat(vectors, starts) if len(starts) else vectors
        lengths = np.array([len(piece) for piece in pieces], np.float32)[:, None]
        sums, weights = (np.add.reduceat(a, starts) if len(starts) else a for a in (vectors * lengths, lengths))
        return sums / weights

    def states(self, texts: Text) -> Iterator[Float[np.ndarray, "L1 T D2"]]:
        """All layers of each text: its words' own vectors, twice side by side, then the outputs of each layer."""
        pieces, starts = _pieces([self._words(text, at) for at, text in enumerate(_several(texts))])

        def call(words: Array, segments: Array) -> Array:
            return _states(self.params["lstm"], self.config, words, segments)

        found = self._read(pieces, call)
        for count in np.diff([*starts, len(pieces)]):
            parts = [next(found) for _ in range(count)]
            yield parts[0] if count == 1 else np.concatenate(parts, axis=1)

    def tokens(self, text: Text, layer: Layer = "mix") -> Tokens:
        """The words of a text, where they stand in it, and their vectors."""
        self._check(layer)
        words = self._words(text, 0)
        offsets = _offsets(text, dataclasses.replace(self.tokenizer, lower=False)) if isinstance(text, str) else None
        states = next(self.states([words]))
        return Tokens(tuple(words), offsets, np.asarray(_chosen(jnp.asarray(states), self._mix, layer)), states)

    @property
    def _mix(self) -> elmo.Mix:
        return self.mixture or elmo.Mix(jnp.zeros(self.config.layers + 1), jnp.ones(()))

    def _check(self, layer: Layer) -> None:
        L = self.config.layers
        if layer != "mix" and not -L - 1 <= layer <= L:
            raise Problem(f"layer {layer}: there are layers 0 to {L}, of which 0 is the words' own vectors")

    def _words(self, text: object, at: int) -> list[str]:
        whole = isinstance(text, str)
        if not whole and (not isinstance(text, Sequence) or not all(isinstance(word, str) for word in text)):
            raise Problem(f"text {at} is a {type(text).__name__}, not a string or a list of words: {text!r:.80}")
        words = self.tokenizer.split(text) if whole else list(text)
        if not words:
            raise Problem(f"text {at} has no words: leave it out: {text!r:.80}")
        return words

    def _read(
        self, sentences: list[list[str]], call: Callable[[Array, Array], Array]
    ) -> Iterator[Float[np.ndarray, "..."]]:
        """What a call gives for each sentence, in order; where it goes by word, for the words of the sentence."""
        for first in range(0, len(sentences), TOGETHER):
            group = sentences[first : first + TOGETHER]
            rows, table = self._own_vectors(group)
            running = []
            for members, shape in _calls([len(words) + 2 for words in group]):
                ids = np.zeros(shape, np.int32)  # row 0 is for no word
                for row, member in enumerate(members):
                    own = [rows[word] for word in (BEGIN, *group[member], END)]
                    ids[row, : len(own)] = own
                running.append((members, call(jnp.asarray(table[ids]), jnp.asarray(ids > 0, jnp.int32))))
            found: list[Any] = [None] * len(group)
            for members, out in running:
                for member, one in zip(members, np.asarray(out, np.float32), strict=False):  # rows of padding follow
                    found[member] = one if one.ndim == 1 else one[:, 1 : len(group[member]) + 1].copy()
            yield from found

    def _own_vectors(self, sentences: list[list[str]]) -> tuple[dict[str, int], Float[np.ndarray, "words D"]]:
        """A row a different word, beginning and end of a sentence too, and the table; its row 0 is of no word."""
        words = dict.fromkeys(word for words in sentences for word in (BEGIN, *words, END))
        new = [word for word in words if word not in self.known]
        old = [word for word in words if word in self.known]
        rows = {word: row for row, word in enumerate(new + old, 1)}
        parts = [np.zeros((1, self.config.width), self.config.dtype), self._made(new)]
        if self.table is not None:
            parts.append(self.table[[self.known[word] for word in old]])
        return rows, np.concatenate(parts)

    def _made(self, words: list[str]) -> Float[np.ndarray, "words D"]:
        """The words' own vectors, from their characters."""
        spelt = Characters(self.config.characters.longest)
        made = []
        for first in range(0, len(words), AT_ONCE):
            some = spelt.ids(words[first : first + AT_ONCE])
            padded = np.pad(some, ((0, _size(len(some)) - len(some)), (0, 0)))
            made.append(np.asarray(_of_characters(self.params["characters"], self.config, padded))[: len(some)])
        return np.concatenate([np.zeros((0, self.config.width), self.config.dtype), *made])


def load(folder: str | Path, words: Iterable[str] = ()) -> Elmo:
    """The model of a folder that formats/elmo.py reads, with the vectors of some words made beforehand."""
    config, params = files.read(Path(folder))
    model, words = Elmo(config, jax.tree.map(jnp.asarray, params)), list(words)
    return model.knowing(words) if words else model


def _several(texts: Text) -> Sequence:
    return [texts] if isinstance(texts, str) else texts


def _pieces(sentences: list[list[str]]) -> tuple[list[list[str]], list[int]]:
    """What is read as a sentence, and which piece is the first of each text."""
    pieces, starts = [], []
    for words in sentences:
        starts.append(len(pieces))
        pieces += [words[at : at + LONGEST] for at in range(0, len(words), LONGEST)]
    return pieces, starts


def _size(number: int, least: int = 1) -> int:
    """The next power of two."""
    return max(least, 1 << (number - 1).bit_length())


def _calls(lengths: list[int]) -> Iterator[tuple[list[int], tuple[int, int]]]:
    """Numbers of the sentences of each call, and its shape `(B, T)`; both sizes are powers of two."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    while order:
        T = _size(lengths[order[0]], 16)
        B = PLACES // T
        members = [number for number in order[:B] if lengths[number] <= T]
        yield members, (_size(len(members)), T)
        order = order[len(members) :]


def _offsets(text: str, tokenizer: Words) -> Int[np.ndarray, "T 2"]:
    """Where each word stands. What stands between two words is in neither, so that a word is where it is found next."""
    text, at, found = text.encode("utf-8", "replace").decode(), 0, []
    for word in tokenizer.split(text):
        first = text.index(word, at)
        at = first + len(word)
        found.append((first, at))
    return np.array(found, np.int32).reshape(-1, 2)


def _chosen(states: Float[Array, "L1 ..."], mixture: elmo.Mix, layer: Layer) -> Float[Array, "..."]:
    return elmo.mix(mixture, states) if layer == "mix" else states[layer]


@functools.partial(jax.jit, static_argnums=1)
def _of_characters(params: Any, config: elmo.Config, characters: Int[Array, "words C"]) -> Float[Array, "words D"]:
    return character_cnn.apply(params, config.characters, characters[:, None], config.dtype)[:, 0]


@functools.partial(jax.jit, static_argnums=1)
def _states(
    params: Any, config: elmo.Config, words: Float[Array, "B T D"], segments: Int[Array, "B T"]
) -> Float[Array, "B L1 T D2"]:
    return jnp.swapaxes(elmo.contextual(params, config, words, segments, outputs={elmo.STATES}).states, 0, 1)


@functools.partial(jax.jit, static_argnums=(1, 5, 6))
def _pooled(
    params: Any,
    config: elmo.Config,
    words: Float[Array, "B T D"],
    segments: Int[Array, "B T"],
    mixture: elmo.Mix,
    layer: Layer,
    pooling: Pooling,
) -> Float[Array, "B D2"]:
    states = elmo.contextual(params, config, words, segments, outputs={elmo.STATES}).states
    x = _chosen(states, mixture, layer).astype(jnp.float32)[:, 1:-1]
    inside = (segments[:, 2:] > 0)[:, :, None]  # neither the beginning nor the end of a sentence
    if pooling == "max":
        return jnp.max(jnp.where(inside, x, -jnp.inf), axis=1)
    return jnp.sum(jnp.where(inside, x, 0), axis=1) / jnp.maximum(jnp.sum(inside, axis=1), 1)
