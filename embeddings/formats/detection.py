"""Which format a file of vectors has, from its content, whatever its name."""
from pathlib import Path
from typing import Literal

from embeddings.formats import fasttext_binary, text, word2vec_binary
from embeddings.formats.streams import GZIP, opened
from embeddings.formats.vectors import Vectors
from embeddings.problems import Problem

Format = Literal["word2vec", "word2vec_binary", "glove", "fasttext_binary"]
"""Text with a line `V D` above (also fastText's .vec), word2vec's binary, text without that line, fastText's model."""
HEAD = 1 << 16
"""Bytes that are looked at."""
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r")) + b"\x7f"
_NUMERIC = b"0123456789+-.eEnaifNAIF \t\r"


def detect(path: Path) -> Format:
    """The format of a file, plain or .gz. Raises Problem where it is none, or cannot be read."""
    with opened(path) as handle:
        head = handle.read(HEAD)
    if not head:
        raise Problem(f"{path}: is empty: copy it again")
    if fasttext_binary.begins(head):
        with path.open("rb") as handle:
            if handle.read(len(GZIP)) == GZIP:
                raise Problem(f"{path}: a fastText model is read unpacked: run `gunzip {path.name}` first")
        return "fasttext_binary"
    line, _, rest = head.partition(b"\n")
    if text.HEADER.fullmatch(line):
        return "word2vec_binary" if _binary(rest, int(line.split()[1])) else "word2vec"
    if not text.looks_so(head):
        raise Problem(f"{path}: no format of word vectors that is known here: text (word2vec, GloVe, fastText's .vec), "
                      "word2vec's binary, or fastText's .bin")
    return "glove"


def _binary(rest: bytes, width: int) -> bool:
    """Whether what follows the line `V D` is float32 bytes, where text has D numbers."""
    row = rest.partition(b"\n")[0].split()[-width:]
    if len(row) == width and all(not field.translate(None, _NUMERIC) for field in row):
        return False
    numbers = rest.lstrip(b"\n").partition(b" ")[2][: 4 * width]
    return len(numbers) != len(numbers.translate(None, _CONTROL)) or not numbers.isascii()


def read(path: Path) -> Vectors:
    """The words and vectors of a file of any format; see each format's read.

    Raises Problem, one line, naming file and line or byte, for anything that cannot be read whole.
    """
    form = detect(path)
    if form == "fasttext_binary":
        return fasttext_binary.read(path).vectors(path)
    return word2vec_binary.read(path) if form == "word2vec_binary" else text.read(path, header=form == "word2vec")
