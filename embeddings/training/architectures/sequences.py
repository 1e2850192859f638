"""BERT and GPT-2 over running text, ready for the loop."""
import dataclasses
import functools
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from embeddings.experiment import Bert, Experiment, Transformer
from embeddings.files import write_whole
from embeddings.formats.families import FAMILIES
from embeddings.inputs import rows
from embeddings.inputs.sequences import Batches, Rows
from embeddings.models import averaging, bert, character_cnn, elmo, elmo_words, gpt, transformer
from embeddings.models.attention import SUITED
from embeddings.objectives.sequences import LanguageModel
from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers.frames import FIRST
from embeddings.tokenizers.pieces import Pieces
from embeddings.training import optimizer
from embeddings.training.dense import sequence_step
from embeddings.training.job import Job

MODELS: dict[str, ModuleType] = {"bert": bert, "gpt": gpt}
FAMILY = {"bert": "bert", "gpt": "gpt2"}
"""What a model that is made here is called in formats.families."""
AVERAGING, ELMO = "averaging", "elmo"
"""And the deep averaging network and ELMo, which are not among them."""
CONFIG = "model.json"
"""What a run's folder keeps of a model's configuration."""


class Text(NamedTuple):
    """A corpus as rows of tokens."""

    rows: Rows
    vocabulary: int
    """V."""
    mask: int | None = None
    special: frozenset[int] = frozenset()
    """Ids of special tokens."""


class Nothing:
    """A corpus of token 0, again and again."""

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and lines."""
        return np.zeros(stop - start, np.int32), np.zeros(stop - start, np.int32)


def prepare(settings: Experiment, tokens: Any, pieces: Pieces, cache: Path) -> Text:
    """The rows of a numbered corpus (corpus.shards.TokenShards), found in the cache or made.

    Raises Problem for a tokenizer without what the model needs.
    """
    before, after = frame(settings, pieces)
    special = frozenset(i for i in (pieces.pad, pieces.unknown, pieces.begin, pieces.end, pieces.mask) if i is not None)
    if settings.architecture == "bert" and pieces.mask is None:
        raise Problem("the tokenizer has no mask token, which BERT is trained with: choose another --pieces.path")
    length = settings.model.length
    index = rows.prepare(tokens, tokens.folder.name, length, len(before) + len(after), cache)
    mask = pieces.mask if settings.architecture == "bert" else None
    return Text(Rows(tokens, *index, length, before, after), pieces.size, mask, special)


def frame(settings: Experiment, pieces: Pieces) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Special tokens before and after a text; a causal model's texts end with the end token, so that it learns to."""
    if settings.architecture == "gpt":
        return (), () if pieces.end is None else (pieces.end,)
    ids = [part.id for part in pieces.frame()]
    at = ids.index(FIRST)
    return tuple(ids[:at]), tuple(ids[at + 1 :])


def imagined(settings: Experiment, different_words: int) -> Text:
    """Rows of one batch, each a whole text."""
    number, length = count(settings), settings.model.length
    text = Rows(Nothing(), np.arange(number + 1), np.arange(number) * length, np.full(number, length), length)
    return Text(text, settings.pieces.size, 4 if settings.architecture == "bert" else None)


def config(settings: Experiment, vocabulary: int) -> Any:
    """The configuration that the flags describe."""
    part: Transformer = settings.model
    bert_like = isinstance(part, Bert)
    if bert_like:
        return bert.Config(vocabulary, part.positions, pooler=False, stack=stack(part))
    return gpt.Config(vocabulary, part.positions, stack(part, gpt.Config().stack))


def stack(part: Transformer, like: transformer.Config | None = None) -> transformer.Config:
    """The layers that the flags describe, for the rest as BERT's or as those of `like`."""
    sizes = {
        "layers": part.layers, "width": part.width, "heads": part.heads, "head_width": part.width // part.heads,
        "feed_forward": part.feed_forward, "dropout": part.dropout, "attention_dropout": part.attention_dropout,
        "dtype": part.dtype, "remat": part.remat,
    }
    return dataclasses.replace(like, **sizes) if like else transformer.Config(**sizes)


