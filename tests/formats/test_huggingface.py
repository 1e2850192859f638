"""Folders of transformers: what is written comes back, and what is wrong with one is told in one line."""
import jax
import numpy as np
import pytest
import small

from embeddings.formats import huggingface
from embeddings.formats.families import FAMILIES
from embeddings.problems import Problem


@pytest.fixture(scope="module", params=FAMILIES)
def written(request, tmp_path_factory):
    """A family and a folder with its small model."""
    folder = tmp_path_factory.mktemp("written")
    huggingface.write(folder, request.param, small.CONFIGS[request.param], small.params(request.param))
    return request.param, folder


@pytest.fixture
def folder(tmp_path):
    """A small BERT's, to be spoilt."""
    huggingface.write(tmp_path, "bert", small.CONFIGS["bert"], small.params("bert"))
    return tmp_path


def refused(folder, says):
    with pytest.raises(Problem, match=says) as problem:
        huggingface.read(folder)
    assert "\n" not in str(problem.value) and str(folder) in str(problem.value)
    return str(problem.value)


def test_a_model_comes_back(written):
    family, folder = written
    loaded = huggingface.read(folder)
    assert (loaded.family, loaded.unused) == (family, ())
    assert loaded.config.stack.layers == 2 and loaded.config.longest == small.LONGEST
    jax.tree.map(np.testing.assert_array_equal, loaded.params, small.params(family))


def test_names_of_old_and_prefixes_and_other_heads(folder):
    def old(found):
        for name in list(found):
            new = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            found[new.removeprefix("bert.")] = found.pop(name)
        found["classifier.weight"] = np.zeros((2, 16), np.float32)

    loaded = huggingface.read(small.rewritten(folder, old))
    assert loaded.unused == ("classifier.weight",)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, small.params("bert"))


def test_a_model_without_heads_has_none(folder):
    def bare(found):
        for name in [name for name in found if "pooler" in name or name.startswith("cls.")]:
            del found[name]

    loaded = huggingface.read(small.rewritten(folder, bare))
    assert not loaded.config.pooler and not loaded.config.predictions
    assert not {"pooler", "predictions"} & set(loaded.params)


def test_all_that_is_wrong_with_the_weights_is_named_at_once(folder):
    layer = "bert.encoder.layer.1."

    def spoil(found):
        del found["bert.embeddings.LayerNorm.bias"]
        found["bert.embeddings.word_embeddings.weight"] = np.zeros((20, 16), np.float32)
        found[layer + "output.dense.weight"] = found[layer + "output.dense.weight"].T
        found["bert.encoder.layer.2.output.dense.bias"] = np.zeros(16, np.float32)

    said = refused(small.rewritten(folder, spoil), r"the weights are not as config\.json says")
    for part in ("embeddings.LayerNorm.bias is missing", f"{layer}output.dense.weight is [24, 16] instead of [16, 24]",
                 "word_embeddings.weight is [20, 16] instead of [25, 16]", "layer.2.output.dense.bias is of a layer"):
        assert part in said


def test_more_than_a_line_can_hold_is_counted(folder):
    def spoil(found):
        for name in list(found)[4:24]:
            del found[name]

    refused(small.rewritten(folder, spoil), r"; and 12 more$")


@pytest.mark.parametrize(("values", "says"), [
    ({"model_type": "t5"}, "model_type 't5' is not known here, only bert, roberta, xlm-roberta, distilbert, mpnet, "),
    ({"model_type": None}, "no configuration of a model"),
    ({"hidden_size": None}, "'hidden_size' is missing: this is no model"),
    ({"hidden_act": "swish"}, "hidden_act='swish' is not one of"),
    ({"num_hidden_layers": 1}, "layer.1.attention.self.query.weight is of a layer too many"),
    ({"num_hidden_layers": 3}, "encoder.layer.2.attention.self.query.weight is missing"),
    ({"intermediate_size": 32}, r"intermediate.dense.weight is \[24, 16\] instead of \[32, 16\]"),
    ({"num_attention_heads": 0}, "zero"),
])
def test_a_configuration_that_contradicts_the_weights_or_is_not_known(folder, values, says):
    refused(small.changed(folder, **values), says)


@pytest.mark.parametrize("content", ["{", "[]", "", None])
def test_a_configuration_that_is_none(folder, content):
    (folder / "config.json").write_text(content) if content is not None else (folder / "config.json").unlink()
    refused(folder, r"config\.json: no ")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(folder, value):
    def spoil(found):
        found["bert.encoder.layer.1.output.dense.weight"][3, 4] = value

    refused(small.rewritten(folder, spoil), r"layer\.1\.output\.dense\.weight has numbers that are not finite: copy")


def test_an_output_of_its_own_is_not_known(folder):
    """Ours is the word table."""
    table = small.params("bert")["words"]
    huggingface.read(small.rewritten(folder, lambda found: found.update({"cls.predictions.decoder.weight": table})))
    refused(small.rewritten(folder, lambda found: found.update({"cls.predictions.decoder.weight": table + 1})),
            "decoder.weight is not the word table")
