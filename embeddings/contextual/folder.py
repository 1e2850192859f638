"""Contextual models from folders, and into them, as transformers and sentence-transformers keep them."""
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from embeddings.contextual import removal, tasks
from embeddings.contextual.classes import Head
from embeddings.contextual.elmo import Elmo
from embeddings.contextual.model import Contextual
from embeddings.contextual.tokens import Reader, Tagger
from embeddings.files import write_whole
from embeddings.formats import huggingface, sentence_transformers
from embeddings.formats.sentence_transformers import Dense, Normalize, Pipeline
from embeddings.formats.tasks import CLASSES
from embeddings.models import averaging, elmo, elmo_words, sentence_bert
from embeddings.models.attention import SUITED
from embeddings.problems import Problem
from embeddings.tokenizers.pieces import Pieces

TOKENIZER = "tokenizer"
"""What a run's folder calls the folder of its tokenizer."""
SENTENCE = "sentence.json"
"""And the file that says how states become the vector of a text."""
TOKENS = "tokens.json"
"""And the file that says what is told of tokens."""
HEADS = "heads.json"
"""The file that says which heads are left of a model."""


def read(
    folder: Path, dtype: Literal["float32", "bfloat16"] = "float32", devices: tuple[Any, ...] = ()
) -> Contextual:
    """The model of a folder, with its head where that tells classes or a number, tags words or answers questions.

    Raises Problem, one line, for what is missing, damaged, contradicting or not known.
    """
    pipeline = sentence_transformers.read(folder)
    place = sentence_transformers.model_folder(folder)
    loaded = huggingface.read(place)
    tokenizer = Pieces.load(place)
    if tokenizer.size > loaded.config.vocabulary:
        raise Problem(f"{place}: the tokenizer has {tokenizer.size:,} tokens, the model rows for "
                      f"{loaded.config.vocabulary:,}: they do not belong together; copy the folder again")
    if tokenizer.added() >= min(pipeline.longest or loaded.config.longest, loaded.config.longest):
        raise Problem(f"{folder}: texts of {pipeline.longest} tokens have no room for words: raise max_seq_length")
    config = _in(loaded.config, dtype)
    params = jax.tree.map(jnp.asarray, loaded.params)  # or they would be in memory twice, as numpy's and as JAX's
    model = dataclasses.replace(in_use(loaded.family, config, params, tokenizer, devices), pipeline=pipeline)
    if loaded.head and (loaded.head.task != CLASSES or sentence_transformers.alone(folder)):
        model = tasks.used(model, loaded.head, place / huggingface.CONFIG)
    return _without_removed(model, place / HEADS) if (place / HEADS).is_file() else model


def _without(model: Contextual, part: str) -> Contextual:
    """The model without an optional part of its parameters."""
    params = {name: some for name, some in model.params.items() if name != part}
    there = {part: False} if hasattr(model.config, part) else {}
    return dataclasses.replace(model, params=params, config=dataclasses.replace(model.config, **there))


def with_pooler_as_step(model: Contextual) -> Contextual:
    """BERT's pooler, where a model has one, as what it is: a step after pooling by the first token."""
    if "pooler" not in model.params:
        return model
    pooler = model.params["pooler"]
    step = Dense(np.asarray(pooler["kernel"]), np.asarray(pooler["bias"]), "tanh")
    pipeline = dataclasses.replace(model.pipeline, pooling=("cls",), steps=(step,))
    return dataclasses.replace(_without(model, "pooler"), pipeline=pipeline)


