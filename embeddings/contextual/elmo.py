"""ELMo in use: vectors of words in context, or of whole texts.

Sentences are sorted by length and read in calls of few shapes; every sentence has the vectors it would have alone.
Words are made of their characters once for all sentences that are read together, and words known beforehand not at all.

Shapes: n texts, N words of a text, L1 layers, the words' own vectors among them, D width of one direction, D2 = 2 D, B
sentences of a call, T words of a sentence in it.
"""
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from embeddings.contextual.sentences import Sentence, calls, offsets, pieces, power
from embeddings.contextual.texts import check
from embeddings.formats import elmo as files
from embeddings.models import character_cnn, elmo
from embeddings.models.pooling import POOLINGS, Pooling, pooled
from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers.characters import BEGIN, END, Characters
from embeddings.tokenizers.words import Words

TOGETHER = 1024
"""Sentences whose words are made together: bounds the memory for all but the result."""
AT_ONCE = 256
"""Words made of their characters in a call, at most."""

Layer = int | Literal["all"] | None
"""0 for the words' own vectors, L or -1 for the last layer; None for the mixture."""


@dataclasses.dataclass(frozen=True, eq=False)
class WordsInContext:
    """The words of a text and what the model makes of them."""

    tokens: tuple[str, ...]
    offsets: Int[np.ndarray, "N 2"]
    """First character of each word in the text and the one after its last."""
    vectors: Float[np.ndarray, "N D2"] | Float[np.ndarray, "L1 N D2"]
    """Of one layer or their mixture, or of all layers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Elmo:
    """A bidirectional language model, used for the vectors of words in context.

    The published models have read punctuation as words of its own: a text that is cut so already, with blanks between
    all words, is read as it is by Words("whitespace", lower=False).
    """

    config: elmo.Config
    params: elmo.Params
    tokenizer: Words = Words(lower=False)
    """How a text becomes words."""
    mixture: elmo.Mix | None = None
    """How layers are mixed; without it, all count the same."""
    devices: tuple[Any, ...] = ()
    """Where it runs, the sentences of a call split over them; empty takes all of this process."""
    known: dict[str, int] = dataclasses.field(default_factory=dict)
    """Words that are known beforehand, and their rows of `table`."""
    table: Float[np.ndarray, "known D"] | None = None

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices in a row."""
        return Mesh(np.array(self.devices or jax.local_devices()), ("data",))

    @functools.cached_property
    def placed(self) -> tuple[elmo.Params, elmo.Mix]:
        """The parameters and the mixture on the devices."""
        mixture = self.mixture or elmo.Mix(jnp.zeros(self.config.layers + 1), jnp.ones(()))
        return jax.device_put((self.params, mixture), NamedSharding(self.mesh, P()))

    def knowing(self, words: Iterable[str]) -> "Elmo":
        """The same model with the vectors of these words made beforehand: the same results, earlier."""
        known = {word: row for row, word in enumerate(dict.fromkeys(words))}
        return dataclasses.replace(self, known=known, table=self._made(list(known)))

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        layer: int | None = None,
        pooling: Pooling = "mean",
        normalize: bool = False,
        truncate_dim: int | None = None,
    ) -> Float[np.ndarray, "n E"]:
        """One row a text (a single string is one text), float32.

        Args:
            texts: of any length; one of more than sentences.LONGEST words is the mean of its parts by their words.
            layer: whose vectors are pooled; None for the mixture.
            pooling: how words become a text, see models/pooling.py.
            normalize: whether vectors are scaled to length 1.
            truncate_dim: how many of a vector's first numbers are kept, before it is scaled.

        Raises Problem for what is not a string or has no words, UsageProblem for a layer or pooling that is not there.
        """
        self._check(layer)
        if pooling not in POOLINGS:
            raise UsageProblem(f"pooling {pooling!r}: choose from {', '.join(POOLINGS)}")
        parts, starts = pieces(self._sentences([texts] if isinstance(texts, str) else texts))
        found = list(self._read(parts, functools.partial(_pooled, layer=layer, pooling=pooling)))
        vectors = np.array(found, np.float32).reshape(len(parts), 2 * self.config.width)
        if len(parts) > len(starts):
            weights = np.array([len(part) for part in parts], np.float32)[:, None]
            vectors = np.add.reduceat(vectors * weights, starts) / np.add.reduceat(weights, starts)
        vectors = vectors[:, :truncate_dim]
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12) if normalize else vectors

    def tokens(self, text: str | Sequence[str], *, layer: Layer = None) -> WordsInContext | list[WordsInContext]:
        """The words of a text, or of each of several, and their vectors; layer="all" gives those of all layers."""
        texts, found = [text] if isinstance(text, str) else text, []
        sentences = self._sentences(texts)
        for one, words, vectors in zip(texts, sentences, self.states(sentences, layer), strict=True):
            found.append(WordsInContext(tuple(words), offsets(one, self.tokenizer), vectors))
        return found[0] if isinstance(text, str) else found

    def states(
        self, sentences: Sequence[Sentence], layer: Layer = "all"
    ) -> Iterator[Float[np.ndarray, "N D2"] | Float[np.ndarray, "L1 N D2"]]:
        """The vectors of the words of each sentence, which is given as its words; `layer` is as in `tokens`."""
        if layer != "all":
            self._check(layer)
        parts, starts = pieces(sentences)
        found = self._read(parts, functools.partial(_states, layer=layer))
        for count in np.diff([*starts, len(parts)]):
            own = [next(found) for _ in range(count)]
            yield own[0] if count == 1 else np.concatenate(own, axis=-2)

    def _check(self, layer: Any) -> None:
        L = self.config.layers
        if layer is not None and layer not in range(-L - 1, L + 1):
            raise UsageProblem(f"layer {layer!r}: choose from 0 (the words' own vectors) to {L}")

    def _sentences(self, texts: Sequence) -> list[list[str]]:
        check(texts)
        sentences = [self.tokenizer.split(text) for text in texts]
        for number, words in enumerate(sentences):
            if not words:
                raise Problem(f"text {number} (from 0) has no words: leave it out: {texts[number]!r:.40}")
        return sentences

    def _read(self, sentences: Sequence[Sentence], call: Callable[..., Array]) -> Iterator[Float[np.ndarray, "..."]]:
        """What `call` makes of each sentence, in order: a vector, or vectors of its words, `[..., N, D2]`."""
        (params, mixture), rows = self.placed, NamedSharding(self.mesh, P("data"))
        for first in range(0, len(sentences), TOGETHER):
            group = sentences[first : first + TOGETHER]
            numbers, table = self._own_vectors(group)
            running: list[tuple[list[int], Array]] = []
            for members, shape in calls([len(words) + 2 for words in group], self.mesh.size):
                ids = np.zeros(shape, np.int32)  # row 0 of the table is of no word
                for row, member in enumerate(members):
                    own = [numbers[word] for word in (BEGIN, *group[member], END)]
                    ids[row, : len(own)] = own
                words, segments = jax.device_put((table[ids], np.minimum(ids, 1)), rows)
                running.append((members, call(params["lstm"], self.config, mixture, words, segments)))
            found: list[Any] = [None] * len(group)
            for members, made in running:
                for member, one in zip(members, np.asarray(made, np.float32), strict=False):  # rows of padding follow
                    found[member] = one if one.ndim == 1 else one[..., 1 : len(group[member]) + 1, :].copy()
            yield from found

    def _own_vectors(self, sentences: Sequence[Sentence]) -> tuple[dict[str, int], Float[np.ndarray, "words D"]]:
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
            padded = np.pad(some, ((0, power(len(some)) - len(some)), (0, 0)))
            made.append(np.asarray(_of_characters(self.placed[0]["characters"], self.config, padded))[: len(some)])
        return np.concatenate([np.zeros((0, self.config.width), self.config.dtype), *made])


