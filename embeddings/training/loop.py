"""The one training loop: batch n in, state n + 1 out, until the last step, a stop or a number that is none.

Every model runs through it. What it needs of the outside (a clock, a signal, a line for the screen) is passed in.
"""
import collections
import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from embeddings.prefetch import AHEAD, prefetch
from embeddings.problems import Preempted, Problem
from embeddings.training.best import Best
from embeddings.training.checkpoint import Checkpoints
from embeddings.training.job import Job
from embeddings.training.metrics import Sink


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Something measured on the state; the same one runs inside training and alone."""

    name: str
    every: int
    """Batches between two runs; 0 is at the end only."""
    run: Callable[[Any], dict[str, float]]
    """A state in, named scores out."""


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a loop is told by the command that runs it."""

    clock: Callable[[], float]
    """Seconds, rising."""
    stop: Callable[[int], bool]
    """Whether to save and leave after this step; the same on every process."""
    due: Callable[[int], bool]
    """Whether to save after this step; the same on every process."""
    report: Callable[["Progress"], None]
    """Shows how far it is."""
    report_every: float = 5.0
    """Seconds between two reports."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int
    steps: int
    first: int
    """The step that the run started or was resumed at."""
    loss: float
    words: int
    """Raw words of the corpus read by this process's run since it started or resumed."""
    seconds: float
    """Wall seconds since then."""


def means(sums: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    """{name: sum / weight} of {name: (sum, weight)}, on the host; 0 where nothing was weighed."""
    sums = jax.device_get(sums)
    return {name: float(total) / float(weight) if weight else 0.0 for name, (total, weight) in sums.items()}


@jax.jit
def finite(tree: Any) -> jax.Array:
    """Whether every number of a tree is finite."""
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]).all()


class Loop:
    """A job, where its state is saved and its numbers are written."""

    def __init__(
        self,
        job: Job,
        checkpoints: Checkpoints,
        metrics: Iterable[Sink],
        speed: Sink | None,
        evaluators: Iterable[Evaluator],
        around: Surroundings,
        metrics_every: int = 10,
        best: Best | None = None,
    ) -> None:
        """`metrics` take what is the same on every machine, `speed` what is not; both only on process 0.

        `best` goes by what evaluators find.
        """
        self.best = best
        self.job, self.checkpoints, self.around = job, checkpoints, around
        self.metrics, self.speed, self.evaluators = list(metrics), speed, list(evaluators)
        self.metrics_every = metrics_every
        # As one program: operation by operation, a quarter of a second of compiling would fall between two steps.
        self._rate = jax.jit(lambda step: job.learning_rate(step))
        self.words = 0

    def begin(self, state: Any, first: int) -> None:
        """Evaluates a state that no step was made from, where the best is kept: it may be that."""
        if self.best and not first:
            self._evaluate(0, state)

    def run(self, state: Any, first: int) -> Any:
        """Trains from step `first` to the job's last, or until it is enough; returns the last state, saved.

        Raises Preempted after a stop, saved; Problem when a loss or parameter is not finite, with the state before
        it saved.
        """
        around, steps = self.around, self.job.steps
        self._first, self._saved, self._told, self._start = first, first or None, -math.inf, around.clock()
        self.words = 0
        if self.best and self.best.enough(first):
            return state
        sent: collections.deque = collections.deque()
        for n, batch in prefetch(self.job.place, first, steps):
            state, sums = self.job.step(state, batch.arrays)
            step = n + 1
            sent.append((step, batch.words, sums))
            stop = around.stop(step)
            save = around.due(step) or stop or step == steps
            look = save or any(e.every and step % e.every == 0 for e in self.evaluators)
            while len(sent) > (0 if look else AHEAD):
                self._take(*sent.popleft())
            if look:
                self._check(state["params"], step)
                self._evaluate(step, state)
            enough = self.best is not None and self.best.enough(step)
            if save or enough:
                self.checkpoints.save(step, state)
                self._saved = step
            if stop and step < steps:
                self.checkpoints.wait()
                raise Preempted(f"stopped at step {step} of {steps}, saved: the same command goes on from there")
            if enough:
                break
        self.checkpoints.wait()
        return state

    def close(self) -> None:
        """Puts all that was saved on disk."""
        self.checkpoints.close()
        if self.best:
            self.best.close()

    def _take(self, step: int, words: int, sums: dict) -> None:
        """Waits for one step's numbers and passes them on."""
        values = means(sums)
        for name, value in values.items():
            if not math.isfinite(value):
                raise self._broken(f"{name} is {value} at step {step}")
        self.words += words
        seconds = self.around.clock() - self._start
        if step % self.metrics_every == 0 or step == self.job.steps:
            rate = float(self._rate(step - 1))
            for sink in self.metrics:
                sink.write(step, {**values, "learning_rate": rate})
            if self.speed is not None:
                self.speed.write(step, {"seconds": round(seconds, 3), "words": self.words})
        if seconds - self._told >= self.around.report_every or step == self.job.steps:
            self._told = seconds
            loss = values.get("loss", 0.0)
            self.around.report(Progress(step, self.job.steps, self._first, loss, self.words, seconds))

    def _broken(self, what: str) -> Problem:
        """What a run that left the numbers says: where, and what there is to go on from."""
        self.checkpoints.wait()
        good = f"the last good checkpoint is step {self._saved}" if self._saved else "there is no checkpoint yet"
        return Problem(f"{what}; {good}: lower --optimizer.learning_rate (or the model's chunk) and start a new --run")

    def _check(self, params: Any, step: int) -> None:
        if not bool(finite(params)):
            raise self._broken(f"a parameter is not finite at step {step}")

    def _evaluate(self, step: int, state: Any) -> None:
        found: dict[str, float] = {}
        for evaluator in self.evaluators:
            if step == self.job.steps or (evaluator.every and step % evaluator.every == 0):
                scores = {f"{evaluator.name}/{key}": value for key, value in evaluator.run(state).items()}
                found |= scores
                for sink in self.metrics:
                    sink.write(step, scores)
        if self.best and found:
            self.best.see(step, found, state["params"])
