"""Training of Sentence-BERT beside sentence-transformers: same weights, same pairs, same loss, float32, in turn.

    pip install -e '.[peers]' && pip install torch --index-url https://download.pytorch.org/whl/cpu
    python experiments/speed/train_sentences.py --model=all-MiniLM-L6-v2 --output=train_sentences.jsonl

Needs EMBEDDINGS_DATA. Pairs are SNLI's premises with what follows from them, at their natural length; the loss is the
in-batch softmax, dropout on, AdamW. Theirs is a bare loop around their loss (MultipleNegativesRankingLoss, and
CachedMultipleNegativesRankingLoss where the batch goes in chunks), without their Trainer, which would cost more. Both
programs live in processes of their own and take turns; a first turn that is not counted compiles. A row a batch size:
pairs a second by the fastest and by the median turn, CPU seconds a pair, peak resident bytes of each process.
"""
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workers

from embeddings import command
from embeddings.fields import Positive
from embeddings.problems import Problem

LENGTH = 64
"""Tokens of a row, and of a text at most."""
CHUNK = 32
"""Pairs of a chunk where a batch is gone through in chunks."""
WHOLE = 128
"""Largest batch that is taken at once."""


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is timed."""

    model: str
    """A folder of sentence-transformers, or a hub's name."""
    batches: tuple[Positive, ...] = (32, 128, 1024)
    """Pairs of a batch."""
    pairs: Positive = 1024
    """Pairs of a turn, at least one batch."""
    repeats: Positive = 5
    """Turns that count."""
    output: str = ""
    """File that lines are also added to."""


def main(flags: Flags, words: list[str]) -> None:
    """Prints a JSON object a batch size."""
    if not os.environ.get("EMBEDDINGS_DATA"):
        raise Problem("EMBEDDINGS_DATA names no folder of data sets")
    for batch in flags.batches:
        said = {"batch": batch, "load": os.getloadavg()[0], **compared(flags, batch)}
        workers.say(said, flags.output)


def compared(flags: Flags, batch: int) -> dict[str, Any]:
    """Both programs, in turn."""
    steps = max(1, flags.pairs // batch)
    threads = str(os.cpu_count())
    programs = {kind: workers.Worker(__file__, kind, flags.model, batch, OMP_NUM_THREADS=threads)
                for kind in ("ours", "theirs")}
    found: dict[str, list[dict]] = {kind: [] for kind in programs}
    for turn in range(flags.repeats + 1):
        for kind, worker in programs.items():
            done = worker.ask(steps if turn else 1)
            found[kind] += [done] * bool(turn)
    for worker in programs.values():
        worker.close()
    said: dict[str, Any] = {}
    for kind, some in found.items():
        rates = [steps * batch / one["seconds"] for one in some]
        said[kind] = {"pairs_a_second": max(rates), "median": statistics.median(rates), "loss": some[-1]["loss"],
                      "cpu_a_pair": min(one["cpu"] for one in some) / steps / batch, "peak": some[-1]["peak"]}
    ours, theirs = said["ours"], said["theirs"]
    return said | {"ratio": ours["pairs_a_second"] / theirs["pairs_a_second"],
                   "ratio_of_medians": ours["median"] / theirs["median"],
                   "cpu_ratio": theirs["cpu_a_pair"] / ours["cpu_a_pair"], "memory": ours["peak"] / theirs["peak"]}


def ours(model: str, batch: int) -> Callable[[int], float]:
    """A function that trains so many steps and gives the last loss."""
    command.cache()
    from embeddings import flags, levels
    from embeddings.experiment import Experiment
    from embeddings.screen import Screen
    from embeddings.training import mesh

    settings, _, _ = flags.parse(
        ["--architecture=sentence_bert", f"--start_from={model}", "--examples.sets=snli-entailment",
         f"--sentence_bert.length={LENGTH}", f"--train.batch={batch}", "--optimizer.name=adamw",
         "--optimizer.learning_rate=2e-5", f"--train.chunks={batch // CHUNK if batch > WHOLE else 1}",
         "--train.epochs=100"], Experiment)
    place = levels.Place(Path(os.environ["EMBEDDINGS_DATA"]), command.cache(), time.monotonic, (), ())
    screen = Screen(sys.stderr)
    level = levels.of(settings)
    job = level.prepare(settings, level.find(settings, place, screen), place, screen).job(mesh.make(settings.mesh))
    state, done = job.start(0), 0

    def steps(number: int) -> float:
        nonlocal state, done
        for _ in range(number):
            state, sums = job.step(state, job.place(done).arrays)
            done += 1
        return float(sums["loss"][0] / sums["loss"][1])

    return steps


def theirs(model: str, batch: int) -> Callable[[int], float]:
    """The same with their library."""
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer, losses

    from embeddings.corpus import example_sets

    torch.set_num_threads(os.cpu_count() or 1)
    encoder = SentenceTransformer(model, device="cpu")
    encoder.max_seq_length = LENGTH
    encoder.train()
    if batch > WHOLE:
        loss = losses.CachedMultipleNegativesRankingLoss(encoder, mini_batch_size=CHUNK)
    else:
        loss = losses.MultipleNegativesRankingLoss(encoder)
    update = torch.optim.AdamW(encoder.parameters(), lr=2e-5)
    pairs = [example.texts for example in example_sets.snli_entailment(Path(os.environ["EMBEDDINGS_DATA"]))]
    draw, order = np.random.default_rng(0), []

    def steps(number: int) -> float:
        nonlocal order
        for _ in range(number):
            if len(order) < batch:
                order = list(draw.permutation(len(pairs)))
            some, order = [pairs[n] for n in order[:batch]], order[batch:]
            features = [encoder.tokenize([pair[side] for pair in some]) for side in (0, 1)]
            value = loss(features, None)
            value.backward()
            update.step()
            update.zero_grad()
        return float(value)

    return steps


def work(kind: str, model: str, batch: int) -> None:
    """The process of a worker: a number of steps in."""
    steps = {"ours": ours, "theirs": theirs}[kind](model, batch)
    workers.serve(lambda number: {"loss": steps(number)})


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        command.run(main, Flags)