def read(
    folder: Path, dtype: Literal["float32", "bfloat16"] = "float32", devices: tuple[Any, ...] = ()
) -> Elmo:
    """The model of a folder. Raises Problem, one line, for what formats/elmo.py does not read."""
    config, params = files.read(folder)
    return Elmo(dataclasses.replace(config, dtype=dtype), params, devices=devices)


@functools.partial(jax.jit, static_argnums=1)
def _of_characters(params: Any, config: elmo.Config, characters: Int[Array, "words C"]) -> Float[Array, "words D"]:
    return character_cnn.apply(params, config.characters, characters[:, None], config.dtype)[:, 0]


@functools.partial(jax.jit, static_argnames=("config", "layer"))
def _states(
    params: Any,
    config: elmo.Config,
    mixture: elmo.Mix,
    words: Float[Array, "B T D"],
    segments: Int[Array, "B T"],
    layer: Layer,
) -> Float[Array, "B T D2"] | Float[Array, "B L1 T D2"]:
    states = elmo.contextual(params, config, words, segments, outputs={elmo.STATES}).states
    if layer == "all":
        return jnp.swapaxes(states, 0, 1)
    return elmo.mix(mixture, states) if layer is None else states[layer]


@functools.partial(jax.jit, static_argnames=("config", "layer", "pooling"))
def _pooled(
    params: Any,
    config: elmo.Config,
    mixture: elmo.Mix,
    words: Float[Array, "B T D"],
    segments: Int[Array, "B T"],
    layer: int | None,
    pooling: Pooling,
) -> Float[Array, "B D2"]:
    x = _states(params, config, mixture, words, segments, layer)[:, 1:-1]
    place = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
    return pooled(pooling, x, segments[:, 2:], place, 1)[:, 0]  # neither the beginning nor the end of a sentence counts
