"""GLUE (Wang et al. 2019) as its own download script lays it out: glue/TASK/train.tsv and dev.tsv, columns by tabs.

Quotation marks are letters there. Labels of the test parts are not public: what is measured is the development part.
"""
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from embeddings.corpus import example_files
from embeddings.corpus.example_files import Broken, Example

FOLDER = Path("glue")


class Task(NamedTuple):
    """One of GLUE."""

    folder: str
    columns: tuple[str, ...]
    """That hold an example's texts."""
    label: str
    kind: str = "class"
    """Of the label: class or number."""
    parts: tuple[tuple[str, str], ...] = ()
    """Names of the development parts and of their files; empty has one, dev."""

    @property
    def measured(self) -> dict[str, str]:
        """The development parts, by name, and their files."""
        return dict(self.parts) or {self.folder: "dev"}


_PAIR = ("sentence1", "sentence2")
TASKS = {
    "glue-cola": Task("CoLA", ("sentence",), "label"),
    "glue-sst-2": Task("SST-2", ("sentence",), "label"),
    "glue-mrpc": Task("MRPC", ("#1 String", "#2 String"), "Quality"),
    "glue-sts-b": Task("STS-B", _PAIR, "score", "number"),
    "glue-qqp": Task("QQP", ("question1", "question2"), "is_duplicate"),
    "glue-mnli": Task("MNLI", _PAIR, "gold_label", parts=(("MNLI-m", "dev_matched"), ("MNLI-mm", "dev_mismatched"))),
    "glue-qnli": Task("QNLI", ("question", "sentence"), "label"),
    "glue-rte": Task("RTE", _PAIR, "label"),
}
"""By name. STS-B's scores are from 0 to 5. Without WNLI, which the papers leave out."""


def path(data: Path, name: str, part: str = "train") -> Path:
    """The file of a part, in a folder of data sets."""
    return data / FOLDER / TASKS[name].folder / f"{part}.tsv"


def read(data: Path, name: str, part: str = "train") -> Iterator[Example | Broken]:
    """The examples of a part. Raises Problem where the file is not there, is damaged, or has other columns."""
    task, file = TASKS[name], path(data, name, part)
    if name == "glue-cola":  # the only one whose first line names no columns
        return example_files.read(file, task.columns, task.label, header=("source", "label", "star", "sentence"))
    return example_files.read(file, task.columns, task.label)
