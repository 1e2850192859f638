"""ELMo in use: vectors of words in context, or of whole texts, and what a head tells by them.

Sentences are sorted by length and read in calls of few shapes; every sentence has the vectors it would have alone.
Words are made of their characters once for all sentences that are read together, and words known beforehand not at all.

Shapes: n texts, N words of a text, L1 layers, the words' own vectors among them, D width of one direction, D2 = 2 D, B
sentences of a call, T words of a sentence in it, its beginning and end among them, E width of a text's vector.
"""
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from embeddings.contextual import texts as reading
from embeddings.contextual.classes import Head
from embeddings.contextual.in_use import Finish, InUse
from embeddings.contextual.sentences import LONGEST, Sentence, calls, pieces, power
from embeddings.contextual.tokens import Reader, States, Tagger
from embeddings.formats import elmo as files
from embeddings.formats.sentence_transformers import Pipeline
from embeddings.models import character_cnn, elmo
from embeddings.models.pooling import Pooling, after_pooling, pooled
from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers import known_words
from embeddings.tokenizers.characters import BEGIN, END, Characters
from embeddings.tokenizers.known_words import KnownWords
from embeddings.tokenizers.pieces import Pieces
from embeddings.tokenizers.settings import Settings
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
class Elmo(InUse):
    """A bidirectional language model, used for the vectors of words in context, and a head where one was trained.

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
    pipeline: Pipeline = Pipeline()
    """How words become the vector of a text, and what follows; where training set a length, longer texts are cut."""
    head: Head | Tagger | Reader | None = None
    """What a model was trained to tell: classes or numbers by vectors, tags of words, answers."""

    @functools.cached_property
    def placed(self) -> tuple[elmo.Params, elmo.Mix, tuple]:
        """The parameters, the mixture, and those of the steps after pooling, on the devices."""
        mixture = self.mixture or elmo.Mix(jnp.zeros(self.config.layers + 1), jnp.ones(()))
        return jax.device_put((self.params, mixture, self.steps), NamedSharding(self.mesh, P()))

    def knowing(self, words: Iterable[str]) -> "Elmo":
        """The same model with the vectors of these words made beforehand: the same results, earlier."""
        known = {word: row for row, word in enumerate(dict.fromkeys(words))}
        return dataclasses.replace(self, known=known, table=self._made(list(known)))

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        layer: int | None = None,
        pooling: Pooling | Sequence[Pooling] | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
    ) -> Float[np.ndarray, "n E"]:
        """One row a text (a single string is one text), float32.

        Args:
            texts: of any length. Of a model that was trained on texts of a length, longer ones are read so far, with a
                warning CutText; else one of more than sentences.LONGEST words is the mean of its parts by their words.
            layer: whose vectors are pooled; None for the mixture. Without it and `pooling`, what the model does with a
                pooled vector is done.
            pooling: how words become a text, see models/pooling.py, instead of the model's own way.
            normalize: whether vectors are scaled to length 1; without it as the model says.
            truncate_dim: how many of a vector's first numbers are kept, before it is scaled if `normalize` is true.

        Raises Problem for what is not a string or has no words, UsageProblem for a layer or pooling that is not there.
        """
        self._check(layer)
        finish = self.finish(layer, pooling, normalize)
        sentences = self._sentences([texts] if isinstance(texts, str) else texts)
        if self.pipeline.longest:
            room = self.pipeline.longest - 2
            reading.warn_of_cut(sum(len(words) > room for words in sentences), len(sentences), self.pipeline.longest)
            sentences = [words[:room] for words in sentences]
        parts, starts = pieces(sentences)
        found = list(self._read(map(_framed, parts), functools.partial(_pooled, layer=layer, finish=finish)))
        vectors = np.array(found, np.float32) if found else np.empty((0, self.width_of(2 * self.config.width)))
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
            found.append(WordsInContext(tuple(words), self.tokenizer.offsets(one), vectors))
        return found[0] if isinstance(text, str) else found

    def states(
        self, sentences: Sequence[Sentence], layer: Layer = "all"
    ) -> Iterator[Float[np.ndarray, "N D2"] | Float[np.ndarray, "L1 N D2"]]:
        """The vectors of the words of each sentence, which is given as its words; `layer` is as in `tokens`."""
        if layer != "all":
            self._check(layer)
        parts, starts = pieces(sentences)
        found = self._read(map(_framed, parts), functools.partial(_states, layer=layer))
        for count in np.diff([*starts, len(parts)]):
            own = [next(found)[..., 1:-1, :] for _ in range(count)]
            yield own[0] if count == 1 else np.concatenate(own, axis=-2)

    def for_tokens(self, texts: Iterable[str]) -> tuple[Pieces, int, States]:
        """A tokenizer that knows the words of these texts; see InUse."""
        tokenizer = numbered(texts, self.tokenizer)

        def states(read: reading.Reading) -> list[Float[np.ndarray, "N D2"]]:
            windows = ([tokenizer.tokens[id] for id in read.ids[first:after]]
                       for first, after in zip(read.starts[:-1], read.starts[1:], strict=True))
            return list(self._read(windows, functools.partial(_states, layer=None)))

        return tokenizer, self.pipeline.longest or LONGEST + 2, states

    def _check(self, layer: Any) -> None:
        L = self.config.layers
        if layer is not None and layer not in range(-L - 1, L + 1):
            raise UsageProblem(f"layer {layer!r}: choose from 0 (the words' own vectors) to {L}")

    def _sentences(self, texts: Sequence) -> list[list[str]]:
        reading.check(texts)
        sentences = [self.tokenizer.split(text) for text in texts]
        for number, words in enumerate(sentences):
            if not words and not self.pipeline.longest:  # where something is trained, such texts are zeros there too
                raise Problem(f"text {number} (from 0) has no words: leave it out: {texts[number]!r:.40}")
        return sentences

    def _read(self, sentences: Iterable[Sentence], call: Callable[..., Array]) -> Iterator[Float[np.ndarray, "..."]]:
        """What `call` makes of each sentence, its beginning and end among its words, in order: a vector, or vectors of
        its words, `[..., N, D2]`."""
        (params, mixture, steps), rows = self.placed, NamedSharding(self.mesh, P("data"))
        sentences = iter(sentences)
        while group := list(itertools.islice(sentences, TOGETHER)):
            numbers, table = self._own_vectors(group)
            running: list[tuple[list[int], Array]] = []
            for members, shape in calls(list(map(len, group)), self.mesh.size):
                ids = np.zeros(shape, np.int32)  # row 0 of the table is of no word
                for row, member in enumerate(members):
                    ids[row, : len(group[member])] = [numbers[word] for word in group[member]]
                words, segments = jax.device_put((table[ids], np.minimum(ids, 1)), rows)
                running.append((members, call(params["lstm"], self.config, (mixture, steps), words, segments)))
            found: list[Any] = [None] * len(group)
            for members, made in running:
                for member, one in zip(members, np.asarray(made, np.float32), strict=False):  # rows of padding follow
                    found[member] = one if one.ndim == 1 else one[..., : len(group[member]), :].copy()
            yield from found

    def _own_vectors(self, sentences: Sequence[Sentence]) -> tuple[dict[str, int], Float[np.ndarray, "words D"]]:
        """A row a different word, and the table; its row 0 is of no word."""
        words = dict.fromkeys(word for words in sentences for word in words)
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


def _framed(words: Sentence) -> Sentence:
    return [BEGIN, *words, END]


def numbered(texts: Iterable[str], cut: Words) -> Pieces:
    """A tokenizer of the words of these texts, beginning and end of a sentence around each; these two come first."""
    words = dict.fromkeys((BEGIN, END, *known_words.different(texts, cut)))
    engine = KnownWords(tuple(words), cut, BEGIN, END)
    return Pieces(engine, {"bos_token": BEGIN, "eos_token": END}, Settings(Path()))


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
    after: tuple[elmo.Mix, tuple],
    words: Float[Array, "B T D"],
    segments: Int[Array, "B T"],
    layer: Layer,
) -> Float[Array, "B T D2"] | Float[Array, "B L1 T D2"]:
    states = elmo.contextual(params, config, words, segments, outputs={elmo.STATES}).states
    if layer == "all":
        return jnp.swapaxes(states, 0, 1)
    return elmo.mix(after[0], states) if layer is None else states[layer]


@functools.partial(jax.jit, static_argnames=("config", "layer", "finish"))
def _pooled(
    params: Any,
    config: elmo.Config,
    after: tuple[elmo.Mix, tuple],
    words: Float[Array, "B T D"],
    segments: Int[Array, "B T"],
    layer: int | None,
    finish: Finish,
) -> Float[Array, "B E"]:
    x = _states(params, config, after, words, segments, layer)[:, 1:-1]
    place = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
    # neither the beginning nor the end of a sentence counts
    each = [pooled(how, x, segments[:, 2:], place, 1) for how in finish.pooling]
    return after_pooling(jnp.concatenate(each, axis=-1), finish.steps, after[1])[:, 0]
