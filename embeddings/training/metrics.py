"""What a run writes down on its way: metrics.jsonl is the truth, TensorBoard a copy of it for who asks.

metrics.jsonl holds only what is the same whenever and wherever the run is made; seconds go to speed.jsonl. A resumed
run first drops the lines after its checkpoint, so that it ends with the bytes of one that was never cut off.
"""
import json
from pathlib import Path
from typing import Protocol, runtime_checkable

from embeddings.files import named, write_whole
from embeddings.problems import Problem, UsageProblem


@runtime_checkable
class Sink(Protocol):
    """Takes the scalars of a step."""

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Adds one line."""

    def close(self) -> None:
        """Puts everything on disk."""


class Lines:
    """A .jsonl file that starts again behind `step`."""

    def __init__(self, path: Path, step: int) -> None:
        """Keeps the whole lines up to `step` of a file that exists, none at step 0, and drops the rest."""
        if path.is_file():
            lines = path.read_text().splitlines(keepends=True) if step else []
            kept = [line for line in lines if _step(line) <= step]
            write_whole(path, "".join(kept))
        self._path, self._handle = path, path.open("a")

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Adds {"step": step, **scalars}."""
        with named(self._path):
            self._handle.write(json.dumps({"step": step, **scalars}) + "\n")
            self._handle.flush()

    def close(self) -> None:
        """Closes the file."""
        self._handle.close()


def last(path: Path, step: int | float = float("inf")) -> dict[str, tuple[float, int]]:
    """Of a .jsonl file as Lines writes it: the last value of each name up to a step, and its step.

    Raises Problem where it cannot be read.
    """
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise Problem(f"{path}: cannot be read ({error}): delete the run, or copy it again") from None
    return {name: (float(value), row["step"]) for row in rows if row["step"] <= step
            for name, value in row.items() if name != "step"}


def _step(line: str) -> int | float:
    """The step of a line; a line cut off in the middle is behind every step."""
    try:
        return json.loads(line)["step"] if line.endswith("\n") else float("inf")
    except ValueError:
        return float("inf")


class TensorBoard:
    """The same scalars as TensorBoard's event files."""

    def __init__(self, folder: Path, step: int) -> None:
        """Writes below `folder`, hiding what an earlier try wrote after `step`."""
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise UsageProblem("--log.tensorboard needs tensorboardX: pip install 'embeddings[tensorboard]'") from None
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Adds each number under its name."""
        for name, value in scalars.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes the event file."""
        self._writer.close()
