"""What training goes on from: the model that --start_from names, as the flags want it."""
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from embeddings import encoder
from embeddings.contextual import folder as folders
from embeddings.contextual import words
from embeddings.contextual.elmo import Elmo
from embeddings.contextual.model import Contextual
from embeddings.experiment import Experiment, SentenceBert
from embeddings.formats.sentence_transformers import Dense
from embeddings.levels import sequences
from embeddings.models import sentence_bert
from embeddings.models.pooling import NORMALIZE
from embeddings.parts.sentences import Tune
from embeddings.problems import UsageProblem


def model(settings: Experiment, texts: Callable[[], Iterator[str]]) -> Contextual | None:
    """The model that --start_from names, over the words of `texts` where it makes words of their characters (ELMo).

    Raises UsageProblem where it is none that gives states of tokens, and for what such a model cannot do.
    """
    if not settings.start_from:
        return None
    found = encoder.load(settings.start_from)
    if isinstance(found, encoder.WordVectors):
        found = words.model(found.words, np.asarray(found.vectors), found.tokenizer)
    _check_layer(settings, found)
    if isinstance(found, Elmo):
        if getattr(settings.model, "joined", False):
            raise UsageProblem(f"--{settings.architecture}.joined=true: --start_from={settings.start_from} is ELMo, "
                               "which reads single texts: leave it out")
        given = settings.architecture == "tagger" or settings.text.tokenizer == "whitespace"
        cut = dataclasses.replace(found.tokenizer, tokenizer="whitespace") if given else found.tokenizer
        found = words.of_elmo(dataclasses.replace(found, tokenizer=cut), texts(), settings.tune.elmo_layer)
    if not isinstance(found, Contextual):
        raise UsageProblem(f"--start_from={settings.start_from} is no contextual model: name another")
    if not found.config.is_transformer:
        _check_no_transformer(settings)
    sequences.check_sizes(settings, found)
    return dataclasses.replace(found, config=sequences.retrained(found.config, settings.model))


def _check_layer(settings: Experiment, model: Any) -> None:
    """Raises UsageProblem where one layer of ELMo is asked for and the model is another, or has fewer."""
    flag, start = f"--tune.elmo_layer={settings.tune.elmo_layer}", f"--start_from={settings.start_from}"
    if settings.tune.elmo_layer >= 0 and not isinstance(model, Elmo):
        raise UsageProblem(f"{flag} is for ELMo, which {start} is not: leave it out")
    if isinstance(model, Elmo) and settings.tune.elmo_layer > model.config.layers:
        raise UsageProblem(f"{flag}: {start} has 0 (the words' own vectors) to {model.config.layers}: lower it")


def _check_no_transformer(settings: Experiment) -> None:
    """Raises UsageProblem for what only a Transformer can do."""
    tune, default = settings.tune, Tune()
    asked = {"export": settings.export, "ablate.task": settings.ablate.task, "pieces.path": settings.pieces.path,
             "tune.layers": max(tune.layers, 0), "tune.only": tune.only.removeprefix(default.only),
             "tune.decay": tune.decay if tune.decay != default.decay else ""}
    for flag, value in asked.items():
        if value:
            raise UsageProblem(f"--{flag}={value} is for Transformers, which --start_from={settings.start_from} is "
                               "not: leave it out")


def with_steps(start: Contextual | None, part: SentenceBert) -> Contextual | None:
    """What training goes on from, BERT's pooler as a step after pooling where the flags have such a step."""
    if start and part.pooling == ("cls",) and part.dense[:1] == (start.config.stack.width,):
        return folders.with_pooler_as_step(start)
    return start


def steps(start: Contextual, config: sentence_bert.Config) -> list[tuple[np.ndarray, ...]]:
    """Kernel and bias of the first steps after pooling that a model has as a configuration wants them."""
    found: list[tuple[np.ndarray, ...]] = []
    for has, wanted in zip(start.pipeline.steps, config.steps, strict=False):
        scaling = not isinstance(has, Dense)
        same = (0, NORMALIZE) if scaling else (has.kernel.shape[1], has.activation)
        if start.pipeline.pooling != config.pooling or same != (wanted.width, wanted.activation):
            break
        bias = np.zeros(wanted.width, np.float32) if getattr(has, "bias", None) is None else has.bias
        found.append(() if scaling else (has.kernel, bias))
    return found
