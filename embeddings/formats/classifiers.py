"""Heads that tell classes, or a number, of a text or a pair, as transformers' *ForSequenceClassification keep them.

With h_1 the state of a text's first token, what comes before the softmax is

    bert                        classifier(tanh(pooler.dense(h_1)))
    roberta xlm-roberta mpnet   classifier.out_proj(tanh(classifier.dense(h_1)))
    distilbert                  classifier(relu(pre_classifier(h_1)))

Cross-encoders of sentence-transformers are such folders. Whether a text is read or a pair, none of them says.
"""
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embeddings.formats import huggingface, tensors
from embeddings.formats.huggingface import Extra
from embeddings.formats.sentence_transformers import Dense
from embeddings.problems import Problem


class Kind(NamedTuple):
    """How a family keeps its head."""

    name: str
    """Their class."""
    dense: str
    """Tensors of the map of the first token's state."""
    activation: str
    output: str
    """And of the map that follows it."""


KINDS = {
    "bert": Kind("BertForSequenceClassification", "bert.pooler.dense", "tanh", "classifier"),
    "roberta": Kind("RobertaForSequenceClassification", "classifier.dense", "tanh", "classifier.out_proj"),
    "xlm-roberta": Kind("XLMRobertaForSequenceClassification", "classifier.dense", "tanh", "classifier.out_proj"),
    "distilbert": Kind("DistilBertForSequenceClassification", "pre_classifier", "relu", "classifier"),
    "mpnet": Kind("MPNetForSequenceClassification", "classifier.dense", "tanh", "classifier.out_proj"),
}
"""By family."""


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A head."""

    dense: Dense
    """Of the first token's state, D wide."""
    kernel: Float[np.ndarray, "D Y"]
    bias: Float[np.ndarray, "Y"]
    classes: tuple[str, ...]
    """Their names, Y of them; none where a number is told."""


def read(folder: Path) -> Classifier | None:
    """The head of a folder; None where it has none. Raises Problem for one that is broken or not known here."""
    said = huggingface.read_config(folder)
    kind = KINDS.get(said["model_type"])
    if kind is None or kind.name not in (said.get("architectures") or ()):
        return None
    path = folder / huggingface.CONFIG
    if said.get("problem_type") == "multi_label_classification":
        raise Problem(f"{path}: problem_type multi_label_classification is not known here, only one class of several")
    found = tensors.Tensors(folder)
    try:
        dense, output = ((found[f"{name}.weight"].T, found[f"{name}.bias"]) for name in (kind.dense, kind.output))
    except KeyError as error:
        raise Problem(f"{folder}: {error} of {kind.name} is missing: copy the folder again") from None
    Y = len(output[1])
    if dense[0].shape[1:] != output[0].shape[:1] or output[0].shape[1:] != (Y,):
        raise Problem(f"{folder}: {kind.dense} and {kind.output} are of sizes that do not go together: copy it again")
    names = said.get("id2label") or {}
    classes = tuple(str(names.get(str(n), f"LABEL_{n}")) for n in range(Y)) if Y > 1 else ()
    if len(set(classes)) != len(classes):
        raise Problem(f"{path}: id2label has two classes of one name: name one otherwise")
    return Classifier(Dense(*dense, kind.activation), *output, classes)


def extra(family: str, head: Classifier) -> Extra:
    """What huggingface.write adds of a head. `head.dense` is as the family's is, see `fits`."""
    kind = KINDS[family]
    names = head.classes or ("LABEL_0",)
    settings: dict[str, Any] = {
        "id2label": {str(n): name for n, name in enumerate(names)},
        "label2id": {name: n for n, name in enumerate(names)},
        "problem_type": "single_label_classification" if head.classes else "regression",
        # What their CrossEncoder does with a number; it would take the sigmoid.
        "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
    }
    weights = {kind.dense: (head.dense.kernel, head.dense.bias), kind.output: (head.kernel, head.bias)}
    arrays = {}
    for name, (kernel, bias) in weights.items():
        arrays |= {f"{name}.weight": np.ascontiguousarray(np.asarray(kernel).T), f"{name}.bias": np.asarray(bias)}
    return Extra(kind.name, arrays, settings)


def fits(family: str, dense: Dense) -> bool:
    """Whether a map of the first token's state is as a family has it before its head."""
    kind = KINDS.get(family)
    return bool(kind) and dense.activation == kind.activation and len(set(dense.kernel.shape)) == 1
