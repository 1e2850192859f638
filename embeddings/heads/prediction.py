"""Tasks of models that predict words: what a line of text is worth to the model as it is, and without some heads.

    perplexity   causal models: each token of a line after its first, from those before it
    masked-lm    masked models: every seventh token of a line, all of these masked at once; special ones never are

With J the sum of log p of a line's n predicted tokens, an item is a line, its number its share of the score, and the
score sum J / sum n over all lines: log p a token, so that more is better and exp(-score) is perplexity by tokens. The
loss of an item is -J / n. In the place of a vector a text has (J, n).

Shapes: B rows, T positions, S texts of a row, D width, P places predicted of a row, n lines.
"""
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embeddings.contextual.model import Contextual
from embeddings.contextual.program import Program
from embeddings.evaluation import perplexity
from embeddings.heads import bootstrap
from embeddings.heads.measures import Loss, Measure, Vectors
from embeddings.inputs.packing import slots
from embeddings.inputs.sequences import Tokens
from embeddings.problems import Problem, UsageProblem

TASKS = CAUSAL, MASKED = ("perplexity", "masked-lm")
EVERY, FIRST = 7, 3
"""One token of EVERY is masked, from the place FIRST of a text on: 14 %, as in training."""


@dataclasses.dataclass(frozen=True, eq=False)
class Predicting(Program):
    """From tokens to (J, n) of each text."""

    mask: int | None = None
    """Id that stands for a token to be predicted; None of causal models."""
    special: tuple[int, ...] = ()
    """Ids that are never masked."""

    def _hidden(self, tokens: Tokens, counted: Int[Array, "B T"]) -> Bool[Array, "B T"]:
        """Which tokens are masked."""
        own = ~jnp.isin(tokens.ids, jnp.array(self.special, jnp.int32))
        return own & (counted > 0) & (tokens.positions % EVERY == FIRST)

    def given(self, tokens: Tokens, counted: Int[Array, "B T"]) -> Tokens:
        """The tokens, masks where they are to be predicted."""
        if self.mask is None:
            return tokens
        return tokens._replace(ids=jnp.where(self._hidden(tokens, counted), self.mask, tokens.ids))

    def finished(
        self,
        params: tuple,
        hidden: Float[Array, "B T D"],
        tokens: Tokens,
        counted: Int[Array, "B T"],
        texts: int | None = None,
    ) -> Float[Array, "B _ 2"]:
        """(J, n) of each text."""
        T = tokens.ids.shape[1]
        S = slots(T) if texts is None else texts
        if self.mask is None:
            target = jnp.roll(tokens.ids, -1, axis=1)
            last = jnp.roll(counted, -1, axis=1) != counted
            there, places = (counted > 0) & ~last.at[:, -1].set(True), T
        else:
            target, there = tokens.ids, self._hidden(tokens, counted)
            places = min(T, T // EVERY + S)
        row = jax.checkpoint(functools.partial(self._row, params[0], places, S))
        return jax.lax.map(row, (hidden, target, there, counted))

    def _row(
        self, params: Any, places: int, texts: int,
        row: tuple[Float[Array, "T D"], Int[Array, "T"], Bool[Array, "T"], Int[Array, "T"]],
    ) -> Float[Array, "S 2"]:
        """Of one row, whose scores of all words are as many numbers as one should have at a time."""
        hidden, target, there, counted = row
        _, at = jax.lax.top_k(there.astype(jnp.int32), places)
        scores = self.module.logits(params, self.config, hidden[at]).astype(jnp.float32)
        log_p = jnp.take_along_axis(jax.nn.log_softmax(scores), target[at, None], axis=1)[:, 0]
        each = jnp.stack([log_p, jnp.ones_like(log_p)], axis=1) * there[at, None]
        return jax.ops.segment_sum(each, jnp.where(there[at], counted[at] - 1, texts), texts + 1)[:texts]


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor(Contextual):
    """A model whose `encode` gives (J, n) of each text."""

    def program(self, layer: int | None = None, pooling: Any = None, normalize: bool | None = None) -> Predicting:
        """What `encode` sends tokens through: with `layer` the first layers only, whose states predict."""
        L = self.config.stack.layers
        key = (L if layer is None else layer % (L + 1),)
        if key not in self._programs:
            mask = None if self.config.stack.causal else self.tokenizer.mask
            special = tuple(part.id for part in self.tokenizer.frame() if part.id >= 0)
            self._programs[key] = Predicting(self.module, self.config, *key, (), (), self.mesh, mask, special)
        return self._programs[key]


def predictor(model: Contextual, task: str, name: str) -> Predictor:
    """The model as one that predicts. Raises UsageProblem where it does not do so in the way of the task."""
    causal = model.config.stack.causal
    if causal != (task == CAUSAL):
        raise UsageProblem(f"--task={task}: {name} predicts {'the next word' if causal else 'masked words'}: take "
                           f"--task={CAUSAL if causal else MASKED}")
    if not causal and (model.tokenizer.mask is None or not model.config.predictions):
        raise Problem(f"{name}: predicts no words: name one that was saved with its masked-LM head")
    return Predictor(**{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})


def read(path: Path, task: str) -> Measure:
    """The task of the lines of a file, blank ones left out. Raises Problem where it holds no words."""
    text = perplexity.read(path)
    return of_lines(text.name, [line for line in text.text.split("\n") if line.strip()], task)


def of_lines(name: str, texts: Sequence[str], task: str) -> Measure:
    """log p a token of lines."""

    def items(vectors: Vectors) -> Float[np.ndarray, "m"]:
        total, number = vectors.astype(np.float64).T
        if not number.sum():
            raise Problem(f"{name}: no line has a token to predict: name a text of longer lines")
        return total * len(vectors) / number.sum()

    def loss(vectors: Vectors) -> Loss:
        rows = np.flatnonzero(vectors[:, 1])
        return Loss(rows[:, None], np.zeros(len(rows), np.float32), lambda u, _: -u[0, 0] / u[0, 1], rows)

    return Measure(f"{task} of {name}", "log p a token", tuple(texts), items, bootstrap.means, loss,
                   lambda rows: of_lines(name, [texts[row] for row in rows], task), False)
