"""Sentence-BERT and the Universal Sentence Encoder over examples of texts, ready for the loop."""
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Float32

from embeddings.corpus.examples import Some
from embeddings.experiment import Experiment, SentenceBert, UniversalSentenceEncoder
from embeddings.inputs.packing import slots
from embeddings.inputs.sentences import Batches, Examples
from embeddings.models import averaging, sentence_bert
from embeddings.models.pooling import NORMALIZE
from embeddings.models.sentence_bert import Step
from embeddings.objectives import sentences as losses
from embeddings.problems import Problem, UsageProblem
from embeddings.training import optimizer
from embeddings.training.architectures import encoders, sequences
from embeddings.training.dense import embedding_step
from embeddings.training.job import Job

AT_ONCE = 8192
"""Examples read at a time where all are gone through."""


def texts(part: SentenceBert) -> int:
    """Texts of an example that a loss needs at least."""
    if part.joined:
        return 2
    if part.loss in ("softmax", "regression"):
        return losses.Linear(1, part.parts).texts
    return {"simcse": 1, "triplet": 3}.get(part.loss, 2)


def parts(part: SentenceBert) -> tuple[str, ...]:
    """What of an example's vectors classes and numbers are told by."""
    return (losses.SUM,) if part.both_orders else part.parts


class Material(NamedTuple):
    """Sets of examples."""

    sets: tuple[Examples, ...]
    vocabulary: int
    """V of the tokenizer."""
    classes: int = 0
    """Y, where examples have classes."""


class Nothing:
    """Examples of token 0, each text as long as a row."""

    def __init__(self, number: int, columns: int, length: int):
        self.number, self.columns, self.length = number, columns, length
        self.tokens = number * columns * length

    def __len__(self) -> int:
        return self.number

    def read(self, numbers: np.ndarray) -> Some:
        """Texts that differ in their first token."""
        ids = np.zeros((len(numbers), self.columns, self.length), np.int32)
        ids[:, :, 0] = numbers[:, None]
        starts = np.arange(0, ids.size + 1, self.length)
        return Some(ids.reshape(-1), np.zeros(ids.size, np.int32), starts, np.zeros(len(numbers), np.float32))


def imagined(settings: Experiment, different_words: int) -> Material:
    """Examples of one batch whose texts fill a row each."""
    part: SentenceBert = settings.model
    read = 1 if part.joined and not part.both_orders else texts(part)
    some = Nothing(settings.train.batch, read, part.length)
    return Material((some,), settings.pieces.size, 2)


def inverse_document_frequencies(sets: Sequence[Examples], vocabulary: int) -> Float32[np.ndarray, "V"]:
    """log((n + 1) / (n_w + 1)) of each token w, which n_w of the n texts of all examples have."""
    having, texts = np.zeros(vocabulary), 0
    for some in sets:
        for begin in range(0, len(some), AT_ONCE):
            ids, _, starts, _ = some.read(np.arange(begin, min(begin + AT_ONCE, len(some))))
            text = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            having += np.bincount(np.unique(text * vocabulary + ids) % vocabulary, minlength=vocabulary)
            texts += len(starts) - 1
    return np.log((texts + 1) / (having + 1)).astype(np.float32)


def config(settings: Experiment, vocabulary: int, encoder: Any = None) -> sentence_bert.Config:
    """The configuration that the flags describe; `encoder` is that of a model that training goes on from."""
    part: SentenceBert = settings.model
    if encoder is None and isinstance(part, UniversalSentenceEncoder) and part.encoder == "averaging":
        encoder = averaging.Config(
            vocabulary, part.width, part.buckets, part.positions, part.dropout, part.sublinear
        )
    elif encoder is None:
        encoder = encoders.transformer(part, vocabulary)
    steps = [Step(width, "tanh") for width in part.dense] + [Step(activation=NORMALIZE)] * part.normalize
    return sentence_bert.Config(encoder, part.pooling, tuple(steps))


