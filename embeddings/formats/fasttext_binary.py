"""The .bin files of fastText, version 12: arguments, dictionary, input matrix [V + buckets, D], output matrix.

Its layout, all little-endian: int32 magic, version; the arguments below (int32, the last float64); int32 entries,
words, labels; int64 tokens, pruned; an entry each: its bytes, a zero byte, int64 count, int8 kind (0 word, 1 label); a
byte whether the input is quantized; int64 rows, columns, then float32 rows; the same again for the output. Row V + b is
of bucket b; a word's vector is the mean of its row and those of its n-grams. Version 11 is alike; files from before
(2016) lack magic and version, the number pruned and the bytes about quantization.
"""
import dataclasses
import mmap
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from embeddings.experiment import Experiment, Word2Vec
from embeddings.formats.ngrams import composed, without_ngrams
from embeddings.formats.streams import BLOCK, opened, written
from embeddings.formats.vectors import Vectors, decoded, distinct, finite, utf8
from embeddings.problems import Problem
from embeddings.tokenizers.subwords import Subwords

MAGIC, VERSION = 793712314, 12
_START = struct.Struct("<2i")
_ARGUMENTS = struct.Struct("<12id")
_SIZES = struct.Struct("<3iq")
_PRUNED = struct.Struct("<q")
_ENTRY = struct.Struct("<qb")
_SHAPE = struct.Struct("<2q")
_SUPERVISED = 3


@dataclasses.dataclass(frozen=True)
class Arguments:
    """fastText's own settings, by its names and numbers."""

    dim: int
    ws: int = 5
    epoch: int = 5
    min_count: int = 5
    neg: int = 5
    word_ngrams: int = 1
    loss: int = 2
    """1 hierarchical softmax, 2 negative sampling, 3 softmax."""
    model: int = 2
    """1 CBOW, 2 skip-gram, 3 supervised."""
    bucket: int = 0
    minn: int = 0
    maxn: int = 0
    lr_update_rate: int = 100
    t: float = 1e-4

    @classmethod
    def of(cls, settings: Experiment) -> "Arguments":
        """What says how a run was trained, as far as fastText has names for it."""
        part = settings.model
        found = cls(part.width, part.window, max(1, round(settings.train.epochs)), settings.vocabulary.min_count)
        if not isinstance(part, Word2Vec):
            return found
        loss = {"hierarchical_softmax": 1, "negative_sampling": 2, "nce": 2}.get(part.loss, 3)
        model = {"cbow": 1, "skipgram": 2}[part.algorithm]
        return dataclasses.replace(found, neg=part.negatives, t=part.subsample, loss=loss, model=model)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A whole model, as it was trained."""

    arguments: Arguments
    words: tuple[str, ...]
    counts: Int64[np.ndarray, "V"]
    tokens: int
    """Words read in an epoch."""
    rows: Float[np.ndarray, "V D"]
    """Input rows of the words alone."""
    ngrams: Float[np.ndarray, "buckets D"]
    """Input rows of the buckets."""
    output: Float[np.ndarray, "outputs D"]
    """Row v is what word v (hierarchical softmax: inner node v; supervised: label v) is predicted by."""

    @classmethod
    def of(cls, vectors: Vectors, arguments: Arguments | None = None) -> "Model":
        """A model that gives these vectors; what they do not say: counts are 1, the output is zeros.

        Where they have n-grams, the words' own rows are worked out of their vectors, to float32's rounding.
        """
        (count, width), cut = vectors.vectors.shape, vectors.subwords
        arguments = dataclasses.replace(arguments or Arguments(width), dim=width, bucket=0, minn=0, maxn=0)
        rows, ngrams = vectors.vectors, np.zeros((0, width), np.float32)
        if cut is not None and vectors.ngrams is not None:
            rows, ngrams = without_ngrams(vectors.words, cut, vectors.ngrams, rows), cut.expanded(vectors.ngrams)
            arguments = dataclasses.replace(arguments, bucket=cut.buckets, minn=cut.minimum, maxn=cut.maximum)
        counts = np.ones(count, np.int64) if vectors.counts is None else vectors.counts
        zeros = np.broadcast_to(np.float32(0), (count, width))
        return cls(arguments, vectors.words, counts, int(counts.sum()), rows, ngrams, zeros)

    @property
    def subwords(self) -> Subwords | None:
        """How words are cut into n-grams, if they are."""
        some = self.arguments.bucket and self.arguments.maxn >= max(self.arguments.minn, 1)
        return Subwords(self.arguments.minn, self.arguments.maxn, self.arguments.bucket) if some else None

    def vectors(self, path: Path) -> Vectors:
        """What the model is used by: a vector a word, and the rows of the buckets for words it does not know.

        The first of equal words counts (with a warning RepeatedWord that names the file). Raises Problem for a vector
        that is not finite.
        """
        vectors = self.rows if self.subwords is None else composed(self.words, self.subwords, self.ngrams, self.rows)
        finite(vectors, self.words)
        kept = distinct(self.words, path)
        words, counts = self.words, self.counts
        if kept is not None:
            words, vectors, counts = tuple(words[i] for i in kept), vectors[kept], counts[kept]
        return Vectors(words, vectors, counts, self.subwords, None if self.subwords is None else self.ngrams)


class _Bytes:
    """A file's content, memory-mapped, read from front to back with its size checked first."""

    def __init__(self, path: Path):
        with opened(path):
            pass  # its complaints
        with path.open("rb") as handle:
            self.content = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        self.path, self.at = path, 0

    def need(self, size: int, what: str) -> None:
        """Raises Problem where fewer bytes are left."""
        if not 0 <= size <= len(self.content) - self.at:
            raise Problem(f"{self.path}: byte {self.at:,}: expected {what}, {size:,} bytes, but the file ends at byte "
                          f"{len(self.content):,}: it is cut off or damaged; copy it again")

    def take(self, layout: struct.Struct, what: str) -> tuple:
        """The next numbers."""
        self.need(layout.size, what)
        found = layout.unpack_from(self.content, self.at)
        self.at += layout.size
        return found

    def wrong(self, at: int, what: str) -> Problem:
        """What to say of a damaged file."""
        return Problem(f"{self.path}: byte {at:,}: {what}: the file is damaged, or no fastText model; copy it again")


