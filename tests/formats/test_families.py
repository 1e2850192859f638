"""How their tensors become our leaves, and back; and each family beside transformers' own model."""
import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from embeddings.formats import huggingface, tasks
from embeddings.formats.families import FAMILIES, Leaf
from embeddings.formats.tasks import ANSWERS, CLASSES, TAGS, TASKS
from embeddings.inputs.sequences import Tokens
from embeddings.models import linear

LAYOUTS = [  # layout, part, name of ours, shape of ours, shape of theirs
    ("table", None, "words", (5, 3), (5, 3)),
    ("norm", None, "norm/scale", (3,), (3,)),
    ("linear", None, "x/kernel", (3, 5), (5, 3)),
    ("linear", None, "x/kernel", (6, 2, 3), (6, 6)),
    ("linear", None, "x/bias", (2, 3), (6,)),
    ("merge", None, "x/kernel", (2, 3, 5), (5, 6)),
    ("merge", None, "x/bias", (5,), (5,)),
    ("conv", None, "x/kernel", (3, 5), (3, 5)),
    ("conv", 1, "x/kernel", (4, 2, 3), (4, 18)),
    ("conv", 2, "x/bias", (2, 3), (18,)),
    ("conv merge", None, "x/kernel", (2, 3, 5), (6, 5)),
]


@pytest.mark.parametrize(("layout", "part", "name", "ours", "theirs"), LAYOUTS)
def test_a_leaf_is_read_and_written(layout, part, name, ours, theirs):
    leaf = Leaf("t", name, layout, part, None)
    assert leaf.shape(ours) == theirs
    array = np.random.default_rng(0).normal(size=theirs)
    read = leaf.read(array, ours)
    assert read.shape == ours
    mine = array if part is None else np.split(array, 3, axis=-1)[part]
    np.testing.assert_array_equal(leaf.written(read), mine)


def test_kernels_multiply_as_theirs_do():
    """y = x W^T with W [out, in] is x times our kernel, whose outputs are heads and their width."""
    draw = np.random.default_rng(0)
    w, x = draw.normal(size=(6, 4)), draw.normal(size=4)
    kernel = Leaf("t", "q/kernel", "linear", None, 0).read(w, (4, 2, 3))
    np.testing.assert_allclose(np.tensordot(x, kernel, 1).reshape(6), w @ x)
    w, z = draw.normal(size=(4, 6)), draw.normal(size=(2, 3))
    kernel = Leaf("t", "o/kernel", "merge", None, 0).read(w, (2, 3, 4))
    np.testing.assert_allclose(np.tensordot(z, kernel, 2), w @ z.reshape(6))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_leaf_of_a_model_has_a_line_in_the_table(family):
    config = small.CONFIGS[family]
    shapes = huggingface.leaf_shapes(FAMILIES[family], config)
    known = {leaf.ours for leaf in FAMILIES[family].leaves(config.stack.layers)}
    assert set(shapes) <= known
    names = [(leaf.theirs, leaf.part) for leaf in FAMILIES[family].leaves(config.stack.layers)]
    assert len(set(names)) == len(names), "no tensor is read twice"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_configuration_comes_back(family):
    config, kind = small.CONFIGS[family], FAMILIES[family]
    read = kind.read({**kind.write(config), "model_type": family})
    same = {name: getattr(config, name) for name in ("pooler", "predictions") if hasattr(config, name)}
    assert read == dataclasses.replace(
        config, **{name: getattr(read, name) for name in same},
        stack=dataclasses.replace(config.stack, epsilon=read.stack.epsilon))


@pytest.mark.parametrize(("family", "said", "says"), [
    ("bert", {"hidden_act": "silu"}, "hidden_act='silu' is not one of gelu"),
    ("bert", {"num_attention_heads": 5}, "hidden_size=16 cannot be shared out among num_attention_heads=5"),
    ("bert", {"position_embedding_type": "relative_key"}, "relative_key"),
    ("bert", {"is_decoder": True}, "decoders"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is not known"),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights=false"),
    ("openai-gpt", {"afn": "silu"}, "afn='silu' is not one of gelu, relu"),
])
def test_what_is_not_known_is_refused(family, said, says):
    kind = FAMILIES[family]
    with pytest.raises(ValueError, match=says):
        kind.read({**kind.write(small.CONFIGS[family]), **said})


# Beside transformers

AUTO = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "distilbert": "DistilBert",
        "mpnet": "MPNet", "gpt2": "GPT2", "openai-gpt": "OpenAIGPT"}
