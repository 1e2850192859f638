"""Sentence vectors beside sentence-transformers: same weights, same texts, same precision, in turn.

    pip install -e '.[peers]' && pip install torch --index-url https://download.pytorch.org/whl/cpu
    python experiments/speed/encode.py --model=all-MiniLM-L6-v2 --output=encode.jsonl
    python experiments/speed/encode.py --model=all-MiniLM-L6-v2 --device=gpu --dtype=bfloat16 --rows=throughput \
        --texts=20000 --batches=32,128,512 --peak=989

Needs EMBEDDINGS_DATA. Texts are half sentences of the STS benchmark, half paragraphs of the Wikipedia sample of at most
256 tokens. Both programs live in processes of their own with the model open, and take turns; a first turn that is not
counted compiles. Rows, a JSON object a line:

    throughput   --texts texts, their library with 2 threads and with 1; seconds and CPU seconds, minimum and median;
                 on a GPU their library with each of --batches, the fastest counts, and our share of --peak
    long         --long texts, once each
    query        one short query, 100 times
    start        process start to first vector, cold and with our cache of compiled programs filled
    memory       peak resident bytes of a process that encodes --texts texts once
"""
import dataclasses
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import workers

from embeddings import command
from embeddings.fields import Count, Positive
from embeddings.problems import Problem

LONGEST = 256
QUERY = "how do I keep a lock file from being left behind?"
PARTS = ("throughput", "long", "query", "start", "memory")


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is timed."""

    model: str
    """A folder of sentence-transformers, or a hub's name."""
    rows: tuple[Literal["throughput", "long", "query", "start", "memory"], ...] = PARTS
    """Which rows."""
    texts: Positive = 1000
    """Texts of a turn."""
    long: Count = 5000
    """Texts of the long job."""
    repeats: Positive = 5
    """Turns that count."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where their library computes; ours where JAX does, so `gpu` wants jax[cuda13] too."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What products are taken in; their library holds the weights in it."""
    batches: tuple[Positive, ...] = (32,)
    """Texts of a batch of their library, each tried, on a GPU."""
    peak: Positive = 989
    """Teraflops a second that a GPU can do in this type: 989 is an H100's in bfloat16, by its data sheet."""
    output: str = ""
    """File that lines are also added to."""


def main(flags: Flags, words: list[str]) -> None:
    """Prints a JSON object a row."""
    if not os.environ.get("EMBEDDINGS_DATA"):
        raise Problem("EMBEDDINGS_DATA names no folder of data sets")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU's memory is for all processes here
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(mixed(flags, max(flags.texts, flags.long if "long" in flags.rows else 0))))
        for row in flags.rows:
            said = {"row": row, "load": os.getloadavg()[0]} | globals()[row](flags, file)
            workers.say(said, flags.output)


def mixed(flags: Flags, number: int) -> list[str]:
    """Sentences and paragraphs in turn, none longer than the model reads."""
    from embeddings import encoder
    from embeddings.corpus import known, readers
    from embeddings.evaluation import sts

    data = Path(os.environ["EMBEDDINGS_DATA"])
    sets = [sts.read(data, name) for name in ("STSBenchmark", "STS12")]
    sentences = list(dict.fromkeys(text for one in sets for text in (*one.first, *one.second)))
    paragraphs: list[str] = []
    for file in known.locate("enwiki-sample", data, command.cache(), None):
        for piece in readers.pieces(file, ("text",), False, known.CORPORA["enwiki-sample"].kind):
            paragraphs += [line for line in piece.text.decode().split("\n") if len(line) > 150 and line[0] != "<"]
            if len(paragraphs) > 3 * number:
                break
    model = encoder.load(flags.model)
    lengths = model.tokenizer.encode(paragraphs).lengths
    short = [text for text, length in zip(paragraphs, lengths, strict=True) if length <= LONGEST]
    half = number // 2
    if min(len(sentences), len(short)) < half:
        raise Problem(f"--texts, --long: there are {len(sentences)} sentences and {len(short)} paragraphs")
    return [text for pair in zip(sentences[:half], short[:half], strict=True) for text in pair]


