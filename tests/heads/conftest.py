"""Tiny Transformers with random weights, and texts for them."""
import dataclasses
import functools

import jax
import numpy as np
import pytest

from embeddings.contextual import folder
from embeddings.contextual.classes import Head
from embeddings.formats.sentence_transformers import Dense, Normalize, Pipeline
from embeddings.models import bert, gpt, transformer
from embeddings.tokenizers.pieces import Pieces

WORDS = "the a small old dog cat king queen sees likes eats finds house river red green fish".split()
SIZES = {"layers": 3, "width": 24, "heads": 4, "head_width": 6, "feed_forward": 32, "deviation": 0.3}
UNEQUAL = ((0, 2), (1, 2, 3), (3,))


def texts(number: int, seed: int = 0) -> list[str]:
    """Sentences of 2 to 9 words, no two alike."""
    draw, found = np.random.default_rng(seed), {}
    while len(found) < number:
        found[" ".join(draw.choice(WORDS, draw.integers(2, 10)))] = None
    return list(found)


@functools.cache
def tiny(kind: str = "bert", kept: tuple = ()):
    """bert (post-norm), mpnet (with a bias by distance) or gpt (pre-norm, causal), whose vectors have length 1."""
    module = gpt if kind == "gpt" else bert
    tokenizer = Pieces.train("wordpiece", texts(200), 80)
    stack = transformer.Config(**SIZES, kept=kept)
    if kind == "gpt":
        stack = dataclasses.replace(stack, norm="pre", last_norm=True, causal=True)
        config = gpt.Config(tokenizer.size, 64, stack)
    else:
        config = bert.Config(tokenizer.size, 64, buckets=8 if kind == "mpnet" else 0, pooler=False, stack=stack)
    params = jax.tree.map(np.asarray, module.init(jax.random.key(0), config))
    names = {"bert": "bert", "mpnet": "mpnet", "gpt": "gpt2"}
    model = folder.in_use(names[kind], config, params, tokenizer, tuple(jax.local_devices()[:1]))
    return dataclasses.replace(model, pipeline=Pipeline(("mean",), (Normalize(),)))


def headed(classes, joined, parts=("u",)):
    """bert with a head of classes: of a cross-encoder BERT's, whose pooler is a step; of others of mean vectors."""
    model, draw = tiny(), np.random.default_rng(3)
    kernel, out = (draw.normal(size=shape).astype(np.float32) for shape in ((24, 24), (24 * len(parts), len(classes))))
    head = Head(classes, parts, {"kernel": out, "bias": np.zeros(len(classes), np.float32)})
    steps = () if joined is False else (Dense(kernel, np.zeros(24, np.float32), "tanh"),)
    pooling = ("mean",) if joined is False else ("cls",)
    return dataclasses.replace(model, head=head, pipeline=Pipeline(pooling, steps, joined=joined))


@pytest.fixture(scope="session")
def model():
    return tiny()
