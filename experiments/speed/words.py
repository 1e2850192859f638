"""Word vectors beside gensim, fasttext and GloVe: words a second, and the time until ours are as good as theirs.

    pip install -e '.[peers]'
    python experiments/speed/words.py --output=words.jsonl
    python experiments/speed/words.py --rows=cbow --seeds=1 --peer_epochs=1
    python experiments/speed/words.py --rows=cbow --settings=train.replicas=2,train.batch=262144
    python experiments/speed/plot_words.py words.jsonl words.svg
    python experiments/speed/words.py --rows=skipgram_300 --seeds=1 --peer_epochs=1 --epochs=1 --threads=16 \
        --variants=word2vec.chunk=1024,word2vec.chunk=8192

Needs EMBEDDINGS_DATA; the row `glove` also the authors' programs (stanfordnlp/GloVe, `make`), whose folder the
environment variable GLOVE names. All read the same words in the same lines, with two threads where a program has
threads; ours is `embeddings.train` with the row's flag file. Seconds go from the tokenised corpus to vectors: counting
and numbering the words (of GloVe, counting pairs), then training, each program's own. Our compiled step is found in the
cache of compiled programs: a run that is not counted puts it there. Of a peer's learning rates the one with the better
scores after an epoch counts.

The composite score is the mean over Google's analogies, WordSim-353, SimLex-999 and MEN, each divided by the peer's
mean over its seeds, so that the peer's is 1. Time to quality: seconds of our shortest run whose score, meaned over
seeds, is at least 1; a run of n epochs is planned as one, its rate falling to the end. The interval is a bootstrap of
our score over questions and pairs (the same ones drawn for both). A JSON object a row, with load and peak memory.
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
from embeddings.evaluation import tasks as evaluations
from embeddings.evaluation.tasks.task import Options
from embeddings.evaluation.word_similarity import spearman
from embeddings.fields import Count, Positive
from embeddings.problems import Problem
from embeddings.tokenizers.words import Words

SETS = ("WS-353-ALL", "SIMLEX-999", "MEN-TR-3k")
"""What the composite is the mean of, beside analogies among the 30,000 most frequent words: Spearman's rho."""
WITNESS = """import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)"""
"""What a program is started by: a process counts the memory of the one that it was forked from as its own."""
FLAG_FILES = Path(__file__).parents[1]
HERE = Path(__file__).parent
LONGER = 1.2
"""Passes of our longest run for one of the peer's longest: a pass of ours is shorter."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A model, ours and theirs."""

    flags: str
    """Our flag file."""
    peers: tuple[str, ...]
    """Programs, as peers.py names them."""
    part: str = "word2vec"
    """Its architecture."""
    width: int = 100
    seeds: int = 2
    rates: tuple[float, ...] = (0.05, 0.025)
    """Learning rates of the peers."""
    epochs: tuple[float, ...] = (0.5, 0.75, 1, 2, 3, 4, 5, 6)
    """Lengths of our runs."""
    peer_epochs: tuple[int, ...] = (1, 5)
    """Lengths of theirs."""


