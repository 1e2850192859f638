"""Heads beside the encoder in a folder of transformers, by the class that its config.json names.

    class                        modules                   what config.json says of it
    *ForTokenClassification      classifier                id2label, label2id
    *ForQuestionAnswering        qa_outputs                start and end: two rows, whatever the labels
    *ForSequenceClassification   of the first or last      id2label, label2id; one label tells a number
                                 token's state h, see below

What comes before the softmax of classes is, by family,

    bert                         classifier(tanh(pooler.dense(h)))
    roberta xlm-roberta mpnet    classifier.out_proj(tanh(classifier.dense(h)))
    distilbert                   classifier(relu(pre_classifier(h)))
    gpt2 openai-gpt              score(h), of the last token, without a bias

Cross-encoders of sentence-transformers are of the last class. Whether a text is read or a pair, none of them says. A
head is written and read by the same kind of table as its encoder (families.py), its names without a prefix.
"""
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from embeddings.formats.families import Entry, Family, Leaf, leaves
from embeddings.problems import Problem

ANY = ""
"""Stands for every family."""


class Task(NamedTuple):
    """A kind of head."""

    tables: Mapping[str, tuple[Entry, ...]]
    """Its modules, by family; ours stand below task/, what comes before the last map below task/dense."""
    called: str
    """Its name in pipelines, on the hub and in task_specific_params."""
    rows: int | None = None
    """How many numbers it gives; None: one for each label."""

    def table(self, family: str) -> tuple[Entry, ...]:
        """That of a family; none where transformers has no such class, or none that is known here."""
        return self.tables.get(family, self.tables.get(ANY, ()))


def _two(dense: str, output: str) -> tuple[Entry, ...]:
    return (Entry(dense, "task/dense", "linear"), Entry(output, "task", "linear"))


TAGS, ANSWERS, CLASSES = "TokenClassification", "QuestionAnswering", "SequenceClassification"
TASKS = {
    TAGS: Task({ANY: (Entry("classifier", "task", "linear"),), "openai-gpt": ()}, "token-classification"),
    ANSWERS: Task({ANY: (Entry("qa_outputs", "task", "linear"),), "openai-gpt": ()}, "question-answering", rows=2),
    CLASSES: Task({
        "bert": _two("bert.pooler.dense", "classifier"), "distilbert": _two("pre_classifier", "classifier"),
        **dict.fromkeys(("roberta", "xlm-roberta", "mpnet"), _two("classifier.dense", "classifier.out_proj")),
        **dict.fromkeys(("gpt2", "openai-gpt"), (Entry("score", "task", "bare"),)),
    }, "text-classification"),
}
"""By what a class is called after For."""
ACTIVATIONS = {"distilbert": "relu"}
"""What follows the first map of a head of classes, by family; of others tanh."""


@dataclasses.dataclass(frozen=True, eq=False)
class TaskHead:
    """A head of a folder, D numbers in and Y out."""

    task: str
    """Of TASKS."""
    family: str
    labels: tuple[str, ...] = ()
    """Names of what it gives, where config.json has such; none where a number is told."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """How it is used, as task_specific_params has it: a place in config.json that transformers keeps as it is."""
    params: Any = None
    """{"kernel": [D, Y], "bias": [Y]}, and of classes {"dense": {"kernel": [D, D], "bias": [D]}}, where the table has
    them."""

    @property
    def table(self) -> tuple[Entry, ...]:
        """Its modules."""
        return TASKS[self.task].table(self.family)

    def leaves(self) -> Iterator[Leaf]:
        """As Family.leaves; a name may have the family's prefix."""
        return leaves(self.table, 0)

    def shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """The shapes of its leaves, as huggingface.leaf_shapes."""
        rows = TASKS[self.task].rows or len(self.labels) or 1
        sizes = {entry.ours: width if entry.ours.endswith("dense") else rows for entry in self.table}
        shapes = {path: shape for ours, size in sizes.items()
                  for path, shape in ((f"{ours}/kernel", (width, size)), (f"{ours}/bias", (size,)))}
        return {leaf.ours: shapes[leaf.ours] for leaf in self.leaves()}

    def written(self) -> dict[str, Any]:
        """What config.json says of it."""
        said: dict[str, Any] = {}
        labels = self.labels
        if self.task == CLASSES:
            said["problem_type"] = "single_label_classification" if labels else "regression"
            # What sentence-transformers' CrossEncoder does with a number; it would take the sigmoid.
            said["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
            labels = labels or ("LABEL_0",)
        if labels:
            said["id2label"] = {str(n): label for n, label in enumerate(labels)}
            said["label2id"] = {label: n for n, label in enumerate(labels)}
        if self.settings:
            said["task_specific_params"] = {TASKS[self.task].called: dict(self.settings)}
        return said


def class_name(family: Family, task: str) -> str:
    """What transformers calls a family's class with a head."""
    return f"{family.bare.removesuffix('Model')}For{task}"


def named(theirs: Mapping[str, Any], family: Family, path: Path) -> TaskHead | None:
    """The head, without parameters, that a config.json at `path` names; None where it names none of TASKS.

    Raises Problem for a class that is called like one of these but is not the family's, for labels that are none or
    alike, and for several classes at a time.
    """
    classes, kind = theirs.get("architectures"), theirs["model_type"]
    name = str(classes[0]) if isinstance(classes, list) and classes else ""
    task = next((task for task in TASKS if f"For{task}" in name and TASKS[task].table(kind)), None)
    if task is None:
        return None
    if name != class_name(family, task):
        known = ", ".join(class_name(family, task) for task in TASKS if TASKS[task].table(kind))
        raise Problem(f"{path}: class {name} is not known here, only {known}: write one of these into "
                      f"`architectures`, or {family.bare} to read the encoder alone")
    if task == CLASSES and theirs.get("problem_type") == "multi_label_classification":
        raise Problem(f"{path}: problem_type multi_label_classification is not known here, only one class of several: "
                      f"write {family.bare} into `architectures` to read the encoder alone")
    specific = theirs.get("task_specific_params")
    settings = specific.get(TASKS[task].called) if isinstance(specific, dict) else None
    labels = () if TASKS[task].rows else _labels(theirs, path)
    if task == CLASSES and len(labels) == 1:
        labels = ()
    return TaskHead(task, kind, labels, settings if isinstance(settings, dict) else {})


def _labels(theirs: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Labels in order; without names two, or num_labels, as transformers has it."""
    names = theirs.get("id2label")
    try:
        if names is None:
            return tuple(f"LABEL_{n}" for n in range(theirs.get("num_labels", 2)))
        labels = tuple(str(names[str(n)]) for n in range(len(names)))
    except (TypeError, KeyError):
        raise Problem(f"{path}: id2label has no label for each number from 0 on: copy the file again") from None
    if len(set(labels)) != len(labels):
        raise Problem(f"{path}: id2label has two labels of one name: name one otherwise")
    return labels
