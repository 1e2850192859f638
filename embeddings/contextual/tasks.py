"""Heads of transformers' folders (formats/tasks.py) as they are used here, and the other way round."""
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.contextual.classes import Head
from embeddings.contextual.model import Contextual
from embeddings.contextual.tokens import Reader, Tagger
from embeddings.formats import tasks
from embeddings.formats.families import FAMILIES
from embeddings.formats.sentence_transformers import Dense
from embeddings.formats.tasks import ANSWERS, CLASSES, TAGS, TASKS, TaskHead
from embeddings.objectives.sentences import SUM
from embeddings.parts import tokens as parts
from embeddings.problems import Problem

READER = {"doc_stride": "overlap", "max_answer_len": "longest_answer", "handle_impossible_answer": "may_be_empty"}
"""A reader's fields by the names that transformers has for them."""


def used(model: Contextual, head: TaskHead, path: Path) -> Contextual:
    """A folder's model with its head; `path` is its config.json. Raises Problem for settings that it cannot have."""
    if head.task == TAGS:
        return dataclasses.replace(model, head=Tagger(head.labels, head.params))
    if head.task == ANSWERS:
        return dataclasses.replace(model, head=_reader(head, model.longest, path))
    params = dict(head.params)
    first = params.pop("dense", None)
    steps = () if first is None else (
        Dense(np.asarray(first["kernel"]), np.asarray(first["bias"]), activation(head.family)),)
    pooling, _ = form(head.family, model.config.stack.width)
    pipeline = dataclasses.replace(model.pipeline, pooling=pooling, steps=steps, joined=None)
    return dataclasses.replace(model, pipeline=pipeline, head=Head(head.labels, ("u",), params))


def _reader(head: TaskHead, longest: int, path: Path) -> Reader:
    """For a model that reads `longest` tokens.

    Where the folder does not say how it is used, windows overlap and answers are bounded as --reader's flags have it,
    and it may answer nothing: others' folders do not tell whether a model has learnt to, as SQuAD 2's have, and in one
    that has not the first token hardly ever scores highest.
    """
    flags = parts.Reader()
    usual = {"overlap": min(flags.overlap, longest // 4), "longest_answer": flags.longest_answer, "may_be_empty": True}
    said = usual | {ours: head.settings[theirs] for theirs, ours in READER.items() if theirs in head.settings}
    for theirs, ours in READER.items():
        value, least = said[ours], int(ours == "longest_answer")
        if type(value) is not type(usual[ours]) or value < least:
            wanted = "true or false" if ours == "may_be_empty" else f"a number of tokens from {least} on"
            raise Problem(f"{path}: {theirs} is {value!r}, not {wanted}: correct it, or leave it out")
    return Reader(head.params, **said)


def activation(family: str) -> str:
    """What follows the first map of a family's head of classes."""
    return tasks.ACTIVATIONS.get(family, "tanh")


def form(family: str, width: int) -> tuple[tuple[str, ...], list[tuple[int, str]]]:
    """Pooling and steps, as (width, function), before the last map of a family's head of classes."""
    dense = any(entry.ours == "task/dense" for entry in TASKS[CLASSES].table(family))
    return (("cls",), [(width, activation(family))]) if dense else (("lasttoken",), [])


def absent(family: str, task: str) -> str:
    """Why transformers' folders of a family have no head for a task; nothing where they have."""
    return "" if TASKS[task].table(family) else f"transformers has no {tasks.class_name(FAMILIES[family], task)}"


def kept(model: Contextual) -> TaskHead | None:
    """What a folder keeps of a model's head; None of one that no class has, and of a model of vectors.

    A reader without a bias gets zeros for it. Raises Problem for a tagger, a reader or a cross-encoder with a head that
    no class has, and for one that reads pairs in both orders.
    """
    head, family = model.head, model.family
    missing = isinstance(head, Tagger | Reader) and absent(family, TAGS if isinstance(head, Tagger) else ANSWERS)
    if missing:
        raise Problem(f"{missing}: this model's run's folder is what there is of it")
    if isinstance(head, Tagger):
        return TaskHead(TAGS, family, head.classes, params=head.params)
    if isinstance(head, Reader):
        settings = {theirs: getattr(head, ours) for theirs, ours in READER.items()}
        return TaskHead(ANSWERS, family, settings=settings, params={"bias": np.zeros(2, np.float32)} | head.params)
    if isinstance(head, Head) and SUM in head.parts:
        raise Problem("this model reads pairs in both orders and adds the vectors, which no folder of transformers can "
                      "say: its run's folder is what there is of it")
    steps, width = model.pipeline.steps, model.config.stack.width
    params: Any = dict(head.params) if isinstance(head, Head) else {}
    said = [(step.kernel.shape[1], step.activation) if isinstance(step, Dense) else () for step in steps]
    biased = not params or bool(np.any(params.get("bias", 0)))
    why = unlike(family, model.pipeline.pooling, said, width, biased)
    if isinstance(head, Head) and head.parts == ("u",) and not why:
        if steps:
            bias = np.zeros(width, np.float32) if steps[0].bias is None else steps[0].bias
            params["dense"] = {"kernel": steps[0].kernel, "bias": bias}
        else:
            params.pop("bias", None)
        return TaskHead(CLASSES, family, head.classes, params=params)
    if model.pipeline.joined is False:
        return None
    raise Problem(f"this model reads pairs as one, and is no folder of transformers: {why}; its run's folder is what "
                  "there is of it")


def unlike(family: str, pooling: tuple[str, ...], steps: Any, width: int, bias: bool = True) -> str:
    """Why a model is none of its family's *ForSequenceClassification, its steps as (width, function); else nothing.

    `bias` says whether its last map has one, which is not 0.
    """
    if not TASKS[CLASSES].table(family):
        return f"transformers has no head of {family} that is known here"
    name, wanted = tasks.class_name(FAMILIES[family], CLASSES), form(family, width)
    if wanted[1]:
        same = (pooling, [tuple(step) for step in steps]) == wanted
        return "" if same else f"{name} has pooling cls and one {activation(family)} layer of width {width}"
    if (pooling, list(steps)) == wanted and not bias:
        return ""
    return f"{name} has pooling lasttoken, and one map of it without a bias"