ROWS = {
    "skipgram": Row("word2vec/enwiki_skipgram.flags", ("gensim skipgram",), seeds=5),
    "cbow": Row("word2vec/enwiki_cbow.flags", ("gensim cbow",)),
    "fasttext": Row("fasttext/enwiki_fasttext.flags", ("gensim fasttext", "fasttext"), "fasttext"),
    "hierarchical": Row("word2vec/enwiki_skipgram_hierarchical.flags", ("gensim hierarchical",)),
    "skipgram_300": Row("word2vec/enwiki_skipgram.flags", ("gensim skipgram",), width=300),
    "glove": Row("glove/enwiki_glove.flags", ("glove",), "glove", rates=(0.05,), epochs=(5, 10, 15), peer_epochs=(15,)),
}


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is timed."""

    rows: tuple[Literal["skipgram", "cbow", "fasttext", "hierarchical", "skipgram_300", "glove"], ...] = tuple(ROWS)
    """Which models."""
    corpus: str = "enwiki-sample"
    """Which text, as in embeddings.train."""
    peer_epochs: tuple[int, ...] = ()
    """Passes of the peer whose quality is to be reached; empty takes the row's."""
    seeds: Count = 0
    """Repetitions, each with another seed, ours and theirs in turn; 0 takes the row's."""
    epochs: tuple[float, ...] = ()
    """Lengths of our runs; empty takes the row's."""
    settings: tuple[str, ...] = ()
    """Flags of all our runs, without their dashes: `train.replicas=2,train.batch=262144` has both cores train, which is
    not the exact mode."""
    variants: tuple[str, ...] = ()
    """A flag of ours each, without its dashes; several joined by `+`. Each is trained once over the peer's shortest
    length, to see what a device is filled by, and counts in nothing else."""
    threads: Positive = 2
    """The peers' threads."""
    output: str = ""
    """File that lines are also added to."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One program, once."""

    prepared: float
    """Seconds from tokenised text to the first step: vocabulary, numbering."""
    trained: float
    """Seconds of training."""
    items: int
    """Words of the corpus that it trained on, of GloVe counted pairs; of each epoch anew."""
    memory: int
    """Peak resident bytes."""
    answered: np.ndarray
    """Of each analogy, whether it was right."""
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Cosines and judgements of each of SETS."""
    also: dict[str, float]
    """Scores that are shown and not in the composite."""

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.prepared + self.trained

    def parts(self, draw: np.random.Generator | None = None) -> np.ndarray:
        """The four scores; with `draw`, of questions and pairs drawn with replacement."""

        def which(n: int) -> np.ndarray:
            return np.arange(n) if draw is None else draw.integers(0, n, n)

        asked = which(len(self.answered))
        rho = [spearman(a[at], b[at]) for a, b in self.pairs for at in [which(len(a))]]
        return np.array([self.answered[asked].mean(), *rho])


class Bench:
    """A corpus of words in lines, and what is run on it."""

    def __init__(self, flags: Flags, data: Path, folder: Path) -> None:
        self.flags, self.folder, self.lines = flags, folder, folder / "lines.txt"
        self.tasks = evaluations.tasks(("analogies", "similarity"), data, Options(methods=("3CosAdd",)))
        cache = Path(os.environ.get("EMBEDDINGS_CACHE") or Path.home() / ".cache" / "embeddings")
        self.words = write_lines(flags.corpus, data, cache, self.lines)

    def ours(self, row: Row, epochs: float, seed: int, variant: str = "") -> Trial:
        """Our run of so many epochs, its text counted and numbered anew."""
        run = self.folder / f"run-{time.monotonic_ns()}"
        cache = self.folder / f"cache-{time.monotonic_ns()}"
        flags = [f"--flagfile={FLAG_FILES / row.flags}", f"--corpus={self.lines}", "--text.tokenizer=whitespace",
                 f"--run={run}", f"--seed={seed}", f"--{row.part}.width={row.width}", f"--train.epochs={epochs}",
                 "--evaluate.tasks=", "--evaluate.neighbours=", "--checkpoint.seconds=0",
                 *(f"--{flag}" for flag in (*self.flags.settings, *variant.split("+")) if flag)]
        # The name of its folder is part of what a compiled program is found by: one for all runs.
        caches = {"EMBEDDINGS_CACHE": str(cache), "JAX_COMPILATION_CACHE_DIR": str(self.folder / "compiled")}
        _, memory = finished([sys.executable, "-m", "embeddings.train", *flags], **caches)
        lines = [json.loads(line) for line in (run / "speed.jsonl").read_text().splitlines()]
        items = lines[-1]["words"]
        return self.trial(lines[0]["preparing"], lines[-1]["seconds"], items, memory, encoder.load(run))

    def peer(self, name: str, row: Row, rate: float, epochs: int, seed: int) -> Trial:
        """A peer's run, in a process of its own."""
        out = self.folder / f"peer-{time.monotonic_ns()}"
        settings = [name, str(self.lines), str(out), row.width, epochs, self.flags.threads, rate, seed]
        said, memory = finished([sys.executable, str(HERE / "peers.py"), json.dumps(settings)])
        facts = json.loads(said.splitlines()[-1])
        vectors = encoder.WordVectors(tuple(facts["words"]), np.load(f"{out}.npy"))
        items = facts.get("pairs", self.words * epochs)
        return self.trial(facts["prepared"], facts["trained"], items, memory, vectors)

    def trial(self, prepared: float, trained: float, items: int, memory: int, vectors: encoder.WordVectors) -> Trial:
        """The trial with its scores."""
        analogies, similarity = (task.run(vectors)[0] for task in self.tasks)
        found = {score.name: score for score in similarity.sets}
        pairs = tuple((found[name].cosines, found[name].judgements) for name in SETS)
        also = {"RW": found["RW-STANFORD"].spearman, **analogies.scores()}
        return Trial(prepared, trained, items, memory, analogies.answered, pairs, also)