def loss(settings: Experiment, classes: int, sharding: NamedSharding | None = None) -> losses.Loss:
    """The loss that the flags name; `sharding` says how examples are split over devices."""
    part: SentenceBert = settings.model
    made: losses.Loss
    if part.loss in ("in_batch", "simcse"):
        made = losses.InBatch(part.temperature, part.learned_temperature, part.symmetric, sharding)
    elif part.loss == "softmax":
        made = losses.Softmax(classes, parts(part))
    elif part.loss == "regression":
        made = losses.Regression(parts=parts(part))
    elif part.loss == "cosine":
        made = losses.Cosine()
    elif part.loss == "triplet":
        made = losses.Triplet(part.margin)
    else:
        made = losses.Contrastive(part.margin)
    return losses.Matryoshka(made, part.matryoshka) if part.matryoshka else made


def build(
    settings: Experiment, material: Material, mesh: Mesh, initial: tuple[sentence_bert.Config, Any] | None = None
) -> Job:
    """The job over examples, for a mesh.

    `initial` is a configuration and parameters to go on from; of the steps after pooling, the first ones or none.

    Raises UsageProblem for sizes that the mesh cannot split, and for more layers to train than there are.
    """
    part: SentenceBert = settings.model
    model = config(settings, material.vocabulary) if initial is None else initial[0]
    encoders.check(settings, model.encoder, mesh)
    for size in part.matryoshka:
        if size > model.width:
            flag = f"--{settings.architecture}.matryoshka={size}"
            raise UsageProblem(f"{flag} is above the width of a vector, {model.width}")
    devices = mesh.shape["data"] * mesh.shape["fsdp"]
    batches = Batches(
        material.sets, encoders.shares(settings, material.sets), settings.seed, settings.train.batch, part.length,
        devices * settings.train.chunks, part.loss == "simcse",
        settings.examples.distinct and part.loss in ("in_batch", "simcse"),
    )
    if batches.distinct and settings.train.batch > 1 and batches(0).labels.weight.sum() < 2:
        raise Problem(f"of the first {settings.train.batch:,} examples all but one have a text in common, so that "
                      "nothing is to be told apart: see that the columns are right, or try --examples.distinct=false")
    steps = settings.train.steps or max(1, math.ceil(settings.train.epochs * batches.spans))
    rate = optimizer.schedule(settings.optimizer, steps)
    sharding = NamedSharding(mesh, P(("data", "fsdp"), None)) if devices > 1 else None
    objective = loss(settings, material.classes, sharding)
    used = dataclasses.replace(model, encoder=sequences.on(mesh, model.encoder))
    texts, frozen = slots(part.length), encoders.frozen_layers(settings, model.encoder)

    def encode(params: Any, tokens: Any, counted: jax.Array, keys: Any) -> jax.Array:
        params = params | {"model": encoders.held(settings, params["model"])}
        return sentence_bert.apply(params, used, tokens, counted, texts, frozen=frozen, key=keys)

    by_rarity = isinstance(part, UniversalSentenceEncoder) and part.idf
    lengths = inverse_document_frequencies(material.sets, material.vocabulary) if by_rarity else None
    step = embedding_step(
        encode, objective.loss, encoders.trained(settings, model.encoder), rate, mesh, chunks=settings.train.chunks,
        seed=settings.seed, dropout=part.dropout > 0 or part.attention_dropout > 0,
    )

    def make(key: jax.Array, *start: Any) -> Any:
        first, second = jax.random.split(key)
        made = sentence_bert.init(first, model)
        if start:
            steps = start[0]["steps"]
            made = {"model": start[0]["model"], "steps": [*steps, *made["steps"][len(steps) :]]}
        if lengths is not None:
            made["model"]["words"] *= lengths[:, None]
        return {"model": made, "objective": objective.init(second, model.width)}

    return Job(
        step, make, () if initial is None else (initial[1],), batches, steps, rate,
        step.parameters,
    )
