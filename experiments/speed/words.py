"""Word vectors beside gensim: seconds an epoch and the scores after it, interleaved in one run.

    pip install -e '.[peers]'
    python experiments/speed/words.py
    python experiments/speed/words.py --algorithm=skipgram --epochs=3 --seeds=1

Needs EMBEDDINGS_DATA. Both read the same words in the same lines. Ours is `embeddings.train` with
experiments/word2vec/enwiki_*.flags; seconds are those of its loop, compilation included. gensim trains with two workers
from a file of words (corpus_file), at two learning rates; the one with the better scores counts, and its seconds are
those of `train` alone. Neither has the vocabulary in it. One JSON object a line, each with the machine's load.
"""
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np

from embeddings import command, encoder, experiment
from embeddings.corpus import documents
from embeddings.evaluation import words as evaluations
from embeddings.fields import Positive
from embeddings.problems import Problem
from embeddings.tokenizers.words import Words

SCORES = {"analogies": "3CosAdd/total", "WS-353-ALL": "WS-353-ALL", "SIMLEX-999": "SIMLEX-999", "MEN": "MEN-TR-3k"}
"""What the composite is the mean of: analogies among the 30,000 most frequent words, and Spearman's rho."""
ALSO = {"RW": "RW-STANFORD", "semantic": "3CosAdd/semantic", "syntactic": "3CosAdd/syntactic"}


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is timed."""

    algorithm: tuple[Literal["skipgram", "cbow"], ...] = ("skipgram", "cbow")
    """Which models."""
    corpus: str = "enwiki-sample"
    """Which text, as in embeddings.train."""
    epochs: Positive = 1
    """Passes over it."""
    seeds: Positive = 2
    """Repetitions, each with another seed, ours and gensim's in turn."""
    width: Positive = 100
    """Length of a vector."""
    rates: tuple[float, ...] = (0.025, 0.05)
    """gensim's learning rates."""
    workers: Positive = 2
    """gensim's threads."""


GENSIM = """
import json, sys, time
import numpy as np
from gensim.models import Word2Vec
file, out, sg, width, epochs, workers, rate, seed = json.loads(sys.argv[1])
model = Word2Vec(sg=sg, vector_size=width, window=5, negative=5, sample=1e-3, min_count=5, alpha=rate, seed=seed,
                 workers=workers, epochs=epochs)
start = time.perf_counter()
model.build_vocab(corpus_file=file)
vocabulary = time.perf_counter() - start
start = time.perf_counter()
model.train(corpus_file=file, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=epochs)
seconds = time.perf_counter() - start
np.save(out, model.wv.vectors)
print(json.dumps({"seconds": seconds, "vocabulary": vocabulary, "words": model.wv.index_to_key}))
"""


def write_lines(corpus: str, data: Path, cache: Path, path: Path) -> int:
    """The corpus's words, a line a line, as gensim's corpus_file reads them; returns how many."""
    cut, total = Words(), 0
    with path.open("w") as file:
        for block in documents.blocks(documents.find(corpus, text=experiment.Text(), data=data, cache=cache)):
            flat, starts = cut.lines(block.text)
            words = flat.to_pylist()
            total += len(words)
            file.writelines(" ".join(words[a:b]) + "\n" for a, b in itertools.pairwise(starts) if b > a)
    return total


def gensim(flags: Flags, algorithm: str, rate: float, seed: int, lines: Path) -> tuple[float, encoder.WordVectors]:
    """Seconds of training, and the vectors."""
    out = lines.with_suffix(".npy")
    settings = [int(algorithm == "skipgram"), flags.width, flags.epochs, flags.workers, rate, seed]
    found = json.loads(run([sys.executable, "-c", GENSIM, json.dumps([str(lines), str(out), *settings])]))
    return found["seconds"], encoder.WordVectors(tuple(found["words"]), np.load(out))


def ours(flags: Flags, algorithm: str, seed: int, folder: Path) -> tuple[float, encoder.WordVectors]:
    """Seconds of the training loop, and the vectors."""
    folder = folder / f"{algorithm}-{seed}-{time.monotonic_ns()}"
    file = Path(__file__).parents[1] / "word2vec" / f"enwiki_{algorithm}.flags"
    run([sys.executable, "-m", "embeddings.train", f"--flagfile={file}", f"--corpus={flags.corpus}", f"--run={folder}",
         f"--seed={seed}", f"--word2vec.width={flags.width}", f"--train.epochs={flags.epochs}", "--evaluate.tasks=",
         "--evaluate.neighbours=", "--checkpoint.seconds=0"])
    last = json.loads((folder / "speed.jsonl").read_text().splitlines()[-1])
    return last["seconds"], encoder.load(folder)


def run(arguments: list[str]) -> str:
    """What a program prints. Raises Problem with what it says when it fails."""
    done = subprocess.run(arguments, capture_output=True, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    if done.returncode:
        raise Problem(f"{' '.join(arguments[:3])}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def scores(vectors: encoder.WordVectors, tasks: tuple[evaluations.Task, ...]) -> dict[str, float]:
    """The scores by the names of SCORES and ALSO, and their composite."""
    found = {name: value for task in tasks for name, value in task.scores(vectors).items()}
    named = {name: found[key] for name, key in (SCORES | ALSO).items()}
    return {"mean": statistics.fmean(named[name] for name in SCORES), **named}


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each score."""
    return {name: round(statistics.fmean(row[name] for row in rows), 4) for name in rows[0]}


def main(flags: Flags, words: list[str]) -> None:
    """Prints a line a model."""
    if "EMBEDDINGS_DATA" not in os.environ:
        raise Problem("set EMBEDDINGS_DATA to the folder of data sets: analogies and word pairs are read from it")
    data = Path(os.environ["EMBEDDINGS_DATA"])
    cache = Path(os.environ.get("EMBEDDINGS_CACHE") or Path.home() / ".cache" / "embeddings")
    tasks = evaluations.tasks(("analogies", "similarity"), data, methods=("3CosAdd",))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        total = write_lines(flags.corpus, data, cache, folder / "lines.txt")
        for algorithm in flags.algorithm:
            times: dict[str, list[float]] = {}
            found: dict[str, list[dict[str, float]]] = {}
            for seed in range(flags.seeds):
                trials = {"ours": lambda s=seed, a=algorithm: ours(flags, a, s, folder)}
                for rate in flags.rates:
                    trials[f"gensim {rate}"] = lambda s=seed, a=algorithm, r=rate: gensim(
                        flags, a, r, s, folder / "lines.txt"
                    )
                for what, trial in trials.items():
                    seconds, vectors = trial()
                    times.setdefault(what, []).append(seconds)
                    found.setdefault(what, []).append(scores(vectors, tasks))
            peer = max((what for what in times if what != "ours"), key=lambda what: mean(found[what])["mean"])
            ratios = [b / a for a, b in zip(times["ours"], times[peer], strict=True)]
            print(json.dumps({
                "what": f"{algorithm} d{flags.width}, {flags.epochs} epoch(s) of {flags.corpus}, {total:,} words",
                "ours": round(statistics.median(times["ours"]), 2),
                "peer": round(statistics.median(times[peer]), 2),
                "ratio": round(statistics.median(ratios), 2),
                "ratios": [round(ratio, 2) for ratio in ratios],
                "peer is": f"{peer}, {flags.workers} workers",
                "scores": {what: mean(rows) for what, rows in found.items()},
                "seconds": {what: [round(s, 2) for s in rows] for what, rows in times.items()},
                "load": [round(x, 1) for x in os.getloadavg()],
            }), flush=True)


if __name__ == "__main__":
    command.run(main, Flags)
