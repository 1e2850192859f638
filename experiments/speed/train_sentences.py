"""Training of Sentence-BERT beside sentence-transformers: same weights, same pairs, same loss, in turn.

    pip install -e '.[peers]' && pip install torch --index-url https://download.pytorch.org/whl/cpu
    python experiments/speed/train_sentences.py --model=all-MiniLM-L6-v2 --output=train_sentences.jsonl
    python experiments/speed/train_sentences.py --model=all-MiniLM-L6-v2 --device=gpu --dtype=bfloat16 \
        --batches=128,1024 --whole=1024 --pairs=16384

Needs EMBEDDINGS_DATA. Pairs are SNLI's premises with what follows from them, at their natural length; the loss is the
in-batch softmax, dropout on, AdamW. Theirs is a bare loop around their loss (MultipleNegativesRankingLoss, and
CachedMultipleNegativesRankingLoss where the batch goes in chunks), without their Trainer, which would cost more. Both
programs live in processes of their own and take turns; a first turn that is not counted compiles. A row a batch size:
pairs a second by the fastest and by the median turn, CPU seconds a pair, peak resident bytes of each process. In
bfloat16 theirs computes under torch.autocast, as their Trainer does with bf16=True; the share of --peak (MFU) counts
the products of 3 forward passes over the tokens of texts, without padding.
"""
import dataclasses
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import workers

from embeddings import command
from embeddings.fields import Positive
from embeddings.problems import Problem

LENGTH = 64
"""Tokens of a row, and of a text at most."""


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
    whole: Positive = 128
    """Largest batch that is taken at once."""
    chunk: Positive = 32
    """Pairs of a chunk where a batch is gone through in chunks."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where their library computes; ours where JAX does."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What products are taken in; weights are float32."""
    peak: Positive = 989
    """Teraflops a second that a GPU can do in this type: 989 is an H100's in bfloat16, by its data sheet."""
    output: str = ""
    """File that lines are also added to."""


def main(flags: Flags, words: list[str]) -> None:
    """Prints a JSON object a batch size."""
    if not os.environ.get("EMBEDDINGS_DATA"):
        raise Problem("EMBEDDINGS_DATA names no folder of data sets")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU's memory is for all processes here
    for batch in flags.batches:
        said = {"batch": batch, "load": os.getloadavg()[0], **compared(flags, batch)}
        workers.say(said, flags.output)


def compared(flags: Flags, batch: int) -> dict[str, Any]:
    """Both programs, in turn."""
    steps = max(1, flags.pairs // batch)
    threads = str(os.cpu_count())
    asked = (flags.model, batch, flags.chunk if batch > flags.whole else batch, flags.device, flags.dtype)
    programs = {kind: workers.Worker(__file__, kind, *asked, OMP_NUM_THREADS=threads) for kind in ("ours", "theirs")}
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
    if flags.device == "gpu":
        ours["share_of_peak"] = 3 * found["ours"][0]["flops"] * ours["pairs_a_second"] / flags.peak / 1e12
    return said | {"ratio": ours["pairs_a_second"] / theirs["pairs_a_second"],
                   "ratio_of_medians": ours["median"] / theirs["median"],
                   "cpu_ratio": theirs["cpu_a_pair"] / ours["cpu_a_pair"], "memory": ours["peak"] / theirs["peak"]}


def ours(model: str, batch: int, chunk: int, device: str, dtype: str) -> Callable[[int], dict[str, float]]:
    """A function that trains so many steps and gives the last loss, and the operations of a pair, forwards."""
    command.cache()
    from embeddings import flags, levels
    from embeddings.experiment import Experiment
    from embeddings.screen import Screen
    from embeddings.training import mesh

    settings, _, _ = flags.parse(
        ["--architecture=sentence_bert", f"--start_from={model}", "--examples.sets=snli-entailment",
         f"--sentence_bert.length={LENGTH}", f"--train.batch={batch}", "--optimizer.name=adamw",
         "--optimizer.learning_rate=2e-5", f"--train.chunks={batch // chunk}", f"--sentence_bert.dtype={dtype}",
         "--train.epochs=100"], Experiment)
    place = levels.Place(Path(os.environ["EMBEDDINGS_DATA"]), command.cache(), time.monotonic, (), ())
    screen = Screen(sys.stderr)
    level = levels.of(settings)
    material = level.prepare(settings, level.find(settings, place, screen), place, screen)
    job = material.job(mesh.make(settings.mesh))
    state, done = job.start(0), 0
    job.release()
    flops = of_a_pair(model, Path(os.environ["EMBEDDINGS_DATA"]))

    def steps(number: int) -> dict[str, float]:
        nonlocal state, done
        for _ in range(number):
            state, sums = job.step(state, job.place(done).arrays)
            done += 1
        return {"loss": float(sums["loss"][0] / sums["loss"][1]), "flops": flops}

    return steps


def of_a_pair(model: str, data: Path, some: int = 10_000) -> float:
    """Floating-point operations of a pair's two texts, forwards, meaned over some pairs."""
    from embeddings import encoder
    from embeddings.corpus import example_sets

    used = encoder.load(model)
    examples = itertools.islice(example_sets.snli_entailment(data), some)
    texts = [text for example in examples for text in example.texts]
    lengths = used.tokenizer.encode(texts).lengths
    return 2 * workers.flops(used.config.stack, lengths.clip(max=LENGTH).tolist()) / len(texts)


def theirs(model: str, batch: int, chunk: int, device: str, dtype: str) -> Callable[[int], dict[str, float]]:
    """The same with their library."""
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer, losses

    from embeddings.corpus import example_sets

    torch.set_num_threads(os.cpu_count() or 1)
    device = {"cpu": "cpu", "gpu": "cuda"}[device]
    encoder = SentenceTransformer(model, device=device)
    encoder.max_seq_length = LENGTH
    encoder.train()
    if batch > chunk:
        loss = losses.CachedMultipleNegativesRankingLoss(encoder, mini_batch_size=chunk)
    else:
        loss = losses.MultipleNegativesRankingLoss(encoder)
    update = torch.optim.AdamW(encoder.parameters(), lr=2e-5)
    pairs = [example.texts for example in example_sets.snli_entailment(Path(os.environ["EMBEDDINGS_DATA"]))]
    draw, order = np.random.default_rng(0), []

    def steps(number: int) -> dict[str, float]:
        nonlocal order
        for _ in range(number):
            if len(order) < batch:
                order = list(draw.permutation(len(pairs)))
            some, order = [pairs[n] for n in order[:batch]], order[batch:]
            features = [encoder.tokenize([pair[side] for pair in some]) for side in (0, 1)]
            features = [{name: x.to(device) for name, x in some.items() if hasattr(x, "to")} for some in features]
            with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
                value = loss(features, None)
            value.backward()
            update.step()
            update.zero_grad()
        return {"loss": float(value)}

    return steps


def work(kind: str, model: str, batch: int, chunk: int, device: str, dtype: str) -> None:
    """The process of a worker: a number of steps in."""
    workers.serve({"ours": ours, "theirs": theirs}[kind](model, batch, chunk, device, dtype))


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(*sys.argv[2:4], *map(int, sys.argv[4:6]), *sys.argv[6:8])
    else:
        command.run(main, Flags)
