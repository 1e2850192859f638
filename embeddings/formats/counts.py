"""Files of words and their counts, as word2vec (-save-vocab) and GloVe (vocab.txt) write them, and runs of ours."""
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from embeddings.formats.streams import line_blocks, opened
from embeddings.problems import Problem


def read_counts(path: Path, index: Mapping[str, int]) -> Int64[np.ndarray, "V"]:
    """The counts of the words in `index`, by their rows; 0 for those that the file lacks.

    A line is a word, a blank or tab, and its count; lines that begin with `# ` are comments. The file may be .gz.
    Raises Problem with file and line for another line, and where none of its words is known.
    """
    counts = np.zeros(len(index), np.int64)
    with opened(path) as handle:
        for number, block in line_blocks(handle, path):
            for at, line in enumerate(block.decode("utf-8", "surrogateescape").split("\n")[:-1], number):
                word, _, count = line.rstrip("\r").replace("\t", " ").rpartition(" ")
                if word and count.isascii() and count.isdecimal() and len(count) < 19:
                    if word in index:
                        counts[index[word]] += int(count)
                elif not line.startswith("# "):
                    raise Problem(f"{path}:{at}: expected a word, a blank and its count: correct the line")
    if not counts.any():
        raise Problem(f"{path}: counts none of the words of the vectors: name the file that belongs to them")
    return counts