def begins(head: bytes) -> bool:
    """Whether a file with these first 64 bytes is a fastText model."""
    if len(head) < _ARGUMENTS.size or struct.unpack_from("<i", head)[0] == MAGIC:
        return head[:4] == struct.pack("<i", MAGIC)
    old = Arguments(*_ARGUMENTS.unpack_from(head))
    return (0 < old.dim < 1 << 16 and old.loss in (1, 2, 3) and old.model in (1, 2, 3) and 0 <= old.minn < 64
            and 0 <= old.maxn < 64 and 0 <= old.t < 1 and min(dataclasses.astuple(old)) >= 0)


def read(path: Path) -> Model:
    """A model; its matrices are memory-mapped, its words in memory.

    Raises Problem with the byte where the file is cut off or damaged, and for quantized models (.ftz), which hold codes
    instead of vectors.
    """
    file = _Bytes(path)
    new = file.content[:4] == struct.pack("<i", MAGIC)
    version = file.take(_START, "fastText's magic number and version")[1] if new else 0
    if version > VERSION:
        raise Problem(f"{path}: byte 4: version {version} of the format is not known here, only {VERSION}: "
                      "write it by fastText 0.9")
    arguments = Arguments(*file.take(_ARGUMENTS, "fastText's arguments"))
    if version == 11 and arguments.model == _SUPERVISED:
        arguments = dataclasses.replace(arguments, maxn=0)  # as fastText does: those had no n-grams
    words, counts, labels, tokens = _dictionary(file, new)
    if new and file.take(struct.Struct("<?"), "whether the model is quantized")[0]:
        raise Problem(f"{path}: byte {file.at - 1:,}: a quantized model (.ftz) holds codes instead of vectors: load "
                      "the .bin file that it was made from")
    rows = _matrix(file, "input", len(words) + arguments.bucket, arguments.dim)
    if new:
        file.take(struct.Struct("<?"), "whether the output is quantized")
    output = _matrix(file, "output", labels or len(words), arguments.dim)
    if file.at != len(file.content):
        raise file.wrong(file.at, f"the file goes on to byte {len(file.content):,} after its last matrix")
    return Model(arguments, words, counts, tokens, rows[: len(words)], rows[len(words) :], output)


