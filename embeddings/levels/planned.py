"""The job of an experiment whose text is not read: what `plan` compiles."""
import dataclasses
from typing import Any

from jax.sharding import Mesh

from embeddings.contextual.model import Contextual
from embeddings.experiment import Experiment
from embeddings.levels import beginning, sentences, sequences
from embeddings.problems import UsageProblem
from embeddings.training import architectures
from embeddings.training.job import Job


def job(settings: Experiment, different_words: int, mesh: Mesh) -> Job:
    """The job over a corpus that is not there, of so many different words, with the sizes of what --start_from names.

    Raises UsageProblem for a model that is made of the words of its texts, and as training does.
    """
    if not settings.start_from or settings.level == "words":  # word vectors change no sizes
        return architectures.planned(settings, different_words, mesh)
    start = _start(settings)
    settings = dataclasses.replace(settings, pieces=dataclasses.replace(settings.pieces, size=start.tokenizer.size))
    return architectures.planned(settings, different_words, mesh, _initial(settings, start))


def _start(settings: Experiment) -> Contextual:
    if settings.level == "sequences":
        return sequences.started_from(settings)
    start = beginning.model(settings, lambda: iter(()))
    if not start.config.is_transformer:
        raise UsageProblem(f"--start_from={settings.start_from} is no Transformer: its table has the words of the "
                           "texts, which a plan does not read: leave it out")
    return beginning.with_steps(start, settings.model) if settings.level == "sentences" else start


def _initial(settings: Experiment, start: Contextual) -> tuple[Any, Any]:
    """What training would give the architecture of it."""
    if settings.level == "sentences":
        return sentences.Prepared(settings, (), start.tokenizer, start).initial
    return start.config, start.params
