"""All heads of a model without each other one: the sweep beside the obvious loops, in turn, layer by layer.

    python experiments/speed/ablate.py --model=all-MiniLM-L6-v2

    sweep    embeddings.heads.sweep: each text once, packed; what a mask doesn't change is computed once
    sorted   the obvious loop: for each head one masked encode of both sides of all pairs, texts sorted by length, 32 at
             a time, padded to the longest of the 32 (rounded up to 8, so that few programs are compiled)
    packed   the same loop by the package's own encode, which packs; timed for one head a layer

Compilation is left out of all three. Prints a JSON object a layer and one of the whole, with the FLOPs (two a
multiplication and addition, of matrix products) that each needs for the tokens it goes through, padding included.
"""
import collections
import dataclasses
import functools
import json
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from embeddings import command, encoder
from embeddings.evaluation import sts
from embeddings.fields import Count
from embeddings.heads import ablation
from embeddings.heads.sweep import sweep_of
from embeddings.inputs.sequences import Tokens
from embeddings.models.pooling import after_pooling, pooled

BATCH, ROUND = 32, 8


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured."""

    model: str = "all-MiniLM-L6-v2"
    """A folder or a hub's name."""
    pairs: Count = 0
    """Of STS-B test; 0 takes all."""
    heads: Count = 0
    """Of each layer; 0 takes all."""


def flops_of_layer(t, T):
    """Of one token in a row of T: (up to z, output projection, feed-forward network)."""
    inner = t.heads * t.head_width
    return np.array([6 * t.width * inner + 4 * T * inner, 2 * inner * t.width, 4 * t.width * t.feed_forward])


class Sorted:
    """The obvious way to encode under a mask."""

    def __init__(self, model, texts):
        self.model, read = model, model.read(texts)
        lengths = np.diff(read.starts)
        order = np.argsort(-lengths, kind="stable")
        self.batches = []
        for at in range(0, len(order), BATCH):
            which = order[at : at + BATCH]
            T = -(-lengths[which[0]] // ROUND) * ROUND
            rows = np.zeros((4, BATCH, T), np.int32)
            for row, text in enumerate(which):
                n = lengths[text]
                rows[0, row, :n] = read.ids[read.starts[text] : read.starts[text] + n]
                rows[1, row, :n], rows[2, row, :n] = 1, np.arange(n)
            self.batches.append((which, Tokens(*rows)))
        program = model.program()

        def apply(params, tokens, mask):
            hidden = program.module.apply(params[0], program.config, tokens, head_mask=mask).hidden
            each = [pooled(how, hidden, tokens.segments, tokens.positions, 1) for how in program.pooling]
            return after_pooling(jnp.concatenate(each, axis=-1), program.steps, params[1])[:, 0]

        self.call = jax.jit(apply)

    def encode(self, mask):
        """Vectors of all texts."""
        made = [self.call(self.model.placed, tokens, mask) for _, tokens in self.batches]
        out = np.empty((sum(len(which) for which, _ in self.batches), self.model.width), np.float32)
        for (which, _), some in zip(self.batches, made, strict=True):
            out[which] = np.asarray(some)[: len(which)]
        return out

    def flops(self):
        """Of one pass over all texts."""
        t = self.model.config.stack
        return t.layers * sum(tokens.ids.size * flops_of_layer(t, tokens.ids.shape[1]).sum()
                              for _, tokens in self.batches)


def flops_of_sweep(model, calls, layer, heads):
    """Of one layer's heads, each left out once."""
    t, total = model.config.stack, 0.0
    for call in calls:
        parts = flops_of_layer(t, call.tokens.ids.shape[1])
        once = layer * parts.sum() + parts[0] + parts[1]
        each = 2 * t.heads * t.width + parts[2] + (t.layers - 1 - layer) * parts.sum()
        total += call.tokens.ids.size * (once + heads * each)
    return total


def timed(run):
    """Seconds, and what came out."""
    began = time.perf_counter()
    made = run()
    return time.perf_counter() - began, made


def main(flags: Flags, words: list[str]) -> None:
    """Prints a line a layer and one of the whole."""
    model, pairs = encoder.load(flags.model), sts.read(Path(os.environ["EMBEDDINGS_DATA"]), "STSBenchmark")
    end = flags.pairs or len(pairs.first)
    both = [*pairs.first[:end], *pairs.second[:end]]
    texts = list(dict.fromkeys(both))
    place = {text: n for n, text in enumerate(texts)}
    rows = [place[text] for text in both]
    t, reading, sweep, loop = model.config.stack, model.read(texts), sweep_of(model), Sorted(model, both)
    heads = flags.heads or t.heads
    calls = list(model.packer().calls(reading.ids, reading.types, reading.starts, reading.skipped))
    masks = ablation.masks(t.heads, range(heads))[:heads]
    whole = np.ones((t.layers, t.heads), np.float32)
    for call in {call.tokens.ids.shape: call for call in calls}.values():  # compiled
        jax.block_until_ready(sweep.call(model.placed, call.tokens, call.counted, jnp.int32(t.layers - 1), masks, None))
    loop.encode(whole)
    model.encode(both, head_mask=whole)
    total = collections.Counter()
    for layer in range(t.layers):
        of_layer = [np.where(np.arange(t.layers)[:, None] == layer, mask, whole) for mask in masks]
        seconds, swept = timed(functools.partial(sweep.vectors, model.placed, reading, model.packer(), layer, masks))
        slow, looped = timed(lambda of_layer=of_layer: np.stack([loop.encode(mask) for mask in of_layer]))
        packed, _ = timed(functools.partial(model.encode, both, head_mask=of_layer[0]))
        row = {"sweep": seconds, "sorted": slow, "packed": packed * heads,
               "sweep flops": float(flops_of_sweep(model, calls, layer, heads)),
               "sorted flops": float(heads * loop.flops())}
        difference = float(np.abs(swept[:, rows] - looped).max())
        print(json.dumps({"layer": layer, **row, "ratio": slow / seconds, "difference": difference}), flush=True)
        total.update(row)
    print(json.dumps({"pairs": end, "texts": len(texts), "heads": heads * t.layers, **total,
                      "ratio": total["sorted"] / total["sweep"], "ratio to packed": total["packed"] / total["sweep"],
                      "flop ratio": total["sorted flops"] / total["sweep flops"], "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    command.run(main, Flags)
