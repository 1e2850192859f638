"""Heads beside the encoder in a folder of transformers, by the class that its config.json names.

    class                     modules      what config.json says of it
    *ForTokenClassification   classifier   id2label, label2id
    *ForQuestionAnswering     qa_outputs   start and end: two rows, whatever the labels

A head is written and read by the same kind of table as its encoder (families.py), its names without a prefix.
"""
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from embeddings.formats.families import Entry, Family, Leaf, leaves
from embeddings.problems import Problem


class Task(NamedTuple):
    """A kind of head."""

    table: tuple[Entry, ...]
    """Its modules; ours stand below task/."""
    called: str
    """Its name in pipelines, on the hub and in task_specific_params."""
    rows: int | None = None
    """How many numbers it gives; None: one for each label."""


TASKS = {
    "TokenClassification": Task((Entry("classifier", "task", "linear"),), "token-classification"),
    "QuestionAnswering": Task((Entry("qa_outputs", "task", "linear"),), "question-answering", rows=2),
}
"""By what a class is called after For."""


@dataclasses.dataclass(frozen=True, eq=False)
class TaskHead:
    """A head of a folder, D numbers in and Y out."""

    task: str
    """Of TASKS."""
    labels: tuple[str, ...] = ()
    """Names of what it gives, where config.json has such."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """How it is used, as task_specific_params has it: a place in config.json that transformers keeps as it is."""
    params: Any = None
    """{"kernel": [D, Y], "bias": [Y]}."""

    def leaves(self) -> Iterator[Leaf]:
        """As Family.leaves."""
        return leaves(TASKS[self.task].table, 0)

    def shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """The shapes of its leaves, as huggingface.leaf_shapes."""
        rows = TASKS[self.task].rows or len(self.labels)
        return {"task/kernel": (width, rows), "task/bias": (rows,)}

    def written(self) -> dict[str, Any]:
        """What config.json says of it."""
        said: dict[str, Any] = {}
        if self.labels:
            said["id2label"] = {str(n): label for n, label in enumerate(self.labels)}
            said["label2id"] = {label: n for n, label in enumerate(self.labels)}
        if self.settings:
            said["task_specific_params"] = {TASKS[self.task].called: dict(self.settings)}
        return said


def class_name(family: Family, task: str) -> str:
    """What transformers calls a family's class with a head."""
    return f"{family.bare.removesuffix('Model')}For{task}"


def named(theirs: Mapping[str, Any], family: Family, path: Path) -> TaskHead | None:
    """The head, without parameters, that a config.json at `path` names; None where it names none of TASKS.

    Raises Problem for a class that is called like one of these but is not the family's, and for labels that are none.
    """
    classes = theirs.get("architectures")
    name = str(classes[0]) if isinstance(classes, list) and classes else ""
    task = next((task for task in TASKS if f"For{task}" in name), None)
    if task is None:
        return None
    if name != class_name(family, task):
        raise Problem(f"{path}: class {name} is not known here, only {', '.join(class_name(family, t) for t in TASKS)}:"
                      f" write one of these into `architectures`, or {family.bare} to read the encoder alone")
    specific = theirs.get("task_specific_params")
    settings = specific.get(TASKS[task].called) if isinstance(specific, dict) else None
    labels = () if TASKS[task].rows else _labels(theirs, path)
    return TaskHead(task, labels, settings if isinstance(settings, dict) else {})


def _labels(theirs: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Labels in order; without names two, or num_labels, as transformers has it."""
    names = theirs.get("id2label")
    try:
        if names is None:
            return tuple(f"LABEL_{n}" for n in range(theirs.get("num_labels", 2)))
        return tuple(str(names[str(n)]) for n in range(len(names)))
    except (TypeError, KeyError):
        raise Problem(f"{path}: id2label has no label for each number from 0 on: copy the file again") from None
