"""Heads of classes in transformers' folders: in, out, and beside transformers and sentence-transformers."""
import dataclasses
import json

import jax
import numpy as np
import pytest
import small

import embeddings
from embeddings.contextual import card
from embeddings.contextual import folder as folders
from embeddings.contextual.classes import Head
from embeddings.contextual.tasks import form
from embeddings.contextual.tokens import Tagger
from embeddings.formats.sentence_transformers import Dense
from embeddings.formats.tasks import CLASSES, TASKS
from embeddings.objectives.sentences import SUM
from embeddings.problems import Problem, UsageProblem
from embeddings.tokenizers.pieces import Pieces

PAIRS = [("the bank of the river", "one two"), ("money", "money, money and the banks of money " * 4),
         ("walked by a river . " * 9, "two sat on the bank " * 9), ("five", "")]
PIECES = {"roberta": ("bpe", "roberta"), "xlm-roberta": ("unigram", None), "mpnet": ("wordpiece", "mpnet"),
          "gpt2": ("bpe", "roberta"), "openai-gpt": ("bpe", "roberta")}  # one with a token that fills rows up
reference = pytest.mark.reference
quiet = pytest.mark.filterwarnings("ignore")


def headed(folder, family="bert", classes=("no", "yes", "maybe"), joined=True):
    """A small model with a head as its family has it; `folder` is where its tokenizer is put."""
    draw = np.random.default_rng(3)
    kernel, bias, out, shift = (draw.normal(size=shape).astype(np.float32) for shape in (
        (16, 16), 16, (16, len(classes) or 1), len(classes) or 1))
    kind, template = PIECES.get(family, ("wordpiece", None))
    pieces = Pieces.train(kind, small.TEXTS * 20, 300, lower=kind == "wordpiece", template=template)
    config = dataclasses.replace(small.CONFIGS[family], vocabulary=pieces.size)
    config = dataclasses.replace(config, pooler=False) if hasattr(config, "pooler") else config
    model = folders.in_use(family, config, small.drawn(family, config), pieces, tuple(jax.devices()[:1]))
    pooling, dense = form(family, 16)
    steps = tuple(Dense(kernel, bias, activation) for _, activation in dense)
    params = {"kernel": out, "bias": shift} if steps else {"kernel": out}
    pipeline = dataclasses.replace(model.pipeline, pooling=pooling, steps=steps, joined=joined)
    return dataclasses.replace(model, pipeline=pipeline, head=Head(classes, ("u",), params))


def logits(model, pairs):
    """What comes before the softmax."""
    return model.encode(pairs) @ model.head.params["kernel"] + model.head.params.get("bias", 0)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2"])  # a table each, which others share
def test_a_head_comes_back(family, tmp_path):
    model = headed(tmp_path, family)
    folders.write(tmp_path / "out", model, card.card(model, tmp_path))
    back = embeddings.load(tmp_path / "out")
    assert (back.head.classes, back.pipeline.joined, back.longest) == (model.head.classes, None, model.longest)
    assert "pooler" not in back.params and back.pipeline.pooling == model.pipeline.pooling
    assert "Classes: no, yes, maybe." in (tmp_path / "out/README.md").read_text()
    with pytest.warns(UserWarning, match="more than 24 tokens"):
        found, expected = back.classify(PAIRS), model.classify(PAIRS)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    assert back.classify(["one two"]).probabilities.shape == (1, 3), "either is read where nobody says which"
    with pytest.raises(UsageProblem, match="text 1 \\(from 0\\): pairs are read, not single texts"):
        back.classify([("a", "b"), "c"])
    with pytest.raises(Problem, match="text 1 \\(from 0\\) is tuple, not a string"):
        back.classify(["a", ("b", "c")])


def test_a_number_comes_back(tmp_path):
    model = headed(tmp_path, classes=())
    folders.write(tmp_path / "out", model)
    back = embeddings.load(tmp_path / "out")
    assert back.head.classes == () and not hasattr(back, "classify")
    np.testing.assert_allclose(back.predict(PAIRS[:1]), model.predict(PAIRS[:1]), atol=1e-6)


