"""Folders of sentence-transformers, in and out: what is done with a model's states, beside the model itself.

    modules.json                       the steps: Transformer, Pooling, then Dense and Normalize in any order
    sentence_bert_config.json          max_seq_length; else model_max_length of tokenizer_config.json
    config_sentence_transformers.json  prompts that stand before texts
    N_Pooling/config.json              modes, as one name or several, or as flags of old
    N_Dense/                           config.json and model.safetensors
"""
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from embeddings.files import write_whole
from embeddings.formats import tensors
from embeddings.problems import Problem

MODULES, LENGTH, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_FLAGS = {"pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
          "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
          "pooling_mode_weightedmean_tokens": "weightedmean", "pooling_mode_lasttoken": "lasttoken"}
_ACTIVATIONS = {"Identity": "identity", "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "Sigmoid": "sigmoid"}
_ENDLESS = 1 << 20
"""A model_max_length above this stands for none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Dense:
    """A linear map of a text's vector, and a function of it by elements."""

    kernel: Float[np.ndarray, "D E"]
    bias: Float[np.ndarray, "E"] | None
    activation: str
    """identity, tanh, relu, gelu or sigmoid."""


@dataclasses.dataclass(frozen=True)
class Normalize:
    """Scaling to length 1."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pipeline:
    """What is done with texts before a model and with its states after it."""

    pooling: tuple[str, ...] = ("mean",)
    """Of MODES; the vectors of several stand side by side."""
    steps: tuple[Dense | Normalize, ...] = ()
    """What is done with the pooled vector, in this order."""
    longest: int | None = None
    """Tokens of a text at most, special ones included; None leaves it to the model."""
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What stands before a text, by name."""
    prompt: str | None = None
    """The prompt that is used unless another one is asked for."""
    prompt_counts: bool = True
    """Whether the tokens of a prompt are pooled with the others."""
    lower: bool = False
    """Whether texts are lower-cased before they reach the tokenizer."""
    joined: bool | None = False
    """Whether what is read are pairs of texts, each as one (a cross-encoder); None where nobody says, and either is."""


def read(folder: Path) -> Pipeline:
    """What the folder says; a model that is alone has its states averaged.

    Raises Problem, naming the file, for what is broken or not known here.
    """
    length = _json(folder / LENGTH) if (folder / LENGTH).is_file() else {}
    tokenizer = folder / "tokenizer_config.json"
    longest = length.get("max_seq_length") or (_json(tokenizer) if tokenizer.is_file() else {}).get("model_max_length")
    longest = int(longest) if isinstance(longest, int | float) and 0 < longest < _ENDLESS else None
    said = _json(folder / PROMPTS) if (folder / PROMPTS).is_file() else {}
    prompts, default = said.get("prompts") or {}, said.get("default_prompt_name")
    if not isinstance(prompts, dict) or (default is not None and default not in prompts):
        raise Problem(f"{folder / PROMPTS}: default_prompt_name {default!r} is none of the prompts: correct it")
    about = {"longest": longest, "prompts": prompts, "prompt": default, "lower": bool(length.get("do_lower_case"))}
    if alone(folder):
        return Pipeline(**about)
    pooling, steps = None, []
    for kind, path in _modules(folder):
        if kind == "Pooling":
            pooling = _pooling(path / "config.json")
        elif kind == "Dense":
            steps.append(_dense(path))
        elif kind == "Normalize":
            steps.append(Normalize())
    if pooling is None:
        raise Problem(f"{folder / MODULES}: no Pooling among the modules, so texts have no vectors")
    return Pipeline(*pooling[:1], steps=tuple(steps), prompt_counts=pooling[1], **about)


def alone(folder: Path) -> bool:
    """Whether no modules make vectors of the model's states: it has none beside it, or is a cross-encoder."""
    length = _json(folder / LENGTH) if (folder / LENGTH).is_file() else {}
    return not (folder / MODULES).is_file() or length.get("transformer_task") == "sequence-classification"


def model_folder(folder: Path) -> Path:
    """Where the Transformer's own files are: folders of old keep them in one of their own."""
    if not (folder / MODULES).is_file():
        return folder
    return next((path for kind, path in _modules(folder) if kind == "Transformer"), folder)


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """Kind and folder of each module."""
    path = folder / MODULES
    try:
        modules = [(module["type"].rpartition(".")[2], folder / module["path"]) for module in _json(path)]
    except (TypeError, KeyError, AttributeError):
        raise Problem(f"{path}: expected a list of modules with `type` and `path`: copy it again") from None
    known = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")
    for kind, _ in modules:
        if kind not in known:
            raise Problem(f"{path}: module {kind} is not known here, only {', '.join(known)}")
    if not modules or modules[0][0] != "Transformer":
        raise Problem(f"{path}: the first module is no Transformer: this is no model that is known here")
    return modules


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Problem(f"{path}: no JSON that can be read ({error}): copy it again") from None


def _pooling(path: Path) -> tuple[tuple[str, ...], bool]:
    """Modes, and whether prompts count."""
    config = _json(path)
    modes = config.get("pooling_mode") or tuple(mode for flag, mode in _FLAGS.items() if config.get(flag)) or ("mean",)
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    for mode in modes:
        if mode not in MODES:
            raise Problem(f"{path}: pooling mode {mode!r} is not known here, only {', '.join(MODES)}")
    return modes, bool(config.get("include_prompt", True))


def _dense(folder: Path) -> Dense:
    path = folder / "config.json"
    config = _json(path)
    activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise Problem(f"{path}: activation {activation} is not known here, only {', '.join(_ACTIVATIONS)}")
    found = tensors.Tensors(folder)
    try:
        kernel = found["linear.weight"].T
        bias = found["linear.bias"] if config.get("bias", True) else None
    except KeyError as error:
        raise Problem(f"{folder / tensors.WHOLE}: {error} is missing: copy the folder again") from None
    shape = config.get("in_features"), config.get("out_features")
    if kernel.shape != shape or (bias is not None and bias.shape != shape[1:]):
        raise Problem(f"{folder / tensors.WHOLE}: linear.weight is {list(kernel.T.shape)} where config.json says "
                      f"{list(shape[::-1])}: copy the folder again")
    return Dense(kernel, bias, _ACTIVATIONS[activation])


def write(folder: Path, pipeline: Pipeline, width: int) -> None:
    """Writes all but the model itself and its tokenizer; `width` is D of its states."""
    kinds = ["Transformer", "Pooling", *(type(step).__name__ for step in pipeline.steps)]
    homes = {"Transformer": "base.modules.transformer", "Pooling": "sentence_transformer.modules.pooling",
             "Dense": "base.modules.dense", "Normalize": "base.modules.normalize"}
    paths = ["", *(f"{n}_{kind}" for n, kind in enumerate(kinds[1:], 1))]
    modules = [{"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.{homes[kind]}.{kind}"}
               for n, (kind, path) in enumerate(zip(kinds, paths, strict=True))]
    for path, step in zip(paths[1:], (None, *pipeline.steps), strict=True):
        (folder / path).mkdir(parents=True, exist_ok=True)
        if isinstance(step, Dense):
            _write_dense(folder / path, step)
    _write_json(folder / paths[1] / "config.json", {
        "embedding_dimension": width, "pooling_mode": pipeline.pooling[0] if len(pipeline.pooling) == 1 else
        list(pipeline.pooling), "include_prompt": pipeline.prompt_counts})
    _write_json(folder / LENGTH, {"max_seq_length": pipeline.longest, "do_lower_case": pipeline.lower})
    _write_json(folder / PROMPTS, {"prompts": dict(pipeline.prompts), "default_prompt_name": pipeline.prompt,
                                   "similarity_fn_name": "cosine"})
    _write_json(folder / MODULES, modules)


def _write_dense(folder: Path, dense: Dense) -> None:
    theirs = {ours: name for name, ours in _ACTIVATIONS.items()}[dense.activation]
    place = "linear" if theirs == "Identity" else "activation"
    _write_json(folder / "config.json", {
        "in_features": dense.kernel.shape[0], "out_features": dense.kernel.shape[1], "bias": dense.bias is not None,
        "activation_function": f"torch.nn.modules.{place}.{theirs}"})
    bias = {} if dense.bias is None else {"linear.bias": dense.bias}
    tensors.write(folder, {"linear.weight": np.ascontiguousarray(dense.kernel.T), **bias})


def _write_json(path: Path, value: Any) -> None:
    write_whole(path, json.dumps(value, indent=2) + "\n")