def write_lines(corpus: str, data: Path, cache: Path, path: Path) -> int:
    """The corpus's words, a line a line; returns how many."""
    cut, total = Words(), 0
    with path.open("w") as file:
        for block in documents.blocks(documents.find(corpus, text=experiment.Text(), data=data, cache=cache)):
            flat, starts = cut.lines(block.text)
            words = flat.to_pylist()
            total += len(words)
            file.writelines(" ".join(words[a:b]) + "\n" for a, b in itertools.pairwise(starts) if b > a)
    return total


def finished(arguments: list[str], **environment: str) -> tuple[str, int]:
    """What a program prints, and its peak resident bytes. Raises Problem with what it says when it fails."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", WITNESS, *arguments], capture_output=True, text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment,
    )
    if done.returncode:
        raise Problem(f"{' '.join(arguments[:3])}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    said, _, peak = done.stdout.rstrip().rpartition("\n")
    return said, int(peak) * 1024


def measure(bench: Bench, name: str, row: Row) -> dict:
    """One line: the row's trials, in turn."""
    seeds = bench.flags.seeds or row.seeds
    bench.ours(row, 0.1, 0)  # warms the cache of compiled steps
    peer_epochs = bench.flags.peer_epochs or row.peer_epochs
    shortest = min(peer_epochs)
    first = {(peer, rate): bench.peer(peer, row, rate, shortest, 0) for peer in row.peers for rate in row.rates}
    fastest = min(row.peers, key=lambda peer: min(first[peer, rate].trained for rate in row.rates))
    rate = max(row.rates, key=lambda rate: first[fastest, rate].parts().mean())
    theirs: dict[int, list[Trial]] = {epochs: [] for epochs in peer_epochs}
    lengths = bench.flags.epochs or tuple(epochs for epochs in row.epochs if epochs <= LONGER * max(theirs))
    ours: dict[float, list[Trial]] = {epochs: [] for epochs in lengths}
    for seed in range(seeds):
        for epochs in sorted({*theirs, *ours}):
            if epochs in theirs:
                known = epochs == shortest and seed == 0
                theirs[epochs].append(first[fastest, rate] if known else bench.peer(fastest, row, rate, epochs, seed))
            if epochs in ours:
                ours[epochs].append(bench.ours(row, epochs, seed))
    variants = {}
    for variant in bench.flags.variants:
        try:
            bench.ours(row, 0.1, 0, variant)
            trial = bench.ours(row, shortest, 0, variant)
        except Problem as failed:  # a rate too high for its updates is a result too
            variants[variant] = {"failed": str(failed)}
            continue
        variants[variant] = {"items_a_second": round(trial.items / trial.trained), **described(shortest, [trial])}
    return {
        "what": f"{name} d{row.width}, {bench.flags.corpus}, {bench.words:,} words",
        "peer": f"{fastest} at {rate}, {bench.flags.threads} threads, better of {row.rates}",
        "seeds": seeds,
        "settings": bench.flags.settings,
        "epoch": epoch(ours[shortest], theirs[shortest]) if shortest in ours else None,
        "quality": [{"peer_epochs": n, **quality(ours, theirs[n])} for n in theirs],
        "ours": [described(n, trials) for n, trials in ours.items()],
        "theirs": [described(n, trials) for n, trials in theirs.items()],
        "others": {f"{peer} at {r}": described(shortest, [trial]) for (peer, r), trial in first.items()},
        "variants": variants,
        "load": [round(x, 1) for x in os.getloadavg()],
    }