def _without_removed(model: Contextual, path: Path) -> Contextual:
    """The model of the heads that a file keeps. Raises Problem where it names others or is damaged."""
    try:
        kept = tuple(tuple(map(int, some)) for some in json.loads(path.read_bytes())["kept"])
        there = removal.heads(model)
        sound = len(kept) == len(there) and all(set(a) <= set(b) and list(a) == sorted(set(a))
                                                for a, b in zip(kept, there, strict=True))
    except (OSError, ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        raise Problem(f"{path}: no list of the heads that are left of each layer: copy the folder again, or delete the "
                      "file to read all heads")
    return removal.removed(model, kept)


def read_run(folder: Path, dtype: Literal["float32", "bfloat16"] | None = None) -> Contextual | Elmo:
    """What a run over running text trained. Raises Problem where the folder has no checkpoint yet or is damaged."""
    from embeddings.training import run_folder
    from embeddings.training.architectures import sequences

    _, params = run_folder.read_params(folder)
    if (folder / SENTENCE).is_file():
        return _read_sentence_run(folder, params, dtype)
    if (folder / TOKENS).is_file():
        return _read_tokens_run(folder, params, dtype)
    family, config = sequences.load(folder)
    params = jax.tree.map(np.asarray, params["model"])
    return in_use(family, _in(config, dtype), params, Pieces.load(folder / TOKENIZER))


def save_sentence_model(
    folder: Path, family: str, config: sentence_bert.Config, longest: int, classes: tuple[str, ...] = (),
    parts: tuple[str, ...] = (), joined: bool = False,
) -> None:
    """Writes what a run's folder keeps of a model of sentences, and of the classes that it tells by `parts`, if any.

    `joined` says whether it reads pairs of texts as one.
    """
    from embeddings.training.architectures import sequences

    sequences.save(folder, family, config.encoder)
    said = {"pooling": config.pooling, "steps": [[s.width, s.activation] for s in config.steps], "longest": longest,
            "classes": classes, "parts": parts, "joined": joined}
    write_whole(folder / SENTENCE, json.dumps(said, indent=1) + "\n")


def _read_sentence_run(folder: Path, params: Any, dtype: str | None) -> Contextual | Elmo:
    from embeddings.training.architectures import sequences

    family, encoder = sequences.load(folder)
    try:
        said = json.loads((folder / SENTENCE).read_bytes())
        steps = tuple(sentence_bert.Step(width, activation) for width, activation in said["steps"])
        config = sentence_bert.Config(encoder, tuple(said["pooling"]), steps)
        longest, classes, parts = said["longest"], tuple(said["classes"]), tuple(said["parts"])
        joined = said.get("joined", False)  # runs of old do not say it
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Problem(f"{folder / SENTENCE}: no model of sentences ({error!r}): copy the folder again") from None
    model = sentence_model(family, config, params["model"], Pieces.load(folder / TOKENIZER), longest, dtype, joined)
    head = Head(classes, parts, jax.tree.map(np.asarray, params["objective"])) if parts else None
    return dataclasses.replace(model, head=head)


def save_tokens_model(folder: Path, family: str, config: Any, longest: int, head: Tagger | Reader) -> None:
    """Writes what a run's folder keeps of a model that tells something of tokens; `head`'s parameters do not matter."""
    from embeddings.training.architectures import sequences

    sequences.save(folder, family, config)
    said = {"longest": longest, "tells": type(head).__name__}
    said |= {f.name: getattr(head, f.name) for f in dataclasses.fields(head) if f.name != "params"}
    write_whole(folder / TOKENS, json.dumps(said, indent=1) + "\n")


def _read_tokens_run(folder: Path, params: Any, dtype: str | None) -> Contextual | Elmo:
    from embeddings.training.architectures import sequences

    family, encoder = sequences.load(folder)
    try:
        said = json.loads((folder / TOKENS).read_bytes())
        longest, kind = said.pop("longest"), {"Tagger": Tagger, "Reader": Reader}[said.pop("tells")]
        if "classes" in said:
            said["classes"] = tuple(said["classes"])
        head = kind(params=params["objective"], **said)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Problem(f"{folder / TOKENS}: no model of tokens ({error!r}): copy the folder again") from None
    tokenizer = Pieces.load(folder / TOKENIZER)
    return tokens_model(family, encoder, params["model"]["model"], tokenizer, longest, head, dtype)


def tokens_model(
    family: str,
    config: Any,
    params: Any,
    tokenizer: Pieces,
    longest: int,
    head: Tagger | Reader,
    dtype: str | None = None,
) -> Contextual | Elmo:
    """A model that tells something of tokens, as it is used after training."""
    model = in_use(family, _in(config, dtype), jax.tree.map(np.asarray, params), tokenizer)
    head = dataclasses.replace(head, params=jax.tree.map(np.asarray, head.params))
    return dataclasses.replace(model, pipeline=Pipeline(longest=longest), head=head)


def sentence_model(
    family: str,
    config: sentence_bert.Config,
    params: Any,
    tokenizer: Pieces,
    longest: int,
    dtype: str | None = None,
    joined: bool = False,
) -> Contextual | Elmo:
    """A model of sentences as it is used after training; `joined` says whether it reads pairs of texts as one."""
    params = jax.tree.map(np.asarray, params)
    steps = tuple(
        Dense(*weights, step.activation) if step.width else Normalize()
        for step, weights in zip(config.steps, params["steps"], strict=True)
    )
    model = in_use(family, _in(config.encoder, dtype), params["model"], tokenizer)
    return dataclasses.replace(model, pipeline=Pipeline(config.pooling, steps, longest, joined=joined))


def _in(config: Any, dtype: str | None) -> Any:
    """A configuration whose products are taken in a type, as it is where none is asked for; means take no products."""
    if dtype is None or isinstance(config, averaging.Config):
        return config
    if isinstance(config, elmo_words.Config):
        return dataclasses.replace(config, elmo=dataclasses.replace(config.elmo, dtype=dtype))
    return dataclasses.replace(config, stack=dataclasses.replace(config.stack, dtype=dtype))


def in_use(
    family: str, config: Any, params: Any, tokenizer: Pieces, devices: tuple[Any, ...] = ()
) -> Contextual | Elmo:
    """A model as it is used after training; a text's vector is the mean of its tokens' states.

    ELMo reads any words, whichever its tokenizer knows from training.
    """
    devices = devices or tuple(jax.local_devices())
    if isinstance(config, elmo_words.Config):
        model, mix = {name: params[name] for name in ("characters", "lstm")}, elmo.Mix(**params["mix"])
        return Elmo(config.elmo, model, tokenizer.engine.cut, mix, devices)
    implementation = SUITED.get(devices[0].platform, "xla")
    if config.is_transformer:
        stack = dataclasses.replace(config.stack, implementation=implementation, remat=False)
        config = dataclasses.replace(config, stack=stack)
    return Contextual(sentence_bert.module(config), family, config, params, tokenizer, Pipeline(), devices)


def write(folder: Path, model: Contextual, card: str = "") -> None:
    """Writes a folder that transformers and sentence-transformers open, with the same vectors; whole or not at all.

    A tagger is a *ForTokenClassification there, a reader a *ForQuestionAnswering, whose bias is zeros if it has none,
    and a model that tells classes or numbers as its family's *ForSequenceClassification does is one of these, which
    sentence-transformers opens as a CrossEncoder. Heads of attention that were removed are zeros there; a file beside
    the weights has them removed when this package reads it. `card` is what its README.md says.

    Raises Problem where the folder is there, for a model that is no Transformer, and for a cross-encoder with another
    head.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Problem(f"{folder}: is there already: choose another name")
    if not model.config.is_transformer:
        raise Problem("this model is no Transformer but a mean of words, which no other library opens: its run's "
                      "folder is what there is of it")
    head = tasks.kept(model)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        pieces = model.tokenizer
        special = {"pad_token_id": pieces.pad, "bos_token_id": pieces.begin, "eos_token_id": pieces.end}
        whole = removal.filled(model)
        huggingface.write(part, whole.family, whole.config, whole.params, special, head)
        if model.config.stack.kept:
            write_whole(part / HEADS, json.dumps({"kept": model.config.stack.kept}) + "\n")
        pieces.save(part, model.longest)
        if not head or head.task != CLASSES:  # or it would open as a model of vectors
            pipeline = dataclasses.replace(model.pipeline, longest=model.longest)
            sentence_transformers.write(part, pipeline, model.config.stack.width)
        if card:
            write_whole(part / "README.md", card)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