def _dictionary(file: _Bytes, new: bool) -> tuple[tuple[str, ...], Int64[np.ndarray, "V"], int, int]:
    """Words, their counts, the number of labels, and of tokens."""
    start = file.at
    entries, count, labels, tokens = file.take(_SIZES, "the dictionary's sizes")
    pruned = file.take(_PRUNED, "the dictionary's sizes")[0] if new else -1
    if count < 1 or labels < 0 or entries != count + labels:
        raise file.wrong(start, f"{entries:,} entries that are {count:,} words and {labels:,} labels")
    file.need(entries * (_ENTRY.size + 1), f"a dictionary of {entries:,} entries")
    words, counts = [], np.empty(entries, np.int64)
    for entry in range(entries):
        end = file.content.find(b"\0", file.at)
        if end < 0 or end + 1 + _ENTRY.size > len(file.content):
            file.at, left = len(file.content), entries - entry
            file.need(left * (_ENTRY.size + 1), f"{left:,} more entries of the dictionary")
        counts[entry], kind = _ENTRY.unpack_from(file.content, end + 1)
        if kind != (entry >= count) or counts[entry] < 0:
            raise file.wrong(file.at, f"entry {entry + 1:,} of the dictionary has kind {kind}, count {counts[entry]}")
        words.append(file.content[file.at : end])
        file.at = end + 1 + _ENTRY.size
    file.need(max(pruned, 0) * 8, f"{pruned:,} kept buckets")
    file.at += max(pruned, 0) * 8
    return decoded(words[:count]), counts[:count], labels, tokens


def _matrix(file: _Bytes, name: str, rows: int, width: int) -> Float[np.ndarray, "rows D"]:
    """The next matrix, memory-mapped."""
    start = file.at
    shape = file.take(_SHAPE, f"the shape of the {name} matrix")
    if shape != (rows, width):
        raise file.wrong(start, f"the {name} matrix is {shape[0]:,} x {shape[1]:,} where {rows:,} x {width:,} belongs")
    file.need(4 * rows * width, f"the {name} matrix, {rows:,} x {width:,}")
    found = np.memmap(file.path, "<f4", "r", file.at, shape)
    file.at += 4 * rows * width
    return found


def write(path: Path, model: Model) -> None:
    """Writes a model that fastText and gensim open. Raises Problem, with nothing written, for what it cannot hold."""
    for word in model.words:
        if "\0" in word:
            raise Problem(f"{path}: the word {word!r} has a zero byte inside, which ends words here: leave it out")
    sizes = (len(model.words), len(model.words), 0, model.tokens)
    with written(path) as handle:
        handle.write(_START.pack(MAGIC, VERSION) + _ARGUMENTS.pack(*dataclasses.astuple(model.arguments)))
        handle.write(_SIZES.pack(*sizes) + _PRUNED.pack(-1))
        for word, count in zip(model.words, model.counts.tolist(), strict=True):
            handle.write(b"%b\0%b" % (utf8(word), _ENTRY.pack(count, 0)))
        for matrices in ((model.rows, model.ngrams), (model.output,)):
            handle.write(b"\0" + _SHAPE.pack(sum(map(len, matrices)), model.arguments.dim))
            for matrix in matrices:
                for at in range(0, len(matrix), at_once := max(1, BLOCK // (4 * model.arguments.dim))):
                    handle.write(np.ascontiguousarray(matrix[at : at + at_once], "<f4").tobytes())
