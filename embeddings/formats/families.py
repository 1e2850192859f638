"""Families of models as Hugging Face's transformers keeps them: what in their folders is which part of our parameters.

A family is a table of their modules and ours, and how their tensors lie. Import, export, and what is said of missing
tensors all come from it. Layouts, with theirs on the left:

    table     [rows, D]            the same
    norm      weight, bias         scale, bias
    linear    weight [out, in]     kernel [in, out], or [in, H, K]; bias as well
    merge     weight [out, in]     kernel [H, K, out]
    bare      weight [out, in]     kernel [in, out], without a bias
    conv      weight [in, out]     kernel [in, out] (GPT's); with a part, the n-th of three side by side
"""
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from embeddings.models import bert, gpt, transformer

Config = bert.Config | gpt.Config
ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
OPENAI_ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu"}
"""Those of OpenAI's GPT, whose gelu is the approximation by tanh."""


class Entry(NamedTuple):
    """A line of a table."""

    theirs: str
    """Module or tensor; {l} stands for the number of a layer."""
    ours: str
    """Path of the part of our parameters; `layers/` stands for transformer/layers/."""
    layout: str
    part: int | None = None
    """Which of three kernels that stand side by side."""


class Leaf(NamedTuple):
    """A tensor of theirs and a leaf of ours, of one layer where it is in one."""

    theirs: str
    ours: str
    layout: str
    part: int | None
    layer: int | None

    def read(self, theirs: np.ndarray, ours: tuple[int, ...]) -> np.ndarray:
        """Our leaf from their tensor."""
        if self.part is not None:
            theirs = np.split(theirs, 3, axis=-1)[self.part]
        return (theirs.T if self._turned(len(ours)) else theirs).reshape(ours)

    def written(self, ours: np.ndarray) -> np.ndarray:
        """Their tensor, or a part of it, from our leaf."""
        flat = ours.reshape(self._flat(ours.shape))
        return flat.T if self._turned(ours.ndim) else flat

    def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """What their tensor's shape has to be."""
        flat = self._flat(ours)
        theirs = flat[::-1] if self._turned(len(ours)) else flat
        return theirs if self.part is None else (*theirs[:-1], 3 * theirs[-1])

    def _turned(self, axes: int) -> bool:
        return axes > 1 and self.layout in ("linear", "merge", "bare")

    def _flat(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of our leaf with heads and their width as one axis."""
        if self.layout in ("table", "norm"):
            return ours
        kernel, merged = self.ours.endswith("kernel"), self.layout.endswith("merge")
        first = 0 if not kernel else len(ours) - 1 if merged else 1
        sizes = (ours[:first], ours[first:]) if kernel else (ours,)
        return tuple(int(np.prod(axes)) for axes in sizes)


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of model."""

    model: Any
    """Module with Config, init and apply."""
    prefix: str
    """What stands before their names where the model has a head."""
    read: Callable[[Mapping[str, Any]], Config]
    """Our configuration from theirs."""
    write: Callable[[Config], dict[str, Any]]
    """Theirs from ours."""
    table: tuple[Entry, ...]
    whole: str
    """Their class with the head that predicts words."""
    bare: str
    """Their class without it."""
    tied: str
    """Their second name for the word table, in the head that predicts words."""
    special: tuple[str, ...] = ()
    """Special tokens whose ids config.json takes from the tokenizer; others know the padding's by their positions."""

    def leaves(self, layers: int) -> Iterator[Leaf]:
        """All leaves that a model of the family can have."""
        return leaves(self.table, layers)


def leaves(table: tuple[Entry, ...], layers: int) -> Iterator[Leaf]:
    """All leaves of a table."""
    for theirs, ours, layout, part in table:
        ours = f"transformer/{ours}" if ours.startswith("layers/") else ours
        for their, our in _members(layout):
            for layer in range(layers) if "{l}" in theirs else (None,):
                yield Leaf((theirs + their).replace("{l}", str(layer)), ours + our, layout, part, layer)


def _members(layout: str) -> tuple[tuple[str, str], ...]:
    """Tensors of a module, theirs and ours."""
    if layout == "table":
        return (("", ""),)
    weight = (".weight", "/scale" if layout == "norm" else "/kernel")
    return (weight,) if layout == "bare" else (weight, (".bias", "/bias"))


def _transformer(
    config: Mapping[str, Any], names: Mapping[str, str], activations: Mapping[str, str] = ACTIVATIONS, **more: Any
) -> transformer.Config:
    """What all families say of their layers; `names` are theirs for ours."""
    width, heads = config[names["width"]], config[names["heads"]]
    activation = config.get(names["activation"], "gelu")
    if activation not in activations:
        raise ValueError(f"{names['activation']}={activation!r} is not one of {', '.join(activations)}")
    if width % heads:
        raise ValueError(f"{names['width']}={width} cannot be shared out among {names['heads']}={heads}")
    return transformer.Config(
        layers=config[names["layers"]], width=width, heads=heads, head_width=width // heads,
        feed_forward=config.get(names.get("feed_forward")) or 4 * width, activation=activations[activation],
        dropout=config.get(names["dropout"], 0.1), attention_dropout=config.get(names["attention_dropout"], 0.1),
        deviation=config.get("initializer_range", 0.02), **more,
    )


def _names(
    t: transformer.Config, names: Mapping[str, str], activations: Mapping[str, str] = ACTIVATIONS
) -> dict[str, Any]:
    """The other way round."""
    theirs = {ours: their for their, ours in reversed(activations.items())}
    return {their: theirs[t.activation] if ours == "activation" else getattr(t, ours) for ours, their in names.items()}


_NAMES = {"layers": "num_hidden_layers", "width": "hidden_size", "heads": "num_attention_heads",
          "feed_forward": "intermediate_size", "activation": "hidden_act", "dropout": "hidden_dropout_prob",
          "attention_dropout": "attention_probs_dropout_prob"}
_DISTILLED = {"layers": "n_layers", "width": "dim", "heads": "n_heads", "feed_forward": "hidden_dim",
              "activation": "activation", "dropout": "dropout", "attention_dropout": "attention_dropout"}
_GPT = {"layers": "n_layer", "width": "n_embd", "heads": "n_head", "feed_forward": "n_inner",
        "activation": "activation_function", "dropout": "resid_pdrop", "attention_dropout": "attn_pdrop"}
_OPENAI_GPT = {"layers": "n_layer", "width": "n_embd", "heads": "n_head", "activation": "afn", "dropout": "resid_pdrop",
               "attention_dropout": "attn_pdrop"}


def _read_bert(config: Mapping[str, Any], first_position: int = 0, mpnet: bool = False) -> bert.Config:
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute" or config.get("is_decoder") or config.get("add_cross_attention"):
        raise ValueError(f"position_embedding_type={kind!r}, decoders and cross-attention are not known here")
    return bert.Config(
        config["vocab_size"], config["max_position_embeddings"], first_position,
        types=0 if mpnet else config["type_vocab_size"],
        buckets=config.get("relative_attention_num_buckets", 32) if mpnet else 0,
        stack=_transformer(config, _NAMES, epsilon=config.get("layer_norm_eps", 1e-12)),
    )


def _write_bert(config: bert.Config) -> dict[str, Any]:
    t = config.stack
    written = {"vocab_size": config.vocabulary, "max_position_embeddings": config.positions, **_names(t, _NAMES),
               "layer_norm_eps": t.epsilon, "initializer_range": t.deviation, "pad_token_id": 0}
    if config.types:
        written["type_vocab_size"] = config.types
    if config.buckets:
        written["relative_attention_num_buckets"] = config.buckets
    return written | ({"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2} if config.first_position else {})


def _read_distilbert(config: Mapping[str, Any]) -> bert.Config:
    return bert.Config(config["vocab_size"], config["max_position_embeddings"], types=0, pooler=False,
                       stack=_transformer(config, _DISTILLED))


def _write_distilbert(config: bert.Config) -> dict[str, Any]:
    t = config.stack
    return {"vocab_size": config.vocabulary, "max_position_embeddings": config.positions, **_names(t, _DISTILLED),
            "initializer_range": t.deviation, "pad_token_id": 0}


def _read_gpt(config: Mapping[str, Any]) -> gpt.Config:
    odd = [name for name in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention")
           if config.get(name)]
    if odd or not config.get("scale_attn_weights", True):
        raise ValueError(f"{', '.join(odd) or 'scale_attn_weights=false'} is not known here")
    t = _transformer(config, _GPT, epsilon=config.get("layer_norm_epsilon", 1e-5), norm="pre", last_norm=True,
                     causal=True)
    return gpt.Config(config["vocab_size"], config.get("n_positions", 1024), t)


def _write_gpt(config: gpt.Config) -> dict[str, Any]:
    t = config.stack
    return {"vocab_size": config.vocabulary, "n_positions": config.positions, **_names(t, _GPT),
            "embd_pdrop": t.dropout, "layer_norm_epsilon": t.epsilon, "initializer_range": t.deviation}


def _read_openai_gpt(config: Mapping[str, Any]) -> gpt.Config:
    t = _transformer(config, _OPENAI_GPT, OPENAI_ACTIVATIONS, epsilon=config.get("layer_norm_epsilon", 1e-5),
                     causal=True)
    return gpt.Config(config["vocab_size"], config.get("n_positions", 512), t)


def _write_openai_gpt(config: gpt.Config) -> dict[str, Any]:
    t = config.stack
    return {"vocab_size": config.vocabulary, "n_positions": config.positions,
            **_names(t, _OPENAI_GPT, OPENAI_ACTIVATIONS), "embd_pdrop": t.dropout, "layer_norm_epsilon": t.epsilon,
            "initializer_range": t.deviation}


def _bert(attention: str, merge: str, norm: str, predictions: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The table of BERT-like models, by what they call the parts of attention ({} for query, key and value)."""
    layer = "encoder.layer.{l}."
    names = attention.split()
    return (
        Entry("embeddings.word_embeddings.weight", "words", "table"),
        Entry("embeddings.position_embeddings.weight", "positions", "table"),
        Entry("embeddings.token_type_embeddings.weight", "types", "table"),
        Entry("embeddings.LayerNorm", "norm", "norm"),
        *(Entry(layer + theirs, f"layers/attention/{ours}", "linear")
          for theirs, ours in zip(names, ("query", "key", "value"), strict=True)),
        Entry(layer + merge, "layers/attention/output", "merge"),
        Entry(layer + norm, "layers/attention_norm", "norm"),
        Entry(layer + "intermediate.dense", "layers/feed_forward/input", "linear"),
        Entry(layer + "output.dense", "layers/feed_forward/output", "linear"),
        Entry(layer + "output.LayerNorm", "layers/feed_forward_norm", "norm"),
        Entry("encoder.relative_attention_bias.weight", "distances", "table"),
        Entry("pooler.dense", "pooler", "linear"),
        *predictions,
    )


def _predictions(transform: str, norm: str, bias: str) -> tuple[Entry, ...]:
    """The head that predicts words; its names have no prefix."""
    return (
        Entry(transform, "predictions/transform", "linear"),
        Entry(norm, "predictions/norm", "norm"),
        Entry(bias, "predictions/bias", "table"),
    )


_LM_HEAD = _predictions("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
_SELF = "attention.self.query attention.self.key attention.self.value"
_BERT = _bert(_SELF, "attention.output.dense", "attention.output.LayerNorm", _predictions(
    "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"))
_ROBERTA = _bert(_SELF, "attention.output.dense", "attention.output.LayerNorm", _LM_HEAD)
_MPNET = _bert(
    "attention.attn.q attention.attn.k attention.attn.v", "attention.attn.o", "attention.LayerNorm", _LM_HEAD
)
_DISTILBERT = (
    *_BERT[:2],
    Entry("embeddings.LayerNorm", "norm", "norm"),
    *(Entry(f"transformer.layer.{{l}}.attention.{theirs}_lin", f"layers/attention/{ours}", layout)
      for theirs, ours, layout in (("q", "query", "linear"), ("k", "key", "linear"), ("v", "value", "linear"),
                                   ("out", "output", "merge"))),
    Entry("transformer.layer.{l}.sa_layer_norm", "layers/attention_norm", "norm"),
    Entry("transformer.layer.{l}.ffn.lin1", "layers/feed_forward/input", "linear"),
    Entry("transformer.layer.{l}.ffn.lin2", "layers/feed_forward/output", "linear"),
    Entry("transformer.layer.{l}.output_layer_norm", "layers/feed_forward_norm", "norm"),
    *_predictions("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
)


def _gpt(words: str, positions: str, *last: Entry) -> tuple[Entry, ...]:
    """The table of both GPTs, by what they call their tables of embeddings, and what comes after the layers."""
    return (
        Entry(words, "words", "table"),
        Entry(positions, "positions", "table"),
        Entry("h.{l}.ln_1", "layers/attention_norm", "norm"),
        *(Entry("h.{l}.attn.c_attn", f"layers/attention/{ours}", "conv", n)
          for n, ours in enumerate(("query", "key", "value"))),
        Entry("h.{l}.attn.c_proj", "layers/attention/output", "conv merge"),
        Entry("h.{l}.ln_2", "layers/feed_forward_norm", "norm"),
        Entry("h.{l}.mlp.c_fc", "layers/feed_forward/input", "conv"),
        Entry("h.{l}.mlp.c_proj", "layers/feed_forward/output", "conv"),
        *last,
    )


_OF_GPT = ("pad_token_id", "bos_token_id", "eos_token_id")
_READ_ROBERTA = functools.partial(_read_bert, first_position=2)
FAMILIES = {
    "bert": Family(bert, "bert.", _read_bert, _write_bert, _BERT, "BertForMaskedLM", "BertModel",
                   "cls.predictions.decoder.weight", ("pad_token_id",)),
    "roberta": Family(bert, "roberta.", _READ_ROBERTA, _write_bert, _ROBERTA, "RobertaForMaskedLM", "RobertaModel",
                      "lm_head.decoder.weight"),
    "xlm-roberta": Family(bert, "roberta.", _READ_ROBERTA, _write_bert, _ROBERTA, "XLMRobertaForMaskedLM",
                          "XLMRobertaModel", "lm_head.decoder.weight"),
    "distilbert": Family(bert, "distilbert.", _read_distilbert, _write_distilbert, _DISTILBERT,
                         "DistilBertForMaskedLM", "DistilBertModel", "vocab_projector.weight", ("pad_token_id",)),
    "mpnet": Family(bert, "mpnet.", functools.partial(_read_bert, first_position=2, mpnet=True), _write_bert, _MPNET,
                    "MPNetForMaskedLM", "MPNetModel", "lm_head.decoder.weight"),
    "gpt2": Family(gpt, "transformer.", _read_gpt, _write_gpt,
                   _gpt("wte.weight", "wpe.weight", Entry("ln_f", "transformer/norm", "norm")), "GPT2LMHeadModel",
                   "GPT2Model", "lm_head.weight", _OF_GPT),
    "openai-gpt": Family(gpt, "transformer.", _read_openai_gpt, _write_openai_gpt,
                         _gpt("tokens_embed.weight", "positions_embed.weight"), "OpenAIGPTLMHeadModel",
                         "OpenAIGPTModel", "lm_head.weight", _OF_GPT),
}
"""By model_type of config.json."""
