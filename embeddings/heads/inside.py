"""Dissection as an evaluator inside training: a model in, what each head is worth to a task, or finds, out."""
import dataclasses
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from embeddings.contextual.model import Contextual
from embeddings.evaluation import reading, treebank
from embeddings.evaluation.tasks import task as evaluations
from embeddings.heads import ablation, dependencies, tasks
from embeddings.heads.tasks import Task

DEPENDENCIES = "dependencies"
"""The task that ablates nothing."""


@dataclasses.dataclass(frozen=True)
class Inside:
    """An ablation, again and again."""

    name: ClassVar[str] = "heads"
    task: Task
    resamples: int
    """Draws of the bootstrap."""

    def scores(self, model: Contextual) -> dict[str, float]:
        """Scores by name:

            score, significant       with all heads; how many heads change it significantly
            without LAYER.HEAD       the score without a head, less the score
            best alone LAYER         the score with the best head alone in a layer, less the score

        Raises UsageProblem for a model that cannot do the task.
        """
        model, measure = self.task.ready(model, "this model")
        places = ablation.chosen(ablation.heads_of(model, "this model"), ())
        with tempfile.TemporaryDirectory() as folder:
            found = ablation.run(model, measure, places, Path(folder), lambda *_: None, self.resamples)
        best: dict[int, float] = {}
        for head in found.heads:
            best[head.layer] = max(best.get(head.layer, -np.inf), head.alone - found.score)
        return {
            "score": found.score,
            "significant": float(sum(head.significant for head in found.heads)),
            **{f"without {head.layer}.{head.head}": head.change.value for head in found.heads},
            **{f"best alone {layer}": change for layer, change in best.items()},
        }


@dataclasses.dataclass(frozen=True)
class Looking:
    """The dependencies of a treebank, again and again."""

    name: ClassVar[str] = DEPENDENCIES
    task: evaluations.Task

    def scores(self, model: Any) -> dict[str, float]:
        """As dependencies.Dependencies has them; raises as dependencies.measured, and
        Problem for a model without heads."""
        ablation.heads_of(model, "this model")
        return self.task.scores(model)


def ablation_of(task: str, text: str, data: Path | None, resamples: int) -> Inside | Looking:
    """What flags name; the treebank `text` may be below the folder of data sets.

    Raises UsageProblem or Problem at once where the task is not there.
    """
    if task == DEPENDENCIES:
        bank = treebank.read(reading.placed(Path(text), data))
        return Looking(evaluations.Task(task, "texts", lambda model: (dependencies.measured(model, bank),),
                                        lambda found: dependencies.table(*found)))
    return Inside(tasks.find(task, text, data), resamples)
