"""One run of another program's word vectors, in a process of its own: for words.py.

    python experiments/speed/peers.py '["gensim skipgram", "lines.txt", "out", 100, 1, 2, 0.05, 0]'

The arguments are a program's name, a file of words in lines, where the vectors go (.npy), width, epochs, threads,
learning rate and seed. Prints one JSON object: seconds until the vocabulary (of GloVe: its counts) was ready, seconds
of training, the words.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def gensim(model, file: str, epochs: int) -> tuple[float, float, list[str], np.ndarray]:
    """Trains from the file with gensim's fast reader (corpus_file)."""
    start = time.perf_counter()
    model.build_vocab(corpus_file=file)
    ready = time.perf_counter()
    total = {"total_examples": model.corpus_count, "total_words": model.corpus_total_words}
    model.train(corpus_file=file, epochs=epochs, **total)
    return ready - start, time.perf_counter() - ready, model.wv.index_to_key, model.wv.vectors


def glove(file: str, width: int, epochs: int, threads: int, rate: float, seed: int) -> tuple:
    """Counts, shuffles and trains with the authors' programs, which are in the folder GLOVE."""
    folder, here = Path(os.environ["GLOVE"]), Path(tempfile.mkdtemp(dir=Path(file).parent))

    def run(program: str, read: str, write: str, *options: object) -> float:
        start = time.perf_counter()
        with (here / read).open("rb") as source, (here / write).open("wb") as target:
            subprocess.run([folder / program, *map(str, options), "-verbose", "0"], stdin=source, stdout=target,
                           check=True, cwd=here)
        return time.perf_counter() - start

    words = ("-vocab-file", "words")
    prepared = run("vocab_count", file, "words", "-min-count", 5)
    prepared += run("cooccur", file, "counts", *words, "-window-size", 10, "-memory", 4)
    prepared += run("shuffle", "counts", "shuffled", "-memory", 4, "-seed", seed)
    trained = run("glove", "shuffled", "said", *words, "-input-file", "shuffled", "-save-file", "vectors",
                  "-vector-size", width, "-iter", epochs, "-threads", threads, "-eta", rate, "-x-max", 10,
                  "-alpha", 0.75, "-binary", 0, "-seed", seed)
    rows = [line.rstrip().split(" ") for line in (here / "vectors.txt").read_text().splitlines()]
    rows = [row for row in rows if row[0] != "<unk>"]
    pairs = (here / "shuffled").stat().st_size // 16 * epochs
    shutil.rmtree(here)
    return prepared, trained, [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32), pairs


def main() -> None:
    """Runs what the argument names."""
    program, file, out, width, epochs, threads, rate, seed = json.loads(sys.argv[1])
    shared = {"vector_size": width, "window": 5, "sample": 1e-3, "min_count": 5, "alpha": rate, "seed": seed,
              "workers": threads, "epochs": epochs}
    more = {}
    if program == "glove":
        prepared, trained, words, vectors, more["pairs"] = glove(file, width, epochs, threads, rate, seed)
    elif program == "fasttext":
        import fasttext

        start = time.perf_counter()
        # It counts words as it starts: 0 epochs are not allowed, so that part is not told apart.
        model = fasttext.train_unsupervised(
            file, model="skipgram", dim=width, ws=5, neg=5, t=1e-3, minCount=5, lr=rate, epoch=epochs, thread=threads,
            minn=3, maxn=6, bucket=2_000_000, verbose=0,
        )
        prepared, trained = 0.0, time.perf_counter() - start
        words = [word for word in model.get_words() if word != "</s>"]
        vectors = np.stack([model.get_word_vector(word) for word in words])
    else:
        from gensim.models import FastText, Word2Vec

        made = {
            "gensim skipgram": lambda: Word2Vec(sg=1, negative=5, **shared),
            "gensim cbow": lambda: Word2Vec(sg=0, negative=5, **shared),
            "gensim hierarchical": lambda: Word2Vec(sg=1, hs=1, negative=0, **shared),
            "gensim fasttext": lambda: FastText(sg=1, negative=5, min_n=3, max_n=6, bucket=2_000_000, **shared),
        }[program]()
        prepared, trained, words, vectors = gensim(made, file, epochs)
    np.save(out, vectors)
    print(json.dumps({"prepared": prepared, "trained": trained, "words": list(words), **more}))


if __name__ == "__main__":
    main()
