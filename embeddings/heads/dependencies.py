"""Which heads look from a word at the one that it depends on (Clark, Khandelwal, Levy, Manning 2019, "What Does BERT
Look At?", sections 4.1 and 4.2).

With a_ts the weight that token t gives to token s, the weight that word v gives to word w is

    A_vw = mean over tokens t of v of the sum over tokens s of w of a_ts

Special tokens are of no word. An attention head tells the head of word v in two ways,

    dependent to head    argmax_w A_vw     the word that v looks at most
    head to dependent    argmax_w A_wv     the word that looks most at v

over the other words w of its sentence, and tells none where all of these weights are 0. Words of a causal model look
only back: the first way can find heads that stand before their word, the second those behind it. Of words without a
token none is told.

Accuracies (evaluation/treebank.py) stand beside those of the best fixed offset, w = v + k.

Shapes: B rows, T positions, H heads of a layer, G heads that were asked for, R relations, K offsets, N tokens, c words
of a call.
"""
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embeddings.contextual import tokens
from embeddings.contextual.model import Contextual
from embeddings.contextual.packing import Call
from embeddings.contextual.removal import Place, heads
from embeddings.contextual.texts import Reading
from embeddings.evaluation import treebank
from embeddings.evaluation.table import Percent, Table
from embeddings.evaluation.tasks.task import lacking
from embeddings.evaluation.treebank import OFFSETS, Treebank
from embeddings.inputs.sequences import Tokens
from embeddings.models.transformer import ATTENTION
from embeddings.problems import Problem, UsageProblem

DIRECTIONS = ("dependent to head", "head to dependent")
FEWEST = 100
"""Words of a relation that the terminal shows."""
COLUMNS = ("layer", "head", "relation", "direction", "accuracy", "words", "offset", "baseline")


class Dependencies(NamedTuple):
    """Of all heads of a model that were asked for."""

    name: str
    places: tuple[Place, ...]
    """Layer and head, heads numbered as before any was pruned."""
    relations: tuple[str, ...]
    """treebank.ALL, then the others, the most frequent first."""
    counts: Int[np.ndarray, "R"]
    """Words of each."""
    accuracy: Float[np.ndarray, "2 G R"]
    """By DIRECTIONS."""
    baseline: Float[np.ndarray, "K R"]
    """By OFFSETS."""
    sentences: int
    left_out: int
    """Sentences beside these that are longer than the model reads."""
    causal: bool

    def scores(self) -> dict[str, float]:
        """The accuracy of each relation's best head, and of its best offset as `baseline RELATION`."""
        best, offset = self.accuracy.max(axis=(0, 1)), self.baseline.max(axis=0)
        return {**dict(zip(self.relations, best.tolist(), strict=True)),
                **{f"baseline {name}": value for name, value in zip(self.relations, offset.tolist(), strict=True)}}


def check(model: Contextual, name: str) -> None:
    """Raises UsageProblem for a model that does not read sentences one by one."""
    reason = lacking("texts", model)
    if reason:
        raise UsageProblem(f"dependencies: {reason}: take another than {name}")


def measured(
    model: Contextual, bank: Treebank, places: Sequence[Place] = (), report: Callable[[float], None] | None = None
) -> Dependencies:
    """How well heads tell the dependencies of a treebank; all heads where no `places` are named.

    `report` is told which share is done. Raises UsageProblem as `check`, Problem where no sentence is short enough.
    """
    check(model, "this model")
    kept, read = _read(model, bank)
    words = treebank.words_of(kept)
    counts = words.member.sum(axis=0)
    right, done = 0.0, 0
    for some, told in _told(model, kept, read):
        right = right + treebank.right(words, some, told) @ words.member[some]
        done += len(some)
        if report:
            report(done / len(words.head))
    every = [(layer, head) for layer, some in enumerate(heads(model)) for head in some]
    asked = tuple(places or every)
    offsets = np.stack([treebank.offset(words, k) for k in OFFSETS])
    baseline = treebank.right(words, np.arange(len(words.head)), offsets) @ words.member / counts
    return Dependencies(
        bank.name, asked, words.relations, counts.astype(int), (right / counts)[:, [every.index(one) for one in asked]],
        baseline, len(kept.sentences), len(bank.sentences) - len(kept.sentences), model.config.stack.causal)


def _read(model: Contextual, bank: Treebank) -> tuple[Treebank, Reading]:
    """The sentences that the model reads whole, and their tokens."""
    if model.pipeline.lower:
        bank = dataclasses.replace(bank, sentences=tuple(tuple(map(str.lower, some)) for some in bank.sentences))
    read = tokens.sentences(model.tokenizer, bank.sentences, model.longest)
    whole = np.bincount(read.owner) == 1
    if not whole.any():
        raise Problem(f"{bank.name}: every sentence is longer than the {model.longest} tokens that the model reads: "
                      "name another treebank, or another model")
    kept = bank.part(whole)
    return kept, read if whole.all() else tokens.sentences(model.tokenizer, kept.sentences, model.longest)