@pytest.mark.parametrize("family", ["openai-gpt", "bert"])
@pytest.mark.filterwarnings("ignore:.*more than 24 tokens")
def test_both_orders_of_a_pair_are_added(family, tmp_path):
    one = headed(tmp_path, family)
    both = dataclasses.replace(one, head=dataclasses.replace(one.head, parts=(SUM,)))
    turned = [pair[::-1] for pair in PAIRS]
    u, v = one.encode(PAIRS), one.encode(turned)
    assert np.abs(u - v).max() > 0.01
    scores = (u + v) @ one.head.params["kernel"] + one.head.params.get("bias", 0)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(both.classify(PAIRS).probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(both.classify(turned).probabilities, expected, atol=1e-5)
    number = dataclasses.replace(both, head=dataclasses.replace(both.head, classes=()))
    np.testing.assert_allclose(number.predict([list(pair) for pair in turned]), scores[:, 0], atol=1e-5)
    assert both.classify([]).probabilities.shape == one.classify([]).probabilities.shape == (0, 3)
    with pytest.raises(UsageProblem, match="text 1 \\(from 0\\): pairs are read, not single texts"):
        both.classify([("a", "b"), "ab"])
    with pytest.raises(Problem, match=r"reads pairs in both orders .* its run's folder is what there is of it"):
        folders.write(tmp_path / "out", both)
    assert not (tmp_path / "out").exists()


def test_a_head_of_another_form_is_not_written(tmp_path):
    model = headed(tmp_path)
    mean = dataclasses.replace(model, pipeline=dataclasses.replace(model.pipeline, pooling=("mean",)))
    with pytest.raises(Problem, match="pooling cls and one tanh layer of width 16; its run's folder is what"):
        folders.write(tmp_path / "out", mean)
    single = dataclasses.replace(mean, pipeline=dataclasses.replace(mean.pipeline, joined=False))
    folders.write(tmp_path / "single", single)
    assert (tmp_path / "single/modules.json").is_file()
    biased = headed(tmp_path, "openai-gpt")
    biased = dataclasses.replace(biased, head=dataclasses.replace(
        biased.head, params=biased.head.params | {"bias": np.ones(3, np.float32)}))
    with pytest.raises(Problem, match=r"OpenAIGPTForSequenceClassification has pooling lasttoken, .* without a bias"):
        folders.write(tmp_path / "out", biased)
    tagger = dataclasses.replace(biased, head=Tagger(("O", "B-a"), {"kernel": np.ones((16, 2), np.float32)}))
    with pytest.raises(Problem, match="transformers has no OpenAIGPTForTokenClassification: this model's run's folder"):
        folders.write(tmp_path / "out", tagger)
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.part").exists()


@pytest.mark.parametrize(("spoil", "says"), [
    ({"problem_type": "multi_label_classification"}, "multi_label_classification is not known here"),
    ({"id2label": {"0": "no", "1": "no"}}, "id2label has two labels of one name"),
    ({"architectures": ["DistilBertForSequenceClassification"]}, "class DistilBertForSequenceClassification is"),
])
def test_a_configuration_that_is_not_as_it_should_be(tmp_path, spoil, says):
    folders.write(tmp_path / "out", headed(tmp_path))
    folder = small.changed(tmp_path / "out", **spoil)
    with pytest.raises(Problem, match=says):
        embeddings.load(folder)


@pytest.mark.parametrize(("change", "says"), [
    (lambda found: found.pop("classifier.bias"), "classifier.bias is missing"),
    (lambda found: found.update({"classifier.weight": np.zeros((3, 5), np.float32)}),
     r"classifier.weight is \[3, 5\] instead of \[3, 16\]"),
    (lambda found: found.pop("bert.pooler.dense.weight"), "pooler.dense.weight is missing"),
])
def test_weights_that_are_not_as_they_should_be(tmp_path, change, says):
    folders.write(tmp_path / "out", headed(tmp_path))
    with pytest.raises(Problem, match=says):
        embeddings.load(small.rewritten(tmp_path / "out", change))


@reference
@quiet
@pytest.mark.parametrize("family", TASKS[CLASSES].tables)
def test_transformers_opens_what_was_written(family, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = headed(tmp_path, family)
    folders.write(tmp_path / "out", model)
    theirs, told = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    cut = AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = cut([a for a, _ in PAIRS], [b for _, b in PAIRS], truncation="longest_first", padding=True,
                return_tensors="pt")
    ids = model.tokenizer.joined(PAIRS, model.longest)[0]
    for n, row in enumerate(batch["input_ids"]):
        mine, real = slice(*ids.starts[n : n + 2]), batch["attention_mask"][n].bool()
        assert ids.ids[mine].tolist() == row[real].tolist()
        if "token_type_ids" in batch:
            assert ids.types[mine].tolist() == batch["token_type_ids"][n][real].tolist()
    with torch.no_grad():
        expected = theirs.eval()(**batch).logits.numpy()
    np.testing.assert_allclose(logits(model, PAIRS), expected, atol=1e-5)
    assert theirs.config.id2label == {0: "no", 1: "yes", 2: "maybe"}


@reference
@quiet
@pytest.mark.parametrize("classes", [(), ("no", "yes", "maybe")])
def test_sentence_transformers_opens_what_was_written(classes, tmp_path):
    from sentence_transformers import CrossEncoder

    model = headed(tmp_path, classes=classes)
    folders.write(tmp_path / "out", model)
    opened = CrossEncoder(str(tmp_path / "out"), device="cpu")
    expected = opened.predict(PAIRS)
    assert opened.max_seq_length == model.longest
    np.testing.assert_allclose(logits(model, PAIRS) if classes else model.predict(PAIRS), expected, atol=1e-5)
    opened.save_pretrained(str(tmp_path / "theirs"))
    np.testing.assert_allclose(logits(embeddings.load(tmp_path / "theirs"), PAIRS).reshape(expected.shape), expected,
                               atol=1e-5)


@reference
@quiet
@pytest.mark.parametrize("family", TASKS[CLASSES].tables)
def test_what_transformers_wrote_is_opened(family, tmp_path):
    """Random models of theirs, as they save them."""
    import torch
    import transformers

    folders.write(tmp_path / "ours", headed(tmp_path, family))
    said = json.loads((tmp_path / "ours/config.json").read_text())
    config = transformers.AutoConfig.from_pretrained(tmp_path / "ours", num_labels=2, initializer_range=0.5)
    torch.manual_seed(0)
    theirs = getattr(transformers, said["architectures"][0])(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    cut = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    cut.save_pretrained(tmp_path / "theirs")
    model = embeddings.load(tmp_path / "theirs")
    assert model.head.classes == ("LABEL_0", "LABEL_1")
    for asked in (PAIRS, ["the bank of the river", "one"]):
        sides = zip(*asked, strict=True) if asked is PAIRS else [asked]
        batch = cut(*map(list, sides), truncation="longest_first", max_length=model.longest, padding=True,
                    return_tensors="pt")
        with torch.no_grad():
            expected = theirs(**batch).logits
        np.testing.assert_allclose(logits(model, asked), expected.numpy(), atol=1e-5)
        p = torch.softmax(expected, -1).numpy()
        np.testing.assert_allclose(model.classify(asked).probabilities, p, atol=1e-5)


@reference
@quiet
@pytest.mark.parametrize("room", [5, 6, 7, 12, 13])
def test_pairs_are_cut_as_transformers_cuts_them(room, tmp_path):
    """Every two lengths, so that either text, both or none is cut."""
    import transformers

    pieces = small.tokenizer(tmp_path)
    pieces.save(tmp_path)
    cut = transformers.AutoTokenizer.from_pretrained(tmp_path)
    pairs = [(" ".join(["one two three"] * a), " ".join(["river"] * b)) for a in range(4) for b in range(9)]
    ours, number = pieces.joined(pairs, room)
    theirs = cut(*map(list, zip(*pairs, strict=True)), truncation="longest_first", max_length=room)
    assert [part.tolist() for part in np.split(ours.ids, ours.starts[1:-1])] == theirs["input_ids"]
    assert [part.tolist() for part in np.split(ours.types, ours.starts[1:-1])] == theirs["token_type_ids"]
    assert number == sum(3 * a + b + 3 > room for a in range(4) for b in range(9))
