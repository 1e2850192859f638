"""Taggers and readers over texts whose tokens are marked, ready for the loop."""
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from embeddings.corpus.marked import Marked
from embeddings.experiment import Experiment, Transformer
from embeddings.inputs.tokens import Batch, Batches, Texts
from embeddings.models import sentence_bert
from embeddings.objectives import tokens as losses
from embeddings.training import optimizer
from embeddings.training.architectures import encoders, sequences
from embeddings.training.dense import sequence_step
from embeddings.training.job import Job


class Material(NamedTuple):
    """Sets of texts."""

    sets: tuple[Texts, ...]
    vocabulary: int
    """V of the tokenizer."""
    classes: int = 0
    """Y, where words have tags."""


class Nothing:
    """Texts of token 0, as long as a row."""

    def __init__(self, number: int, length: int):
        self.number, self.length, self.tokens = number, length, number * length

    def __len__(self) -> int:
        return self.number

    def read(self, numbers: np.ndarray) -> Marked:
        """Some of them, all tokens marked."""
        size = len(numbers) * self.length
        zeros = np.zeros(size, np.int32)
        return Marked(zeros, zeros, zeros + 1, np.full(len(numbers), self.length))


def imagined(settings: Experiment, different_words: int) -> Material:
    """Texts of one batch that fill a row each."""
    return Material((Nothing(settings.train.batch, settings.model.length),), settings.pieces.size, 2)


def loss(settings: Experiment, classes: int) -> losses.Loss:
    """The loss of the architecture."""
    return losses.Tags(classes) if settings.architecture == "tagger" else losses.Spans()


def build(
    settings: Experiment, material: Material, mesh: Mesh, initial: tuple[Any, Any] | None = None
) -> Job:
    """The job over texts, for a mesh; `initial` is an encoder's configuration and parameters to go on from.

    Raises UsageProblem for sizes that the mesh cannot split, and for more layers to train than there are.
    """
    part: Transformer = settings.model
    encoder = encoders.transformer(part, material.vocabulary) if initial is None else initial[0]
    encoders.check(settings, encoder, mesh)
    batches = Batches(
        material.sets, encoders.shares(settings, material.sets), settings.seed, settings.train.batch, part.length,
        mesh.shape["data"] * mesh.shape["fsdp"] * settings.train.chunks,
    )
    steps = settings.train.steps or max(1, math.ceil(settings.train.epochs * batches.spans))
    rate = optimizer.schedule(settings.optimizer, steps)
    objective, page = loss(settings, material.classes), sentence_bert.module(encoder)
    used, frozen = sequences.on(mesh, encoder), encoders.frozen_layers(settings, encoder)

    def told(params: Any, batch: Batch, keys: Any) -> dict:
        model = encoders.held(settings, params["model"]["model"])
        states = page.apply(model, used, batch.tokens, frozen=frozen, key=keys).hidden
        return objective.loss(params["objective"], states, batch.tokens, batch.marks)

    step = sequence_step(
        told, encoders.trained(settings, encoder), rate, mesh, chunks=settings.train.chunks, seed=settings.seed,
        dropout=part.dropout > 0 or part.attention_dropout > 0,
    )

    def make(key: jax.Array, *start: Any) -> Any:
        first, second = jax.random.split(key)
        model = start[0] if start else page.init(first, encoder)
        return {"model": {"model": model}, "objective": objective.init(second, encoder.stack.width)}

    return Job(step, make, () if initial is None else (initial[1],), batches, steps, rate, step.parameters)
