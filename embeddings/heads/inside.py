"""Ablation as an evaluator inside training: a model in, what each head is worth to a task out."""
import tempfile
from collections.abc import Callable
from pathlib import Path

from embeddings.contextual.model import Contextual
from embeddings.heads import ablation, prediction


def ablation_of(task: str, text: str, data: Path | None, resamples: int) -> Callable[[Contextual], dict[str, float]]:
    """A function of a model to scores by name:

        score, significant       with all heads; how many heads change it significantly
        without LAYER.HEAD       the score without a head, less the score

    Raises UsageProblem or Problem at once where the task is not there; the model is asked whether it can do it when it
    comes.
    """
    measure = prediction.find(task, text, data)

    def scores(model: Contextual) -> dict[str, float]:
        model = prediction.ready(model, task, "this model")
        places = ablation.chosen(ablation.heads_of(model, "this model"), ())
        with tempfile.TemporaryDirectory() as folder:
            found = ablation.run(model, measure, places, Path(folder), lambda *_: None, resamples)
        return {
            "score": found.score,
            "significant": float(sum(head.significant for head in found.heads)),
            **{f"without {head.layer}.{head.head}": head.change.value for head in found.heads},
        }

    return scores
