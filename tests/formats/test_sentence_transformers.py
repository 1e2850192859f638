"""What stands beside a model in a folder of sentence-transformers."""
import json

import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.formats import sentence_transformers
from embeddings.formats.sentence_transformers import MODES, Dense, Normalize, Pipeline
from embeddings.models.pooling import pooled
from embeddings.problems import Problem

KERNEL = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
WHOLE = Pipeline(("mean", "max"), (Dense(KERNEL, np.ones(4, np.float32), "tanh"), Normalize()), 20,
                 {"query": "query: ", "passage": ""}, "query", False, True)


def put(folder, **files):
    """Files of JSON; `__` stands for a folder's end."""
    for name, value in files.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def modules(*kinds):
    """modules.json of old or new type names."""
    return [{"idx": n, "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.models.{kind}"}
            for n, kind in enumerate(kinds)]


def refused(folder, says):
    with pytest.raises(Problem, match=says) as problem:
        sentence_transformers.read(folder)
    assert "\n" not in str(problem.value)


def test_a_folder_comes_back(tmp_path):
    sentence_transformers.write(tmp_path, WHOLE, 3)
    got = sentence_transformers.read(tmp_path)
    dense, last = got.steps
    np.testing.assert_array_equal(dense.kernel, KERNEL)
    np.testing.assert_array_equal(dense.bias, np.ones(4))
    assert dense.activation == "tanh" and isinstance(last, Normalize)
    assert (got.pooling, got.longest, got.lower, got.prompt, got.prompt_counts) == (("mean", "max"), 20, True, "query",
                                                                                   False)
    assert dict(got.prompts) == dict(WHOLE.prompts)
    assert sentence_transformers.model_folder(tmp_path) == tmp_path


def test_a_model_alone_is_averaged(tmp_path):
    assert vars(sentence_transformers.read(tmp_path)) == vars(Pipeline())
    assert sentence_transformers.read(put(tmp_path, tokenizer_config={"model_max_length": 77})).longest == 77
    assert sentence_transformers.read(put(tmp_path, tokenizer_config={"model_max_length": 10**30})).longest is None
    assert sentence_transformers.read(put(tmp_path, sentence_bert_config={"max_seq_length": 9})).longest == 9


@pytest.mark.parametrize(("flags", "pooling"), [
    ({}, ("mean",)),
    ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
    ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ("max", "mean")),
    ({"pooling_mode": "lasttoken"}, ("lasttoken",)),
    ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
])
def test_pooling_of_old_and_of_new(tmp_path, flags, pooling):
    put(tmp_path, modules=modules("Transformer", "Pooling", "Dropout"), **{"1_Pooling__config": flags})
    got = sentence_transformers.read(tmp_path)
    assert got.pooling == pooling and not got.steps and got.prompt_counts


def test_a_transformer_with_a_folder_of_its_own(tmp_path):
    said = modules("Transformer", "Pooling")
    said[0]["path"] = "0_Transformer"
    put(tmp_path, modules=said, **{"1_Pooling__config": {}})
    assert sentence_transformers.model_folder(tmp_path) == tmp_path / "0_Transformer"


@pytest.mark.parametrize(("files", "says"), [
    ({"modules": modules("Transformer", "Pooling", "LSTM")}, "module LSTM is not known here, only Transformer, "),
    ({"modules": modules("Pooling")}, "the first module is no Transformer"),
    ({"modules": modules("Transformer", "Normalize")}, "no Pooling among the modules"),
    ({"modules": "{"}, r"modules\.json: no JSON"),
    ({"modules": {"a": 1}}, r"modules\.json: expected a list"),
    ({"modules": modules("Transformer", "Pooling")}, r"1_Pooling/config\.json: no JSON"),
    ({"modules": modules("Transformer", "Pooling"), "1_Pooling__config": {"pooling_mode": "median"}},
     "pooling mode 'median' is not known here, only cls"),
    ({"config_sentence_transformers": {"default_prompt_name": "q"}}, "default_prompt_name 'q' is none of the prompts"),
])
def test_what_is_broken_or_not_known(tmp_path, files, says):
    refused(put(tmp_path, **files), says)


@pytest.mark.parametrize(("values", "says"), [
    ({"activation_function": "torch.nn.modules.activation.Mish"}, "activation Mish is not known here"),
    ({"out_features": 5}, r"linear\.weight is \[4, 6\] where config\.json says \[5, 6\]"),
])
def test_a_linear_map_that_is_not_as_it_says(tmp_path, values, says):
    sentence_transformers.write(tmp_path, WHOLE, 3)
    path = tmp_path / "2_Dense/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    refused(tmp_path, says)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", MODES)
def test_pooling_modes_are_theirs(mode):
    """Their module and ours on the same states."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling

    draw = np.random.default_rng(0)
    states, lengths = draw.normal(size=(3, 7, 5)).astype(np.float32), np.array([7, 3, 1])
    there = (np.arange(7) < lengths[:, None]).astype(np.int32)
    theirs = Pooling(5, pooling_mode=mode)({"token_embeddings": torch.tensor(states),
                                            "attention_mask": torch.tensor(there)})["sentence_embedding"].numpy()
    ours = pooled(mode, jnp.asarray(states), jnp.asarray(there), jnp.broadcast_to(jnp.arange(7), (3, 7)), 1)[:, 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
