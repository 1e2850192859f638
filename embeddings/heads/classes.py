"""Tasks of classes that the model's own head tells, as Michel, Levy, Neubig (2019) ablate BERT fine-tuned on MNLI.

    mnli, mnli-mm              GLUE's MNLI, matched and mismatched development part
    glue-cola .. glue-rte      the development part of another of GLUE's tasks
    snli, mrpc                 SNLI's development part; MRPC's test part
    sst2, sst5, trec, subj     test parts of texts with a class
    FILE.tsv                   texts of one's own: one or two, and the name of a class a line, by tabs

An item is a text or a pair, its number 1 where the likeliest class is the right one and else 0, the score accuracy. The
loss of an item is cross-entropy, of two vectors -log softmax(W [u; v; |u - v|] + c)[class], of one
-log softmax(W u + c)[class], of both orders of a pair -log softmax(W (u + v) + c)[class], with W and c the head's.
Classes go by their names.

Shapes: n texts, m items, k texts of an item, E width of a text's vector, Y classes.
"""
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embeddings.contextual.classes import Head
from embeddings.contextual.model import Contextual
from embeddings.contextual.program import Program
from embeddings.corpus import glue
from embeddings.evaluation import labelled, pair_classification, paired
from embeddings.evaluation.paired import Told
from embeddings.evaluation.tasks.classes import OWN
from embeddings.evaluation.tasks.task import unless_all
from embeddings.heads import bootstrap, measures
from embeddings.heads.measures import Loss, Measure, Vectors
from embeddings.objectives.sentences import SUM
from embeddings.problems import Problem

GLUE = {"mnli": ("glue-mnli", "MNLI-m"), "mnli-mm": ("glue-mnli", "MNLI-mm"),
        **{name: (name, task.folder) for name, task in glue.TASKS.items() if task.kind == "class" and not task.parts}}
"""Development parts by the name of their task here."""
SINGLE = {name.lower(): name for name in OWN if name.lower() not in measures.NAMES}
"""Sets of texts; those that measures.py classifies by logistic regression are left to it."""
NAMES = (*GLUE, "snli", "mrpc", *SINGLE)


def read(name: str, data: Path) -> Told:
    """A set of NAMES. Raises Problem where it is not there or damaged."""
    files = {"snli": paired.SNLI["dev"], "mrpc": pair_classification.MRPC}.get(name, ())
    if name in GLUE:
        task, title = GLUE[name]
        files = [glue.path(Path(), task, glue.TASKS[task].measured[title])]
    elif name in SINGLE:
        files = [labelled.FOLDER / file for file in labelled.SOURCES[SINGLE[name]].files]
    missing = unless_all(data, files)
    if missing:
        raise Problem(f"--task={name}: {missing}: copy it there, or choose another task")
    if name in GLUE:
        return paired.part(data, *GLUE[name])
    if name in SINGLE:
        test = labelled.parted(labelled.read(data, SINGLE[name])).test
        return Told(SINGLE[name], test.texts, test.labels)
    return paired.snli(data, "dev") if name == "snli" else paired.mrpc(data)


@dataclasses.dataclass(frozen=True, eq=False)
class Telling(Contextual):
    """A model whose `encode` gives what its head takes, of any layer: the steps after pooling are always done."""

    def program(self, layer: int | None = None, pooling: Any = None, normalize: bool | None = None) -> Program:
        """What `encode` sends tokens through: with `layer` the first layers only. Another pooling is as always."""
        if pooling is not None:
            return super().program(layer, pooling, normalize)
        L = self.config.stack.layers
        key = (L if layer is None else layer % (L + 1),)
        if key not in self._programs:
            self._programs[key] = dataclasses.replace(super().program(), layers=key[0])
        return self._programs[key]


def telling(model: Contextual) -> Telling:
    """The model as one that gives what its head takes."""
    return Telling(**{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})


def _read(row: str | tuple[str, ...], model: Contextual) -> tuple[Any, ...]:
    """What has a vector of a text or a pair: it, both of its texts, or both of its orders."""
    if SUM in model.head.parts:
        return row, row[::-1]
    return (row,) if model.pipeline.joined is not False or model.head.linear.texts == 1 else row


def of_told(one: Told, model: Contextual) -> Measure:
    """Accuracy of a model's own classes; its head is that of the model, which has all classes of the set."""
    head: Head = model.head
    texts, which = measures.distinct([text for row in one.texts for text in _read(row, model)])
    members = which.reshape(len(one.texts), -1)
    number = {name: n for n, name in enumerate(head.classes)}
    targets = np.array([number[label] for label in one.labels], np.int32)

    def items(vectors: Vectors) -> Float[np.ndarray, "m"]:
        logits = head.linear.apply(head.params, jnp.asarray(vectors[members]))
        return (np.asarray(logits).argmax(axis=1) == targets).astype(np.float64)

    def cross_entropy(u: Float[Array, "k E"], label: Int[Array, ""]) -> Float[Array, ""]:
        return -jax.nn.log_softmax(head.linear.apply(head.params, u[None])[0])[label]

    def part(rows: Int[np.ndarray, "some"]) -> Measure:
        some = Told(one.name, tuple(one.texts[row] for row in rows), tuple(one.labels[row] for row in rows))
        return of_told(some, model)

    return Measure(
        one.name, "accuracy", texts, items, bootstrap.means,
        lambda _: Loss(members, targets, cross_entropy, np.arange(len(members))), part,
        mixes=not model.pipeline.steps, blank_as_zeros=False, key=_key(targets, head),
    )


def _key(targets: Int[np.ndarray, "m"], head: Head) -> str:
    """Names what the items depend on beside vectors."""
    hashed = hashlib.sha256(targets.tobytes())
    for leaf in jax.tree.leaves(head.params):
        hashed.update(np.asarray(leaf).tobytes())
    return hashed.hexdigest()
