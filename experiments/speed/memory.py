"""How the memory of a contrastive step grows with its batch: in chunks of a fixed size, at a thousand pairs and at 64.

    python experiments/speed/memory.py
    python experiments/speed/memory.py --pairs=65536 --step=true

The loss is over the whole batch, each pair's wrong answers all others of it. Bytes are those that the compiler plans
for the step (memory_analysis), state and batch apart from what it needs meanwhile; the slope is between neighbouring
sizes. With --step the compiled step is run once too, and its seconds and the process's peak are told. A JSON object a
line.
"""
import dataclasses
import json
import os
import resource
import time

import jax

from embeddings import command, flags
from embeddings.experiment import Experiment
from embeddings.fields import Positive
from embeddings.training import architectures, mesh


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is compiled."""

    pairs: tuple[Positive, ...] = (1024, 8192, 65536)
    """Sizes of the batch."""
    chunk: Positive = 512
    """Pairs of a chunk."""
    layers: Positive = 2
    """Of the encoder."""
    width: Positive = 64
    """Of the encoder."""
    length: Positive = 16
    """Tokens of each text."""
    step: bool = False
    """Whether the step is run."""


def settings(given: Flags, pairs: int) -> Experiment:
    """An encoder of the size, trained by in-batch softmax."""
    sizes = {"layers": given.layers, "width": given.width, "heads": max(1, given.width // 32),
             "feed_forward": 4 * given.width, "length": given.length, "positions": given.length}
    parsed, _, _ = flags.parse([
        "--architecture=sentence_bert", "--pieces.size=70000", "--optimizer.name=adamw",
        f"--train.batch={pairs}", f"--train.chunks={max(1, pairs // given.chunk)}",
        *(f"--sentence_bert.{name}={size}" for name, size in sizes.items()),
    ], Experiment)
    return parsed


def measured(given: Flags, pairs: int) -> dict:
    """Bytes of the step; with --step its seconds."""
    job = architectures.planned(settings(given, pairs), 0, mesh.make(Experiment().mesh, jax.devices()[:1]))
    started = time.monotonic()
    compiled = job.lower().compile()
    planned = compiled.memory_analysis()
    line = {
        "pairs": pairs, "chunks": max(1, pairs // given.chunk),
        "state_and_batch_MB": round(planned.argument_size_in_bytes / 1e6, 1),
        "meanwhile_MB": round(planned.temp_size_in_bytes / 1e6, 1),
        "compiled_in": round(time.monotonic() - started, 1),
    }
    if given.step:
        state, batch = job.start(0), job.place(0)
        started = time.monotonic()
        _, sums = compiled(state, batch.arrays, job.step.constants)
        loss = float(sums["loss"][0] / sums["loss"][1])
        line |= {"loss": round(loss, 4), "seconds": round(time.monotonic() - started, 1),
                 "peak_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)}
    return line


def main(asked: Flags, words: list[str]) -> None:
    """Prints a line a size."""
    before = None
    for pairs in asked.pairs:
        line = measured(asked, pairs)
        if before:
            grown = line["meanwhile_MB"] - before["meanwhile_MB"]
            line["bytes_a_pair"] = round(1e6 * grown / (pairs - before["pairs"]))
        before = line
        print(json.dumps(line | {"load": round(os.getloadavg()[0], 1)}), flush=True)


if __name__ == "__main__":
    command.run(main, Flags)