def _told(
    model: Contextual, bank: Treebank, read: Reading
) -> Iterator[tuple[Int[np.ndarray, "c"], Int[np.ndarray, "2 G c"]]]:
    """Words, and whom each head tells of each, call by call; a call has whole sentences."""
    token, of_token = tokens.of_words(bank.sentences, read.offsets, np.repeat(read.owner, np.diff(read.starts)))
    word = np.full(len(read.ids), -1)
    word[token] = of_token
    program = _program(model)
    for call in model.packer().calls(read.ids, read.types, read.starts):
        own, first, (some, row, place) = _laid(call, read, word)
        there = np.asarray(program(model.placed[0], call.tokens, first))[:, :, row, place]
        yield some, np.where(there >= 0, own[row, there], -1)


def _laid(
    call: Call, read: Reading, word: Int[np.ndarray, "N"]
) -> tuple[Int[np.ndarray, "B T"], Int[np.ndarray, "B T"], tuple[Int[np.ndarray, "c"], ...]]:
    """The word of each position of a call, the position of that word's first token in its row, -1 where there is no
    word; and all words, with row and position of their first tokens."""
    own, first = np.full((2, *call.tokens.ids.shape), -1, np.int32)
    row, place = np.nonzero(call.tokens.segments)
    sentence = call.texts[row, call.tokens.segments[row, place] - 1]
    here = word[read.starts[sentence] + call.tokens.positions[row, place]]
    row, place, here = row[here >= 0], place[here >= 0], here[here >= 0]
    some, begins, which = np.unique(here, return_index=True, return_inverse=True)
    own[row, place], first[row, place] = here, place[begins][which]
    return own, first, (some, row[begins], place[begins])


def _program(model: Contextual) -> Callable[..., Int[Array, "2 G B T"]]:
    """(parameters, tokens, first tokens [B, T]) -> the first tokens of the words that are told."""

    def apply(params: dict, tokens: Tokens, first: Int[Array, "B T"]) -> Int[Array, "2 G B T"]:
        a = model.module.apply(params, model.config, tokens, outputs={ATTENTION}).attention
        return jnp.concatenate([told(layer, first) for layer in a], axis=1)

    return jax.jit(apply)


def told(a: Float[Array, "B H T T"], first: Int[Array, "B T"]) -> Int[Array, "2 H B T"]:
    """Of the word that begins at each position where the word begins that is told, by DIRECTIONS; -1 where none is.

    `first` is where the word of a token begins, -1 for tokens of none.
    """
    exact = jax.lax.Precision.HIGHEST
    own = jax.nn.one_hot(first, a.shape[-1], dtype=a.dtype)
    share = own / jnp.maximum(own.sum(axis=1, keepdims=True), 1)
    weight = jnp.einsum("btv,bhts,bsw->hbvw", share, a, own, precision=exact)
    weight = jnp.where(jnp.eye(a.shape[-1], dtype=bool), 0, weight)
    both = jnp.stack([weight, jnp.swapaxes(weight, -1, -2)])
    return jnp.where(both.max(axis=-1) > 0, both.argmax(axis=-1), -1).astype(jnp.int32)


def rows(found: Dependencies) -> list[tuple]:
    """A row a head, relation and direction, as COLUMNS; beside it the relation's best offset."""
    best = found.baseline.argmax(axis=0)
    return [(*place, relation, direction, float(found.accuracy[d, g, r]), int(found.counts[r]), OFFSETS[best[r]],
             float(found.baseline[best[r], r]))
            for g, place in enumerate(found.places) for r, relation in enumerate(found.relations)
            for d, direction in enumerate(DIRECTIONS)]


def table(found: Dependencies, fewest: int = 0) -> Table:
    """The best head of each relation, as the paper's table 1; of relations with so many words."""
    lines = []
    for r in np.flatnonzero(found.counts >= fewest):
        d, g = np.unravel_index(found.accuracy[..., r].argmax(), found.accuracy.shape[:2])
        k = found.baseline[:, r].argmax()
        lines.append((found.relations[r], int(found.counts[r]), "{}.{}".format(*found.places[g]), DIRECTIONS[d],
                      Percent(found.accuracy[d, g, r]), Percent(found.baseline[k, r]), f"{OFFSETS[k]:+d}"))
    notes = [f"The best of {len(found.places)} heads, layers and heads from 0, chosen on these words themselves; the "
             "share of words whose head is told rightly, in %, beside that of the best offset in words. All words "
             "count as `all`, punctuation and roots too.",
             f"{found.sentences:,} sentences; {found.left_out:,} longer than the model reads were left out."]
    if found.causal:
        notes.append("Words look only back: dependent to head finds heads before their word, head to dependent those "
                     "behind it.")
    if len(lines) < len(found.counts):
        notes.append(f"{len(found.counts) - len(lines)} relations of fewer than {fewest} words are in the files.")
    columns = ("relation", "words", "LAYER.HEAD", "direction", "accuracy", "baseline", "offset")
    return Table(f"Dependencies: {found.name}", columns, tuple(lines), tuple(notes))
