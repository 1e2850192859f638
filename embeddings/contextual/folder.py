"""Contextual models from folders, and into them, as transformers and sentence-transformers keep them."""
import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from embeddings.contextual.model import Contextual
from embeddings.formats import huggingface, sentence_transformers
from embeddings.formats.families import FAMILIES
from embeddings.formats.sentence_transformers import Pipeline
from embeddings.problems import Problem
from embeddings.tokenizers.pieces import Pieces

TOKENIZER = "tokenizer"
"""What a run's folder calls the folder of its tokenizer."""


def read(
    folder: Path, dtype: Literal["float32", "bfloat16"] = "float32", devices: tuple[Any, ...] = ()
) -> Contextual:
    """The model of a folder. Raises Problem, one line, for what is missing, damaged, contradicting or not known."""
    pipeline = sentence_transformers.read(folder)
    place = sentence_transformers.model_folder(folder)
    loaded = huggingface.read(place)
    tokenizer = Pieces.load(place)
    if tokenizer.size > loaded.config.vocabulary:
        raise Problem(f"{place}: the tokenizer has {tokenizer.size:,} tokens, the model rows for "
                      f"{loaded.config.vocabulary:,}: they do not belong together; copy the folder again")
    if tokenizer.added() >= min(pipeline.longest or loaded.config.longest, loaded.config.longest):
        raise Problem(f"{folder}: texts of {pipeline.longest} tokens have no room for words: raise max_seq_length")
    config = dataclasses.replace(loaded.config, stack=dataclasses.replace(loaded.config.stack, dtype=dtype))
    return dataclasses.replace(in_use(loaded.family, config, loaded.params, tokenizer, devices), pipeline=pipeline)


def read_run(folder: Path, dtype: Literal["float32", "bfloat16"] | None = None) -> Contextual:
    """What a run over running text trained. Raises Problem where the folder has no checkpoint yet or is damaged."""
    from embeddings.training import checkpoint, run_folder
    from embeddings.training.architectures import sequences

    family, config = sequences.load(folder)
    _, params = checkpoint.read_params(folder / run_folder.CHECKPOINTS)
    if dtype:
        config = dataclasses.replace(config, stack=dataclasses.replace(config.stack, dtype=dtype))
    return in_use(family, config, jax.tree.map(np.asarray, params["model"]), Pieces.load(folder / TOKENIZER))


def in_use(family: str, config: Any, params: Any, tokenizer: Pieces, devices: tuple[Any, ...] = ()) -> Contextual:
    """A model as it is used after training; a text's vector is the mean of its tokens' states."""
    devices = devices or tuple(jax.local_devices())
    # A processor is fastest where the scores of a row stay in its cache; other devices want all rows at once.
    implementation = "rows" if devices[0].platform == "cpu" else "xla"
    stack = dataclasses.replace(config.stack, implementation=implementation, remat=False)
    config = dataclasses.replace(config, stack=stack)
    return Contextual(FAMILIES[family].model, family, config, params, tokenizer, Pipeline(), devices)


def write(folder: Path, model: Contextual) -> None:
    """Writes a folder that transformers and sentence-transformers open, with the same vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    huggingface.write(folder, model.family, model.config, model.params)
    model.tokenizer.save(folder)
    sentence_transformers.write(
        folder, dataclasses.replace(model.pipeline, longest=model.longest), model.config.stack.width
    )