def build(settings: Experiment, text: Text, mesh: Mesh, initial: tuple[Any, Any] | None = None) -> Job:
    """The job over rows, for a mesh; `initial` is a configuration and parameters to go on from.

    Raises UsageProblem for sizes that the mesh cannot split.
    """
    model = config(settings, text.vocabulary) if initial is None else initial[0]
    check(settings, model, mesh)
    module, part = MODELS[settings.architecture], settings.model
    split = mesh.shape["data"] * mesh.shape["fsdp"] * settings.train.chunks
    batches = Batches(
        text.rows, settings.seed, count(settings), text.vocabulary, text.mask, text.special,
        part.masked if isinstance(part, Bert) else 0.0, split,
    )
    steps = settings.train.steps or max(1, math.ceil(settings.train.epochs * batches.spans))
    rate = optimizer.schedule(settings.optimizer, steps)
    objective = LanguageModel(module, on(mesh, model))
    step = sequence_step(
        objective.loss, functools.partial(optimizer.build, settings.optimizer), rate, mesh,
        chunks=settings.train.chunks, seed=settings.seed,
        dropout=part.dropout > 0 or part.attention_dropout > 0,
    )

    def make(key: jax.Array, *start: Any) -> Any:
        return {"model": start[0] if start else module.init(key, model), "objective": objective.init(key)}

    return Job(
        step, make, () if initial is None else (initial[1],), batches, steps, rate,
        lambda state: step.parameters(state)["model"],
    )


def on(mesh: Mesh, model: Any) -> Any:
    """A model's configuration with the form of attention that is fastest on the devices of a mesh."""
    if not model.is_transformer:
        return model
    suited = SUITED.get(mesh.devices.flat[0].platform, "xla") if mesh.size == 1 else "xla"
    return dataclasses.replace(model, stack=dataclasses.replace(model.stack, implementation=suited))


def count(settings: Experiment) -> int:
    """Rows of a batch: as many as hold its tokens."""
    return max(1, settings.train.batch // settings.model.length)


def check(settings: Experiment, model: Any, mesh: Mesh) -> None:
    """Raises UsageProblem, naming the flag, for a size that the mesh cannot split."""
    stack, part = model.stack, settings.architecture
    fsdp, tensor = mesh.shape["fsdp"], mesh.shape["tensor"]
    for flag, size, parts in (("heads", stack.heads, tensor), ("feed_forward", stack.feed_forward, tensor),
                              ("width", stack.width, fsdp * tensor)):
        if size % parts:
            raise UsageProblem(f"--{part}.{flag}={size} cannot be split over {parts} devices: change it, --mesh.fsdp "
                               "or --mesh.tensor")


def save(folder: Path, family: str, model: Any) -> None:
    """Writes a configuration, and which of formats.families it belongs to, into a run's folder.

    Of ELMo that is the language model's: what words it was trained on does not matter, as it makes any of characters.
    """
    if isinstance(model, elmo_words.Config):
        said = {"family": ELMO, **dataclasses.asdict(model.elmo)}
    else:
        said = {"family": AVERAGING if isinstance(model, averaging.Config) else family, **dataclasses.asdict(model)}
    write_whole(folder / CONFIG, json.dumps(said, indent=1) + "\n")


def load(folder: Path) -> tuple[str, Any]:
    """The family and configuration of a run's folder. Raises Problem where they are missing or damaged."""
    try:
        said = json.loads((folder / CONFIG).read_bytes())
        family = said.pop("family")
        if family == AVERAGING:
            return family, averaging.Config(**said)
        if family == ELMO:
            spelt = said.pop("characters")
            filters = tuple(map(tuple, spelt.pop("filters")))
            spelt = character_cnn.Config(**spelt, filters=filters)
            return family, elmo_words.Config(elmo.Config(spelt, **said))
        stack = said.pop("stack")
        kept = tuple(map(tuple, stack.pop("kept")))
        return family, FAMILIES[family].model.Config(**said, stack=transformer.Config(**stack, kept=kept))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Problem(f"{folder / CONFIG}: no configuration of a model ({error!r}): copy the folder again") from None