SIZES = {"vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 34}
SIZES_OF = {
    "distilbert": {"vocab_size": 40, "dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 48,
                   "max_position_embeddings": 34},
    "gpt2": {"vocab_size": 40, "n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 34, "bos_token_id": 0,
             "eos_token_id": 0},
    "openai-gpt": {"vocab_size": 40, "n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 34},
}
CASES = [*((family, head) for family, head in itertools.product(FAMILIES, (True, TAGS, ANSWERS))
           if head is True or TASKS[head].table(family)),
         ("bert", False), ("gpt2", False), ("gpt2", CLASSES), ("openai-gpt", False), ("openai-gpt", CLASSES)]
"""Heads of classes of other families than these stand after a pooler: tests/contextual/test_classifiers.py."""
LABELS = {0: "O", 1: "B-a", 2: "I-a"}
IDS = np.random.default_rng(0).integers(4, 40, (3, 20))
LENGTHS = np.array([20, 13, 1])
THERE = np.arange(20) < LENGTHS[:, None]


def tokens(there):
    """The same as our models read them."""
    positions = np.broadcast_to(np.arange(20), IDS.shape)
    return Tokens(*(jnp.asarray(a, jnp.int32) for a in (IDS, there, positions, np.zeros_like(IDS))))


def reference(family, head):
    """A model of transformers with random weights, biases and norms too; `head` is a task, or whether it has words'."""
    import torch
    import transformers

    torch.manual_seed(0)
    labels = {"id2label": LABELS} if head in (TAGS, CLASSES) else {}
    if head == CLASSES:
        labels["pad_token_id"] = 0  # which is none of IDS, but where THERE has nothing
    config = getattr(transformers, f"{AUTO[family]}Config")(**SIZES_OF.get(family, SIZES), **labels)
    if head in TASKS:
        model = getattr(transformers, f"AutoModelFor{head}").from_config(config).eval()
    else:
        model = getattr(transformers, getattr(FAMILIES[family], "whole" if head else "bare"))(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


def outputs(model):
    """States of all layers, and logits where the model has them; of the tokens that count."""
    import torch

    ids, mask = torch.tensor(np.where(THERE, IDS, 0)), torch.tensor(THERE)
    with torch.no_grad():
        said = model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
    states = torch.stack(said.hidden_states)[:, mask].numpy()
    if "start_logits" in said:
        return states, torch.stack([said.start_logits, said.end_logits], -1)[mask].numpy()
    if "logits" in said and said.logits.ndim == 2:
        return states, said.logits.numpy()
    return states, said.logits[mask].numpy() if "logits" in said else None


def ours(loaded, head):
    """The same of our model."""
    module = FAMILIES[loaded.family].model
    params = jax.tree.map(jnp.asarray, loaded.params)
    apply = jax.jit(lambda params: module.apply(params, loaded.config, tokens(THERE), outputs={"states"}).states)
    states = apply(params)[:, THERE]
    if head == CLASSES:
        last = states[-1][np.cumsum(LENGTHS) - 1]
        return np.asarray(states), np.asarray(linear.apply(loaded.head.params, last))
    if loaded.head:
        return np.asarray(states), np.asarray(linear.apply(loaded.head.params, states[-1]))
    return np.asarray(states), np.asarray(module.logits(params, loaded.config, states[-1])) if head else None


def assert_alike(got, expected):
    """To a part in 100,000 of what comes out, the largest of it or 1."""
    for a, b in zip(got, expected, strict=True):
        if b is not None:
            assert np.abs(a - b).max() <= 1e-5 * max(1, np.abs(b).max())


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")  # transformers' own
@pytest.mark.parametrize(("family", "head"), CASES)
def test_equal_to_transformers_both_ways(family, head, tmp_path):
    """Their folder gives the states and logits that they give; ours, opened by them, gives the same again."""
    theirs = reference(family, head)
    expected = outputs(theirs)
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = huggingface.read(tmp_path / "theirs")
    assert not loaded.unused and loaded.config.stack.layers == 3
    assert (loaded.head and loaded.head.task) == (head if head in TASKS else None)
    assert_alike(ours(loaded, head), expected)
    (tmp_path / "ours").mkdir()
    special = {"pad_token_id": 0} if head == CLASSES else {}
    huggingface.write(tmp_path / "ours", loaded.family, loaded.config, loaded.params, special, loaded.head)
    opened, said = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not said["missing_keys"] and not said["unexpected_keys"] and not said["mismatched_keys"], said
    again = outputs(opened.eval())
    np.testing.assert_array_equal(again[0], expected[0])
    if head:
        np.testing.assert_array_equal(again[1], expected[1])
    if head in TASKS:
        assert type(theirs).__name__ == tasks.class_name(FAMILIES[family], head)
        assert opened.config.id2label == theirs.config.id2label


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["bert", "gpt2", "openai-gpt"])
def test_gradients_are_those_of_transformers(family):
    """Of the sum of squares of what comes out, by the word table, in float32."""
    import torch

    theirs = reference(family, False)
    there = torch.ones(IDS.shape, dtype=torch.long)
    out = theirs(input_ids=torch.tensor(IDS), attention_mask=there).last_hidden_state
    (out * torch.linspace(-1, 1, 24)).sum().backward()
    table = theirs.get_input_embeddings().weight.grad.numpy()
    found = {name: parameter.detach().numpy() for name, parameter in theirs.named_parameters()}
    kind = FAMILIES[family]
    config = dataclasses.replace(kind.read(theirs.config.to_dict()), **(
        {"predictions": False} if family == "bert" else {}))
    shapes, flat = huggingface.leaf_shapes(kind, config), {}
    for leaf in kind.leaves(3):
        if leaf.ours in shapes:
            flat.setdefault(leaf.ours, []).append(leaf.read(found[leaf.theirs], shapes[leaf.ours]))
    params = huggingface.nested({path: np.stack(some) if path.startswith(huggingface.LAYERS) else some[0]
                                 for path, some in flat.items()})

    def loss(params):
        hidden = kind.model.apply(params, config, tokens(np.ones_like(IDS))).hidden
        return (hidden * np.linspace(-1, 1, 24, dtype=np.float32)).sum()

    gradient = jax.jit(jax.grad(loss))(params)
    assert np.abs(gradient["words"] - table).max() <= 1e-5 * max(1, np.abs(table).max())
    name = "encoder.layer.0.attention.output.dense.weight" if family == "bert" else "h.0.attn.c_proj.weight"
    kernel = dict(theirs.named_parameters())[name].grad.numpy()
    kernel = kernel.T if family == "bert" else kernel
    mine = np.asarray(gradient["transformer"]["layers"]["attention"]["output"]["kernel"])[0].reshape(kernel.shape)
    assert np.abs(mine - kernel).max() <= 1e-5 * max(1, np.abs(kernel).max())
