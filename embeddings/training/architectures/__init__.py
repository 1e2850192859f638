"""What a run needs to know of each architecture: a module a name, with the same functions; encoders.py is what
some of them share.

    prepare(settings, ...) -> material               what is made of a numbered corpus, once: kept in its cache
    imagined(settings, different_words) -> material  a stand-in for a corpus that is not there
    build(settings, material, mesh, initial) -> Job

`material` is whatever the architecture's own `build` takes. Those of words also have

    tables(settings, words, saved) -> Tables         from the parameters of a checkpoint, by name
"""
from types import ModuleType
from typing import Any

from jax.sharding import Mesh

from embeddings.experiment import Experiment
from embeddings.training.architectures import fasttext, glove, sentences, sequences, tokens, word2vec
from embeddings.training.job import Job

ARCHITECTURES: dict[str, ModuleType] = {
    "word2vec": word2vec, "fasttext": fasttext, "glove": glove, "bert": sequences, "gpt": sequences,
    "sentence_bert": sentences, "universal_sentence_encoder": sentences, "tagger": tokens, "reader": tokens,
}
"""By the value of --architecture."""


def of(settings: Experiment) -> ModuleType:
    """The module of an experiment's architecture."""
    return ARCHITECTURES[settings.architecture]


def planned(settings: Experiment, different_words: int, mesh: Mesh, initial: Any = None) -> Job:
    """The job over a corpus that is not there, of so many different words: for `lower`.

    `initial` is what `build` takes to go on from.
    """
    architecture = of(settings)
    return architecture.build(settings, architecture.imagined(settings, different_words), mesh, initial)
