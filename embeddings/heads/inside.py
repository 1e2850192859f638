"""Ablation as an evaluator inside training: a model in, what each head is worth to a task out."""
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from embeddings.contextual.model import Contextual
from embeddings.heads import ablation, tasks
from embeddings.heads.tasks import Task


@dataclasses.dataclass(frozen=True)
class Inside:
    """An ablation, again and again."""

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


def ablation_of(task: str, text: str, data: Path | None, resamples: int) -> Inside:
    """The ablation that flags name. Raises UsageProblem or Problem at once where the task is not there."""
    return Inside(tasks.find(task, text, data), resamples)
