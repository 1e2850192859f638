"""What a run is about, by level: words, running text (sequences), examples of texts (sentences), texts whose tokens are
marked (tokens). A module each:

    find(settings, place, screen) -> source                what is read, looked for before anything is made
    prepare(settings, source, place, screen) -> Prepared   what training needs of it
"""
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from jax.sharding import Mesh

from embeddings.experiment import Experiment
from embeddings.training.job import Job


@dataclasses.dataclass(frozen=True)
class Place:
    """What a run is told of the machine it is on."""

    data: Path | None
    """Folder of data sets, looked in before anything is downloaded."""
    cache: Path
    """Folder for what is downloaded or prepared once."""
    clock: Callable[[], float]
    """Seconds, rising."""
    step_cores: Sequence[int]
    """Processor cores for the step."""
    batch_cores: Sequence[int]
    """Processor cores for making batches."""


@runtime_checkable
class Prepared(Protocol):
    """What a run is made of, once its text is read."""

    def job(self, mesh: Mesh) -> Job:
        """What the loop runs, on a mesh."""

    def save(self, folder: Path) -> None:
        """Writes what a model needs beside its parameters into the run's folder."""

    def facts(self) -> dict[str, Any]:
        """What the run was made from, for its provenance."""

    def opening(self) -> str:
        """What there is to train on, in a few words."""

    def model(self, tables: Any) -> Any:
        """What training leaves (Job.host_tables) as something with `.encode(texts)`."""


def of(settings: Experiment) -> ModuleType:
    """The module of an experiment's level."""
    from embeddings.levels import sentences, sequences, tokens, words

    return {"words": words, "sequences": sequences, "sentences": sentences, "tokens": tokens}[settings.level]