def epoch(ours: list[Trial], theirs: list[Trial]) -> dict:
    """Training of the same length: words or pairs a second, and the ratios of seconds seed by seed."""
    return {
        "items_a_second": round(statistics.median(t.items / t.trained for t in ours)),
        "peer_items_a_second": round(statistics.median(t.items / t.trained for t in theirs)),
        "ratio": round(statistics.median(b.trained / a.trained for a, b in zip(ours, theirs, strict=True)), 2),
        "ratios": [round(b.trained / a.trained, 2) for a, b in zip(ours, theirs, strict=True)],
        "ahead": dict(zip(("analogies", *SETS), ahead(ours, theirs), strict=True)),
    }


def ahead(ours: list[Trial], theirs: list[Trial], draws: int = 200) -> list[tuple[float, float, float]]:
    """Of each score: ours minus theirs, and the bootstrap interval of that (95 %)."""

    def difference(number: int | None) -> np.ndarray:
        draw = [None if number is None else np.random.default_rng(number) for _ in (*ours, *theirs)]
        a, b = draw[: len(ours)], draw[len(ours) :]
        return np.mean([t.parts(d) for t, d in zip(ours, a, strict=True)], axis=0) - np.mean(
            [t.parts(d) for t, d in zip(theirs, b, strict=True)], axis=0
        )

    low, high = np.percentile([difference(number) for number in range(draws)], [2.5, 97.5], axis=0)
    return [tuple(round(float(x), 3) for x in row) for row in zip(difference(None), low, high, strict=True)]


def quality(ours: dict[float, list[Trial]], theirs: list[Trial], draws: int = 200) -> dict:
    """Our shortest run that is as good as the peer's, and the ratio of seconds."""
    unit = np.mean([trial.parts() for trial in theirs], axis=0)
    scores = {n: float(np.mean([(trial.parts() / unit).mean() for trial in trials])) for n, trials in ours.items()}
    reached = next((n for n, score in sorted(scores.items()) if score >= 1), None)
    peer = statistics.median(trial.seconds for trial in theirs)
    told = {"peer_seconds": round(peer, 2), "scores": {str(n): round(score, 3) for n, score in scores.items()}}
    if reached is None:
        return {**told, "reached": None}
    seconds = statistics.median(trial.seconds for trial in ours[reached])
    drawn = []
    for number in range(draws):
        sample = np.mean([t.parts(np.random.default_rng(number)) for t in theirs], axis=0)
        mine = np.mean([t.parts(np.random.default_rng(number)) for t in ours[reached]], axis=0)
        drawn.append(float((mine / sample).mean()))
    interval = [round(float(x), 3) for x in np.percentile(drawn, [2.5, 97.5])]
    return {**told, "reached": reached, "seconds": round(seconds, 2), "ratio": round(peer / seconds, 2),
            "training_only": round(statistics.median(t.trained for t in theirs)
                                   / statistics.median(t.trained for t in ours[reached]), 2),
            "score": round(scores[reached], 3), "interval": interval}


def described(epochs: float, trials: list[Trial]) -> dict:
    """Trials of one length: medians of seconds, means of scores."""
    names = ("analogies", *SETS)
    scores = dict(zip(names, np.mean([t.parts() for t in trials], axis=0), strict=True))
    also = {name: statistics.fmean(t.also[name] for t in trials) for name in trials[0].also}
    return {
        "epochs": epochs,
        "seconds": round(statistics.median(t.seconds for t in trials), 2),
        "prepared": round(statistics.median(t.prepared for t in trials), 2),
        "trained": [round(t.trained, 2) for t in trials],
        "mean": round(float(np.mean(list(scores.values()))), 4),
        "scores": {name: round(float(score), 4) for name, score in (scores | also).items()},
        "peak_MB": round(max(t.memory for t in trials) / 1e6),
    }


def main(flags: Flags, words: list[str]) -> None:
    """Prints a line a row."""
    if "EMBEDDINGS_DATA" not in os.environ:
        raise Problem("set EMBEDDINGS_DATA to the folder of data sets: analogies and word pairs are read from it")
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(flags, Path(os.environ["EMBEDDINGS_DATA"]), Path(name))
        for row in flags.rows:
            line = json.dumps(measure(bench, row, ROWS[row]))
            print(line, flush=True)
            if flags.output:
                with Path(flags.output).open("a") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    command.run(main, Flags)
