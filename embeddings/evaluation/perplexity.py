"""How well a model of running text predicts a text.

A causal model reads the text, a token b of its tokenizer's before it where there is one, in windows of its length that
begin every `stride` tokens; each token is predicted once, in the first window that holds it, so with length - stride
tokens before it at least. With n tokens predicted in all, W words (what stands between blanks) and U bytes of UTF-8:

    J = - sum_t log p(w_t | b w_1 .. w_t-1)
    perplexity by words  exp(J / W)      by tokens  exp(J / n)      bits a byte  J / (U log 2)

A masked model has no p of a text. Each token of a line is masked in turn, all others being there (Salazar, Liang,
Nguyen, Kirchhoff 2020, eq. 1), and the same of the sum of -log p(w_t | the others) is called pseudo; lines longer than
the model are cut. Only figures by words or bytes compare models with different tokenizers.

Shapes: n tokens, B rows of a call, T tokens of a row, P predictions of a row.
"""
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from embeddings.contextual.model import Contextual
from embeddings.evaluation import reading
from embeddings.evaluation.scores import Result, Score
from embeddings.evaluation.table import Table
from embeddings.inputs.sequences import Batch, Tokens
from embeddings.objectives.sequences import LanguageModel
from embeddings.problems import Problem, UsageProblem

TOKENS = 4096
"""Tokens of a call."""


@dataclasses.dataclass(frozen=True)
class Text:
    """What is predicted."""

    name: str
    text: str


class Row(NamedTuple):
    """Some tokens, the places in them whose states predict, and what they should predict."""

    ids: Int[np.ndarray, "n"]
    types: Int[np.ndarray, "n"]
    places: Int[np.ndarray, "p"]
    targets: Int[np.ndarray, "p"]


def read(path: Path) -> Text:
    """A file of text. Raises Problem where it is none, or blank."""
    text = reading.text(path, "text")
    if not text.strip():
        raise Problem(f"{path}: holds no words: name another file")
    return Text(path.name, text)


def evaluate(model: Contextual, text: Text, stride: int | None = None) -> Result:
    """Perplexity and bits a byte; `stride` is half of the model's length unless it is told.

    Raises Problem for a model that predicts no words, UsageProblem for a stride that is not in its length.
    """
    if model.config.stack.causal:
        stride = stride or model.longest // 2
        if stride > model.longest:
            raise UsageProblem(f"--stride={stride}: the model reads {model.longest} tokens: choose fewer")
        rows, kind = causal_rows(model, text.text, stride), f"stride {stride}"
    elif model.tokenizer.mask is None or not model.config.predictions:
        raise Problem("this model predicts no words: name one that was saved with its masked-LM head")
    elif stride:
        raise UsageProblem("--stride is for causal models: leave it out")
    else:
        rows, kind = masked_rows(model, text.text), "pseudo"
    loss, number = losses(model, rows)
    units = {"words": len(text.text.split()), "bytes": len(text.text.encode("utf-8", "replace")), "tokens": number}
    return Result(kind, (
        Score(text.name, "perplexity by words", _raised(loss / units["words"]), number, units["words"]),
        Score(text.name, "perplexity by tokens", _raised(loss / number) if number else None, number, number),
        Score(text.name, "bits a byte", loss / math.log(2) / units["bytes"], number, units["bytes"]),
    ))


def _raised(power: float) -> float:
    return math.exp(power) if power < 700 else math.inf


def causal_rows(model: Contextual, text: str, stride: int) -> Iterator[Row]:
    """Windows over the whole text, and in each what the one before has not predicted."""
    begin, L = model.tokenizer.begin, model.longest
    ids = model.tokenizer.encode([text], special=False).ids
    ids = ids if begin is None else np.concatenate([np.array([begin], np.int32), ids])
    done = 1  # the first token has none before it
    for first in range(0, len(ids), stride):
        window = ids[first : first + L]
        places = np.arange(done - 1 - first, len(window) - 1)
        if len(places):
            yield Row(window, np.zeros_like(window), places, window[places + 1])
        done = first + len(window)
        if done == len(ids):
            return


def masked_rows(model: Contextual, text: str) -> Iterator[Row]:
    """A row for each token of each line, in which it is masked."""
    pieces, room = model.tokenizer, model.longest - model.tokenizer.added()
    lines = [line for line in text.split("\n") if line.strip()]
    whole = pieces.encode(lines)
    for first, last in zip(whole.starts[:-1], whole.starts[1:], strict=True):
        ids, types, special = (part[first:last] for part in (whole.ids, whole.types, whole.special))
        own = np.flatnonzero(~special)
        for at in range(0, len(own), room):
            cut = np.sort(np.concatenate([np.flatnonzero(special), own[at : at + room]]))
            for place in np.flatnonzero(~special[cut]):
                hidden = ids[cut].copy()
                hidden[place] = pieces.mask
                yield Row(hidden, types[cut], np.array([place]), ids[cut][[place]])


def losses(model: Contextual, rows: Iterator[Row]) -> tuple[float, int]:
    """The sum of -log p of all that the rows predict, and how much that is."""
    sums, number, under_way = 0.0, 0, []
    loss = _compiled(model)
    for batch in batches(rows, model.packer().tiers):
        under_way.append(loss(model.placed[0], batch))
        number += int(batch.weights.sum())
        if len(under_way) > 2:
            sums += float(under_way.pop(0))
    return sums + sum(map(float, under_way)), number


def _compiled(model: Contextual) -> Any:
    objective = LanguageModel(model.module, model.config)
    return jax.jit(lambda params, batch: objective.loss({"model": params}, batch)["loss"][0])


def batches(rows: Iterator[Row], tiers: Sequence[int]) -> Iterator[Batch]:
    """Rows of one length together, as many as a call has tokens for."""
    waiting: dict[int, list[Row]] = {}
    for row in rows:
        T = next(tier for tier in tiers if tier >= len(row.ids))
        waiting.setdefault(T, []).append(row)
        if len(waiting[T]) == max(1, TOKENS // T):
            yield _batch(waiting.pop(T), T)
    yield from (_batch(some, T) for T, some in waiting.items())


def _batch(rows: list[Row], T: int) -> Batch:
    """B x T tokens, padded to the shape that all calls with rows of T tokens have."""
    B = max(1, TOKENS // T)
    P = 1 if max(len(row.places) for row in rows) == 1 else T
    arrays = np.zeros((4, B, T), np.int32)
    places, targets, weights = np.zeros((B, P), np.int32), np.zeros((B, P), np.int32), np.zeros((B, P), np.float32)
    for n, row in enumerate(rows):
        N, p = len(row.ids), len(row.places)
        arrays[:, n, :N] = row.ids, np.ones(N), np.arange(N), row.types
        places[n, :p], targets[n, :p], weights[n, :p] = row.places, row.targets, 1
    predicted = map(jnp.asarray, (places, targets, weights))
    return Batch(Tokens(*map(jnp.asarray, arrays)), *predicted, jnp.int32(weights.sum()))


def table(results: Sequence[Result]) -> Table:
    """A row a text and measure."""
    rows = [(score.set, score.measure, result.method, score.value, score.covered, score.total)
            for result in results for score in result.measured]
    note = "Words are what stands between blanks; the tokens of the whole text are predicted, each once."
    return Table("Perplexity", ("text", "measure", "how", "value", "tokens predicted", "units"), tuple(rows), (note,))
