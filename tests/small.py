"""Small contextual models with random numbers for weights: one of each family, with its tokenizer, and ELMo."""
import dataclasses
import functools
import json

import jax
import numpy as np

from embeddings.contextual import folder as folders
from embeddings.formats import elmo as elmo_files
from embeddings.formats import tensors
from embeddings.formats.families import FAMILIES
from embeddings.models import bert, character_cnn, elmo, gpt, transformer
from embeddings.tokenizers.pieces import Pieces

TOKENS = ("[PAD] [UNK] [CLS] [SEP] [MASK] the bank river money of a by ##s ##ed walk sat on and , . one two three "
          "four five").split()
TEXTS = [
    "the bank of the river", "one", "money, money and the banks of money", "",
    "walked by a river . two sat on the bank", "the " * 40, "five four three two one " * 6, "nothing known here",
]
"""Of all lengths up to more than LONGEST."""
LONGEST = 24
STACK = transformer.Config(2, 16, 4, 4, 24, deviation=0.3)
CAUSAL = transformer.Config(2, 16, 4, 4, 24, "gelu_tanh", "pre", True, 1e-5, True, deviation=0.3)
CONFIGS = {
    "bert": bert.Config(len(TOKENS), LONGEST, stack=STACK),
    "roberta": bert.Config(len(TOKENS), LONGEST + 2, 2, types=1, stack=STACK),
    "xlm-roberta": bert.Config(len(TOKENS), LONGEST + 2, 2, types=1, pooler=False, stack=STACK),
    "distilbert": bert.Config(len(TOKENS), LONGEST, types=0, pooler=False, stack=STACK),
    "mpnet": bert.Config(len(TOKENS), LONGEST + 2, 2, types=0, buckets=32, predictions=False, stack=STACK),
    "gpt2": gpt.Config(len(TOKENS), LONGEST, CAUSAL),
    "openai-gpt": gpt.Config(len(TOKENS), LONGEST, dataclasses.replace(
        CAUSAL, norm="post", last_norm=False, feed_forward=64)),
}

ELMO = elmo.Config(
    character_cnn.Config(width=3, filters=((1, 4), (2, 5)), highways=1, longest=8), width=6, cells=10, layers=2
)
PIECES = {"bert": ("wordpiece", None), "distilbert": ("wordpiece", None), "mpnet": ("wordpiece", "mpnet"),
          "roberta": ("bpe", "roberta"), "xlm-roberta": ("unigram", None), "gpt2": ("bpe", None),
          "openai-gpt": ("bpe", None)}
"""The tokenizer that a family comes with."""


@functools.cache
def params(family):
    """Of the model of CONFIGS."""
    return drawn(family, CONFIGS[family])


def elmo_params():
    """Of the model of ELMO."""
    draw, shapes = np.random.default_rng(0), jax.eval_shape(lambda: elmo.init(jax.random.key(0), ELMO))
    return jax.tree.map(lambda leaf: draw.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)


def saved_elmo(folder):
    """ELMo's two files."""
    elmo_files.write(folder, ELMO, elmo_params())
    return folder


def drawn(family, config):
    """Numbers whose biases and norms are no zeros and ones."""
    draw = np.random.default_rng(7)
    shapes = jax.eval_shape(lambda: FAMILIES[family].model.init(jax.random.key(0), config))
    return jax.tree.map(lambda leaf: draw.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)


def tokenizer(folder):
    """Words and a few pieces, as BERT cuts them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return Pieces.load(folder)


def contextual(folder, family="bert", devices=1):
    """The model in use, on some of the devices; `folder` is where its tokenizer is put."""
    return folders.in_use(family, CONFIGS[family], params(family), tokenizer(folder), tuple(jax.devices()[:devices]))


def with_its_tokenizer(family):
    """The model in use, with a tokenizer of its family's kind that was trained on TEXTS."""
    kind, template = PIECES[family]
    pieces = Pieces.train(kind, TEXTS * 20, 300, lower=kind == "wordpiece", template=template)
    config = dataclasses.replace(CONFIGS[family], vocabulary=pieces.size)
    return folders.in_use(family, config, drawn(family, config), pieces, tuple(jax.devices()[:1]))


def saved(folder, family="bert", **pipeline):
    """The model's folder."""
    model = contextual(folder.parent / "tokenizer", family)
    folders.write(folder, dataclasses.replace(model, pipeline=dataclasses.replace(model.pipeline, **pipeline)))
    return folder


def changed(folder, name="config.json", **values):
    """The folder with other values in one of its files of JSON; None leaves one out."""
    said = json.loads((folder / name).read_text()) | values
    (folder / name).write_text(json.dumps({key: value for key, value in said.items() if value is not None}))
    return folder


def rewritten(folder, change):
    """The folder with its tensors as `change` leaves the dictionary of them."""
    found = dict(tensors.Tensors(folder))
    change(found)
    tensors.write(folder, found)
    return folder
