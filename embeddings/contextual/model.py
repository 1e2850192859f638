"""A contextual model in use: vectors of texts and of tokens, attention, words in the place of masks.

Texts are cut into tokens once, packed into rows of few lengths, and go through the model in calls of a fixed number of
tokens. Neither what stands beside a text nor the number of devices changes its vector.

Shapes: n texts, N tokens of a text, T tokens of a row, D width, E width of a text's vector, L layers, H heads.
"""
import dataclasses
import functools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from embeddings.contextual import texts as reading
from embeddings.contextual.classes import Head
from embeddings.contextual.in_use import InUse
from embeddings.contextual.packing import Packer
from embeddings.contextual.program import Program
from embeddings.contextual.tokens import Reader, States, Tagger
from embeddings.formats.sentence_transformers import Pipeline
from embeddings.inputs.sequences import Tokens
from embeddings.models.pooling import NORMALIZE, Pooling
from embeddings.models.transformer import ATTENTION, STATES, Output
from embeddings.prefetch import prefetch
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen
from embeddings.tokenizers.pieces import Pieces

TOKENS = {"cpu": 1024}
"""Tokens of a call for each device: as many as a processor's cache is fastest with; elsewhere 32768."""
TEXTS_AT_ONCE = {"cpu": 16384}
"""Texts cut into tokens at a time, which bounds the memory for all but their vectors; elsewhere 4096, the next ones
while the device is busy with these."""
HeadMask = Float[np.ndarray | Array, "L H"] | tuple[Float[np.ndarray | Array, "_"], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class TokenVectors:
    """The tokens of a text and what the model makes of them; special ones are among them."""

    tokens: tuple[str, ...]
    ids: Int[np.ndarray, "N"]
    offsets: Int[np.ndarray, "N 2"]
    """First character of each token in the text and the one after its last; (0, 0) for special ones."""
    vectors: Float[np.ndarray, "N D"] | Float[np.ndarray, "L1 N D"]
    """Of one layer, or of all."""


@dataclasses.dataclass(frozen=True, eq=False)
class Contextual(InUse):
    """A model, its tokenizer, and what is done with its states."""

    module: ModuleType
    """The page of its configuration, see models.sentence_bert.module."""
    family: str
    """A name in formats.families."""
    config: Any
    params: Any
    tokenizer: Pieces
    pipeline: Pipeline = Pipeline()
    devices: tuple[Any, ...] = ()
    """Where it runs, the rows of a call split over them; empty takes all of this process."""
    head: Head | Tagger | Reader | None = None
    """What a model was trained to tell: classes or numbers by vectors, tags of words, answers."""

    @property
    def _platform(self) -> str:
        return self.mesh.devices.flat[0].platform

    @functools.cached_property
    def placed(self) -> Any:
        """The parameters on the devices, and those of the steps after pooling."""
        return jax.device_put((self.params, self.steps), NamedSharding(self.mesh, P()))

    @functools.cached_property
    def _programs(self) -> dict[tuple, Program]:
        return {}

    @property
    def longest(self) -> int:
        """Tokens of a text at most, special ones included."""
        return min(self.pipeline.longest or self.config.longest, self.config.longest)

    @property
    def width(self) -> int:
        """E."""
        return self.width_of(self.config.stack.width)

    def encode(
        self,
        texts: str | Sequence[str] | Sequence[Sequence[str]],
        *,
        layer: int | None = None,
        pooling: Pooling | Sequence[Pooling] | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        windows: int | None = None,
        head_mask: HeadMask | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
    ) -> Float[np.ndarray, "n E"]:
        """One row a text (a single string is one text), float32.

        Args:
            texts: of any length; see `windows` for those that the model cannot read whole. A cross-encoder reads pairs
                of texts, each pair as one, and has vectors of these alone.
            layer: whose states are pooled: 0 for what goes into the first, L or -1 for the last. Without it the last's,
                and what the model does with a pooled vector is done (Dense, Normalize).
            pooling: how, instead of the model's own way.
            normalize: whether vectors are scaled to length 1; without it as the model says.
            truncate_dim: how many of a vector's first numbers are kept, before it is scaled if `normalize` is true.
            prompt_name: which of the model's prompts stands before each text; without it the default one, if any.
            prompt: another prompt, instead.
            windows: texts longer than the model reads are cut into windows that overlap by so many tokens, and the
                vector is the mean of theirs by their tokens. Without it they are read as far as the model reads, with a
                warning CutText.
            head_mask: what each head of each layer counts, 1 unless it is to be left out.
            batch_size: texts of 64 tokens that are read at a time; without it as many as the device is fastest with.
            show_progress_bar: whether standard error is told how far it is.

        Raises Problem for what is not a string, UsageProblem for a layer, pooling or prompt that is not there, and for
        single texts where pairs are read.
        """
        texts = [texts] if isinstance(texts, str) else texts
        reading.check(texts, self.pipeline.joined)
        program = self.program(layer, pooling, normalize)
        before, screen = self._prompt(prompt_name, prompt), Screen(sys.stderr) if show_progress_bar else None
        parts, cut = [], 0
        size = TEXTS_AT_ONCE.get(self._platform, 4096)

        def some(n: int) -> reading.Reading:
            part = texts[n * size : (n + 1) * size]
            return reading.read(self.tokenizer, part, self.longest, self.pipeline, before, windows)

        for n, read in prefetch(some, 0, -(-len(texts) // size)):
            report = screen and functools.partial(_report, screen, n * size, len(texts), read.texts / len(read.owner))
            vectors = program.vectors(self.placed, read, self.packer(batch_size), head_mask, report)
            parts.append(read.joined(vectors))
            cut += read.cut
        if screen:
            screen.end()
        reading.warn_of_cut(cut, len(texts), self.longest)
        out = np.concatenate(parts or [np.empty((0, self.width), np.float32)])[:, :truncate_dim]
        again = normalize or (windows is not None and any(step == NORMALIZE for step, _ in program.steps))
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12) if again else out

    def tokens(
        self, text: str | Sequence[str] | Sequence[Sequence[str]], *, layer: int | str | None = None,
        head_mask: HeadMask | None = None,
    ) -> TokenVectors | list[TokenVectors]:
        """Contextual vectors of the tokens of a text, or of each of several; of pairs where `encode` reads pairs.

        `layer` is as in `encode`; "all" gives those of all layers, `[L + 1, N, D]`, from what goes into the first on.
        """
        texts = [text] if isinstance(text, str) else text
        reading.check(texts, self.pipeline.joined)
        read = reading.read(self.tokenizer, texts, self.longest, self.pipeline, offsets=True)
        if layer == "all":
            states = [np.asarray(self._output(ids, types, {STATES}, head_mask).states)[:, 0, : len(ids)]
                      for ids, types in _split(read)]
        else:
            program = self.program(layer, (), None)
            states = program.states(self.placed, read, self.packer(), head_mask)
        names = self.tokenizer.tokens
        found = [
            TokenVectors(tuple(names[i] for i in read.ids[a:b]), read.ids[a:b], read.offsets[a:b], vectors)
            for a, b, vectors in zip(read.starts[:-1], read.starts[1:], states, strict=True)
        ]
        return found[0] if isinstance(text, str) else found

    def attention(
        self, text: str | Sequence[str], *, head_mask: HeadMask | None = None
    ) -> Float[np.ndarray, "L H N N"] | list[Float[np.ndarray, "_ N N"]]:
        """How much each token of a text looks at each other, `[layer, head, who looks, at whom]`; rows add up to 1.

        Of a model with pruned heads, a list of `[H, N, N]`, one a layer.
        """
        reading.check([text], self.pipeline.joined)
        read = reading.read(self.tokenizer, [text], self.longest, self.pipeline)
        weights = self._output(read.ids, read.types, {ATTENTION}, head_mask).attention
        N = len(read.ids)
        if isinstance(weights, tuple):
            return [np.asarray(of_layer)[0, :, :N, :N] for of_layer in weights]
        return np.asarray(weights)[:, 0, :, :N, :N]

    def for_tokens(self, texts: Iterable[str]) -> tuple[Pieces, int, States]:
        """The same for all texts; see InUse."""
        def states(read: reading.Reading) -> list[Float[np.ndarray, "N D"]]:
            return self.program(None, (), None).states(self.placed, read, self.packer())

        return self.tokenizer, self.longest, states

    def fill(self, text: str, k: int = 5) -> list[list[tuple[str, float]]]:
        """For each mask of a text (`tokenizer.names["mask_token"]`, as [MASK]) the k likeliest tokens, with their p.

        Raises Problem for a model that does not predict masked words, and UsageProblem for a text without a mask.
        """
        if self.tokenizer.mask is None or not getattr(self.config, "predictions", False):
            raise Problem("this model does not predict masked words: load one that was saved with its masked-LM head")
        reading.check([text])
        read = reading.read(self.tokenizer, [text], self.longest, self.pipeline)
        places = np.flatnonzero(read.ids == self.tokenizer.mask)
        if not len(places):
            raise UsageProblem(f"no {self.tokenizer.names['mask_token']} in the first {self.longest} tokens: write it "
                               "where a word is to be predicted")
        states = self._output(read.ids, read.types, frozenset(), None).hidden[0, places]
        p = jax.nn.softmax(self.module.logits(self.placed[0], self.config, states))
        best, which = jax.lax.top_k(p, k)
        names = self.tokenizer.tokens
        return [[(names[i], float(x)) for i, x in zip(row, values, strict=True)]
                for row, values in zip(np.asarray(which), np.asarray(best), strict=True)]

    def read(self, texts: Sequence[str] | Sequence[Sequence[str]]) -> reading.Reading:
        """What the model reads of texts, or of pairs, the default prompt before them, cut where they are too long."""
        reading.check(texts, self.pipeline.joined)
        return reading.read(self.tokenizer, texts, self.longest, self.pipeline, self._prompt(None, None))

    def packer(self, batch_size: int | None = None) -> Packer:
        """How texts become calls."""
        devices = self.mesh.size
        tokens = TOKENS.get(self._platform, 32768) if batch_size is None else 64 * batch_size
        return Packer.of(self.longest, tokens * devices, devices)

    def program(
        self,
        layer: int | None = None,
        pooling: Pooling | Sequence[Pooling] | None = None,
        normalize: bool | None = None,
    ) -> Program:
        """What `encode` sends tokens through; for its arguments see there."""
        L = self.config.stack.layers
        if layer is not None and not -L - 1 <= layer <= L:
            raise UsageProblem(f"layer {layer}: there are 0 (what goes into the first) to {L}")
        key = (L if layer is None else layer % (L + 1), *self.finish(layer, pooling, normalize))
        if key not in self._programs:
            self._programs[key] = Program(self.module, self.config, *key, self.mesh)
        return self._programs[key]

    def _prompt(self, name: str | None, prompt: str | None) -> str:
        name = self.pipeline.prompt if name is None and prompt is None else name
        if prompt is not None or name is None:
            return prompt or ""
        if name not in self.pipeline.prompts:
            known = ", ".join(self.pipeline.prompts) or "none"
            raise UsageProblem(f"no prompt {name!r}: the model has {known}; or give the text itself as `prompt`")
        return self.pipeline.prompts[name]

    def _output(
        self,
        ids: Int[np.ndarray, "N"],
        types: Int[np.ndarray, "N"],
        outputs: Collection[str],
        head_mask: HeadMask | None,
    ) -> Output:
        """What the model makes of one text, in a row of one of the packer's lengths."""
        N = len(ids)
        T = next(tier for tier in self.packer().tiers if tier >= N)
        rows = np.zeros((4, 1, T), np.int32)
        rows[:, 0, :N] = ids, np.ones(N), np.arange(N), types
        return self._one(self.placed[0], Tokens(*rows), head_mask, frozenset(outputs))

    @functools.cached_property
    def _one(self) -> Callable[..., Output]:
        def apply(params: Any, tokens: Tokens, head_mask: Any, outputs: frozenset[str]) -> Output:
            return self.module.apply(params, self.config, tokens, head_mask=head_mask, outputs=outputs)

        return jax.jit(apply, static_argnums=3)


def _report(screen: Screen, before: int, total: int, share: float, done: int) -> None:
    screen.amount("encoding", before + int(share * done), total)


def _split(read: reading.Reading) -> Iterator[tuple[Int[np.ndarray, "N"], Int[np.ndarray, "N"]]]:
    """Ids and types of each text."""
    for a, b in zip(read.starts[:-1], read.starts[1:], strict=True):
        yield read.ids[a:b], read.types[a:b]
