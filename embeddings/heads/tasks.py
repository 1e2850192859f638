"""Tasks that heads and layers are measured by, by their names: found with their data, then made ready for a model.

    of vectors                              measures.py
    of what a model predicts                prediction.py
    of classes that its own head tells      classes.py

A file .tsv has two texts and a judgement a line, by tabs. Where all judgements are numbers they are held against
cosines, as those of STS are; else they are names of classes, and a line may have one text alone.
"""
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from embeddings.contextual.model import Contextual
from embeddings.evaluation import paired
from embeddings.evaluation.paired import Told
from embeddings.evaluation.reading import lines
from embeddings.evaluation.sts import Pairs
from embeddings.evaluation.tasks.task import Need, lacking, read_at_once
from embeddings.heads import classes, measures, prediction
from embeddings.heads.measures import Measure
from embeddings.problems import Problem, UsageProblem

NAMES = (*measures.NAMES, *classes.NAMES)
"""Of tasks whose data are in the folder of data sets."""
FILES = (".tsv", ".txt", ".csv")
WHAT = "two texts and a judgement, or one or two texts and a class, by tabs"


@dataclasses.dataclass(frozen=True)
class Task:
    """A task that is found, for any model that can do it."""

    name: str
    needs: Need
    made: Callable[[Contextual, str], tuple[Contextual, Measure]]
    """A model and its name in; out come the model as the task takes it, and the measure. May raise UsageProblem."""
    unfit: Callable[[Sequence[int], Sequence[str]], str | None] = lambda at_once, classes: None
    """Why a model is no use that tells these classes of so many texts at once."""
    note: str = ""
    """What in a file may be the reason."""

    def ready(self, model: Contextual, name: str) -> tuple[Contextual, Measure]:
        """The model as the task takes it, and the measure. Raises UsageProblem for a model that cannot do it."""
        reason = lacking(self.needs, model)
        if not reason and self.needs == "classes":
            reason = self.unfit(read_at_once(model), model.head.classes)
        if reason:
            raise UsageProblem(f"--task={self.name} {reason}: take another than {name}, or another task{self.note}")
        return self.made(model, name)


def find(name: str, text: str, data: Path | None) -> Task:
    """A task by its name, or by that of a file; `text` is the file that tasks of prediction are of.

    Raises UsageProblem for a name that is none, and Problem, with file and line, for data that are not as they should
    be or not there.
    """
    if name in prediction.TASKS:
        measure = prediction.read(Path(text), name)
        return Task(name, "predictions", lambda model, said: (prediction.predictor(model, name, said), measure))
    if Path(name).suffix in FILES:
        found = _file(Path(name))
        return (_of_vectors(name, measures.of_pairs(found)) if isinstance(found, Pairs) else
                _of_classes(name, found, _mixed(Path(name), found)))
    if name not in NAMES:
        raise UsageProblem(f"--task={name}: choose {', '.join((*NAMES, *prediction.TASKS))}, or a file .tsv of {WHAT}")
    if data is None:
        raise Problem("no folder of data sets is known: name it with --data or EMBEDDINGS_DATA")
    if name in classes.NAMES:
        return _of_classes(name, classes.read(name, data))
    return _of_vectors(name, measures.read(name, data))


def _of_vectors(name: str, measure: Measure) -> Task:
    return Task(name, "texts", lambda model, _: (model, measure))


def _of_classes(name: str, told: Told, note: str = "") -> Task:
    """The task of a model's own classes; the model's head is known when it comes."""
    def made(model: Contextual, _: str) -> tuple[Contextual, Measure]:
        return classes.telling(model), classes.of_told(told, model)

    return Task(name, "classes", made, lambda at_once, known: paired.unfit([told], at_once, known), note)


def _mixed(path: Path, told: Told) -> str:
    """Where a file of pairs has a judgement that is no number among some that are, which may be a mistake."""
    words = [number for number, label in enumerate(told.labels, 1) if not _is_number(label)]
    if not words or len(words) == len(told.labels):
        return ""
    return f"; {path}:{words[0]}: {told.labels[words[0] - 1]!r} is no number, so that all judgements are names"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _file(path: Path) -> Pairs | Told:
    """Judged pairs, or texts with a class. Raises Problem with file and line."""
    rows = [line.split("\t")[:3] for line in lines(path, WHAT)]
    for number, row in enumerate(rows, 1):
        if len(row) < 2 or len(row) != len(rows[0]):
            raise Problem(f"{path}:{number}: no label: a line is {WHAT}, as many as in the first")
    *texts, labels = zip(*rows, strict=True)
    if len(texts) == 2 and all(map(_is_number, labels)):
        judgements = np.array(list(map(float, labels)))
        if np.isnan(judgements).any():
            raise Problem(f"{path}:{int(np.argmax(np.isnan(judgements))) + 1}: the judgement is no number: correct it")
        if len({*judgements}) < 2:
            raise Problem(f"{path}: all judgements are alike: nothing can be ranked by them")
        return Pairs(path.stem, *texts, judgements)
    empty = next((number for number, label in enumerate(labels, 1) if not label.strip()), None)
    if empty:
        raise Problem(f"{path}:{empty}: no label: a line is {WHAT}")
    return Told(path.stem, tuple(zip(*texts, strict=True)) if len(texts) == 2 else texts[0], labels)
