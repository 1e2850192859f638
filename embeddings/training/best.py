"""The parameters with the highest score of a run, kept beside its checkpoints, and when to stop waiting for better.

A run that was cut off and goes on ends with the same ones: what was kept after the checkpoint that it goes on from is
met again at its step.
"""
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from embeddings.problems import UsageProblem
from embeddings.training import checkpoint
from embeddings.training.checkpoint import Checkpoints


class Best:
    """What is known of the best parameters so far."""

    def __init__(self, folder: Path, metric: str, every: int, patience: int) -> None:
        """Finds what an earlier part of the run kept in `folder`.

        `metric` is a name of metrics.jsonl; `patience` evaluations, `every` batches apart, without a higher score end
        the run, 0 never.
        """
        self.metric, self.every, self.patience = metric, every, patience
        self.step, self.score = checkpoint.newest(folder), -math.inf
        if self.step is not None:
            self.score = float(checkpoint.read_item(folder / str(self.step) / "rest")["score"])
        self._checkpoints = Checkpoints(folder, keep=1)

    def see(self, step: int, scores: dict[str, float], params: Any) -> None:
        """Keeps the parameters of a step if their score is the highest.

        Raises UsageProblem where the metric is none of what is measured.
        """
        if self.metric not in scores:
            raise UsageProblem(f"--train.best={self.metric}: nothing is measured under this name, only "
                               f"{', '.join(scores)}")
        score = float(np.float32(scores[self.metric]))
        if score > self.score or step == self.step:
            self.step, self.score = step, score
            self._checkpoints.save(step, {"params": params, "score": jnp.float32(score)})

    def enough(self, step: int) -> bool:
        """Whether the run has waited long enough for a higher score."""
        return bool(self.patience) and self.step is not None and step - self.step >= self.patience * self.every

    def params(self, like: Any) -> Any:
        """The best parameters, laid out as `like`."""
        _, state = self._checkpoints.restore({"params": like, "score": jnp.float32(0)})
        return state["params"]

    def close(self) -> None:
        """Puts them on disk."""
        self._checkpoints.close()
