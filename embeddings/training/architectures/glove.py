"""Not there yet."""
from typing import Any

from jax.sharding import Mesh

from embeddings.experiment import Experiment
from embeddings.problems import Problem
from embeddings.training.job import Corpus, Initial, Job, Tables


def prepare(settings: Experiment, corpus: Corpus) -> Corpus:
    """Nothing yet."""
    raise Problem("--architecture=glove is not there yet")


def imagined(settings: Experiment, different_words: int) -> Corpus:
    """Nothing yet."""
    raise Problem("--architecture=glove is not there yet")


def build(settings: Experiment, corpus: Corpus, mesh: Mesh, initial: Initial | None = None) -> Job:
    """Nothing yet."""
    raise Problem("--architecture=glove is not there yet")


def tables(settings: Experiment, saved: dict[str, Any]) -> Tables:
    """Nothing yet."""
    raise Problem("--architecture=glove is not there yet")