class Worker(workers.Worker):
    """A program with the model open."""

    def __init__(self, flags: Flags, kind: str, threads: int = 2, batch: int = 32):
        super().__init__(__file__, kind, flags.model, threads, flags.device, flags.dtype, batch,
                         OMP_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true")

    def encode(self, file: Path, number: int, repeats: int = 1) -> dict[str, Any]:
        """Encodes the first texts of a file, or (0) the query, so many times."""
        return self.ask([str(file), number, repeats])


def turns(programs: dict[str, Worker], file: Path, number: int, repeats: int, each: int = 1) -> dict[str, Any]:
    """Seconds and CPU seconds of each program, in turn; minimum and median."""
    found: dict[str, list[dict]] = {name: [] for name in programs}
    first = {name: worker.encode(file, number) for name, worker in programs.items()}
    for _ in range(repeats):
        for name, worker in programs.items():
            found[name].append(worker.encode(file, number, each))
    said: dict[str, Any] = {}
    for name, some in found.items():
        seconds, cpu = ([one[what] / each for one in some] for what in ("seconds", "cpu"))
        said[name] = {"seconds": min(seconds), "median": statistics.median(seconds), "cpu": min(cpu),
                      "cpu_median": statistics.median(cpu), "compiled": some[-1]["compiled"]}
    import numpy as np

    vectors = {name: np.load(one["vectors"]) for name, one in first.items()}
    ours = vectors.pop("ours")
    said["difference"] = max(float(np.abs(ours - theirs).max()) for theirs in vectors.values())
    return said


def throughput(flags: Flags, file: Path) -> dict[str, Any]:
    """Both, theirs with each number of threads; on a GPU with each batch size, of which the fastest counts."""
    gpu, cores = flags.device == "gpu", os.cpu_count() or 1
    programs = {"ours": Worker(flags, "ours")}
    programs |= {f"theirs {n}": Worker(flags, "theirs", cores, n) if gpu else Worker(flags, "theirs", n)
                 for n in (flags.batches if gpu else (2, 1))}
    said = turns(programs, file, flags.texts, flags.repeats)
    for worker in programs.values():
        worker.close()
    ours, *theirs = (said[name] for name in programs)
    rivals = theirs if gpu else theirs[:1]
    said |= {"texts": flags.texts, "texts_a_second": flags.texts / ours["seconds"],
             "ratio": min(one["seconds"] for one in rivals) / ours["seconds"],
             "ratio_of_medians": min(one["median"] for one in rivals) / ours["median"],
             "cpu_ratio": min(one["cpu"] for one in theirs) / ours["cpu"]}
    return said | (of_peak(flags, file, ours["seconds"]) if gpu else {})


def of_peak(flags: Flags, file: Path, seconds: float) -> dict[str, float]:
    """Tokens of the texts, and the share of what a GPU can do that their products took."""
    from embeddings import encoder

    model = encoder.load(flags.model)
    starts = model.read(json.loads(file.read_text())[:flags.texts]).starts
    rate = workers.flops(model.config.stack, (starts[1:] - starts[:-1]).tolist()) / seconds
    return {"tokens": int(starts[-1]), "share_of_peak": rate / flags.peak / 1e12}


def long(flags: Flags, file: Path) -> dict[str, Any]:
    """A job of several thousand texts."""
    programs = {"ours": Worker(flags, "ours"), "theirs 2": Worker(flags, "theirs", 2)}
    for worker in programs.values():
        worker.encode(file, 200)
    said = {name: worker.encode(file, flags.long) for name, worker in programs.items()}
    for worker in programs.values():
        worker.close()
    return {name: {what: one[what] for what in ("seconds", "cpu", "peak")} for name, one in said.items()} | {
        "texts": flags.long, "ratio": said["theirs 2"]["seconds"] / said["ours"]["seconds"]}


def query(flags: Flags, file: Path) -> dict[str, Any]:
    """One short text at a time."""
    programs = {"ours": Worker(flags, "ours"), "theirs 2": Worker(flags, "theirs", 2),
               "theirs 1": Worker(flags, "theirs", 1)}
    said = turns(programs, file, 0, flags.repeats, 20)
    for worker in programs.values():
        worker.close()
    best = min(said["theirs 2"]["seconds"], said["theirs 1"]["seconds"])
    return said | {"ratio": best / said["ours"]["seconds"]}


def start(flags: Flags, file: Path) -> dict[str, Any]:
    """From process start to the first vector; ours once with an empty cache of compiled programs."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}

    def once(kind: str) -> float:
        begin = time.perf_counter()
        worker = Worker(flags, kind)
        worker.encode(file, 0)
        taken = time.perf_counter() - begin
        worker.close()
        return taken

    kept = os.environ.get("EMBEDDINGS_CACHE", "")
    with tempfile.TemporaryDirectory() as empty:
        os.environ["EMBEDDINGS_CACHE"] = empty
        os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
        cold = once("ours")
        for _ in range(flags.repeats):
            for kind, some in seconds.items():
                some.append(once(kind))
    os.environ["EMBEDDINGS_CACHE"] = kept
    return {"ours, first time": cold, **{name: {"seconds": min(some), "median": statistics.median(some)}
                                         for name, some in seconds.items()},
            "ratio": statistics.median(seconds["theirs"]) / statistics.median(seconds["ours"])}


def memory(flags: Flags, file: Path) -> dict[str, Any]:
    """Peak of fresh processes."""
    said = {}
    for kind in ("ours", "theirs"):
        worker = Worker(flags, kind)
        said[kind] = worker.encode(file, flags.texts)["peak"]
        worker.close()
    return said | {"share": said["ours"] / said["theirs"]}


def work(kind: str, name: str, threads: int, device: str, dtype: str, batch: int) -> None:
    """The process of a Worker."""
    if kind == "ours":
        command.cache()
        from embeddings import encoder

        model = encoder.load(name, dtype=dtype)
        encode = model.encode
    else:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        folder = Path(name)
        model = SentenceTransformer(str(folder) if folder.exists() else name, model_kwargs={"dtype": dtype},
                                    device={"cpu": "cpu", "gpu": "cuda"}[device])
        encode = functools.partial(model.encode, batch_size=batch)
    import numpy as np

    out = Path(tempfile.mkdtemp()) / "vectors.npy"

    def turn(asked: list[Any]) -> dict[str, Any]:
        file, number, repeats = asked
        texts = json.loads(Path(file).read_text())[:number] or [QUERY]
        for _ in range(repeats):
            vectors = encode(texts)
        np.save(out, vectors)
        programs = sum(p.call._cache_size() for p in model._programs.values()) if kind == "ours" else 0
        return {"compiled": programs, "vectors": str(out)}

    workers.serve(turn)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(*sys.argv[2:4], int(sys.argv[4]), *sys.argv[5:7], int(sys.argv[7]))
    else:
        command.run(main, Flags)
