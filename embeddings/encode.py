"""Encodes texts: a vector each, in their order.

    python -m embeddings.encode --model=all-MiniLM-L6-v2 --input=sentences.txt --output=vectors.npy
    python -m embeddings.encode --model=runs/quick --input=reviews.jsonl --field=title,body --output=vectors.parquet
    cat long.txt | python -m embeddings.encode --model=FOLDER --input=- --windows=64 --output=vectors.jsonl

Of .jsonl, .csv, .tsv and .parquet the columns --field are read, of any other file the lines. The output is a matrix of
float32 as .npy (which numpy maps into memory), or records of row and vector as .parquet or .jsonl. It stands under its
name when it is whole; a command that was cut off is gone on with by the same command, from OUTPUT.rows. Memory does not
grow with the input.
"""
import dataclasses
import hashlib
import inspect
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from embeddings import command
from embeddings.fields import Count, Positive
from embeddings.files import check_output
from embeddings.problems import Problem, UsageProblem

AT_ONCE = {"cpu": 2048}
"""Texts that are encoded and put on disk at a time, by device; elsewhere 16384."""
STANDARD_INPUT = "-"
SUFFIXES = (".npy", ".parquet", ".jsonl")


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is encoded, and how."""

    model: str
    """A run's folder, a file of word vectors, a folder of sentence-transformers or transformers, or a hub's name."""
    input: str
    """File of texts, or - for lines of standard input."""
    output: str
    """File of vectors: .npy, .parquet or .jsonl."""
    field: tuple[str, ...] = ("text",)
    """Columns of .jsonl, .csv, .tsv and .parquet that make a text, joined by a blank."""
    layer: int | None = None
    """Whose states are pooled: 0 for what goes into the first layer, -1 for the last; empty takes the model's way."""
    pooling: tuple[Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"], ...] = ()
    """How tokens become a text; several stand side by side; empty takes the model's way."""
    normalize: bool | None = None
    """Whether vectors are scaled to length 1; empty takes the model's way."""
    truncate_dim: Positive | None = None
    """How many of a vector's first numbers are kept; empty takes all."""
    prompt_name: str | None = None
    """Which of the model's prompts stands before each text; empty takes its default, if any."""
    windows: Count | None = None
    """Tokens in common of the windows that longer texts are read in; empty cuts texts at what the model reads."""
    batch_size: Positive | None = None
    """Texts of 64 tokens read at a time; empty takes what the device is fastest with."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What a contextual model's products are taken in."""
    blank: Literal["refuse", "zeros"] = "refuse"
    """What a text without any characters but blanks gets: the command stops, or zeros."""
    overwrite: bool = False
    """Whether a file that is there is replaced."""

    def validate(self) -> None:
        """Raises UsageProblem for values that do not go together."""
        if Path(self.output).suffix not in SUFFIXES:
            raise UsageProblem(f"--output={self.output}: the name must end in one of {', '.join(SUFFIXES)}")
        if not self.field:
            raise UsageProblem("--field is empty: name a column")


def main(flags: Flags, words: list[str]) -> None:
    """Checks the texts, encodes them part by part, and says what was written."""
    from embeddings.formats.matrices import Growing

    output = Path(flags.output)
    check_output(output, flags.overwrite)
    total = count(flags)
    command.cache()
    import jax

    from embeddings import encoder
    from embeddings.screen import Screen

    model = encoder.load(flags.model, dtype=flags.dtype)
    arguments = chosen(flags, model)
    read, screen, said = texts(flags), Screen(sys.stderr), {}
    with Growing(output) as grown:
        digest = resumed(flags, grown, read, screen)
        for some in parts(read, AT_ONCE.get(jax.default_backend(), 16384)):
            for text in some:
                digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
            vectors = encoded(model, some, arguments, said)
            grown.add(vectors, {"settings": settings(flags), "texts": digest.hexdigest()})
            if total:
                screen.amount("encoding", grown.rows, total)
            else:
                screen.draw(f"encoding: {grown.rows:,} texts")
        screen.end()
        if not grown.rows:
            raise Problem(f"--input={flags.input}: holds no texts")
        grown.close()
    for kind, number in said.items():
        screen.note(f"{number:,} of {grown.rows:,} texts {kind.meaning}")
    print(f"{output}: {grown.rows:,} vectors, {grown.width} dimensions, {output.stat().st_size:,} bytes")


def count(flags: Flags) -> int:
    """How many texts the input has, all of which can be read; 0 where only reading it for good can tell.

    Raises Problem for the first that cannot.
    """
    if flags.input == STANDARD_INPUT:
        return 0
    number = sum(1 for _ in texts(flags))
    if not number:
        raise Problem(f"--input={flags.input}: holds no texts")
    return number


def texts(flags: Flags) -> Iterator[str]:
    """The texts of the input. Raises Problem with file and line for what cannot be read, or is blank where refused."""
    from embeddings.corpus import texts as reading

    if flags.input == STANDARD_INPUT:
        found = reading.lines(sys.stdin.buffer, "standard input")
    elif not Path(flags.input).is_file():
        raise Problem(f"--input={flags.input}: there is no such file; correct the path")
    else:
        found = reading.read(Path(flags.input), flags.field)
    for where, text in found:
        if flags.blank == "refuse" and not text.strip():
            raise Problem(f"{where}: an empty text: remove it, or give it zeros by --blank=zeros")
        yield text


def chosen(flags: Flags, model: Any) -> dict[str, Any]:
    """What the model's encode is told. Raises UsageProblem for flags that mean nothing to it."""
    names = ("layer", "pooling", "normalize", "truncate_dim", "prompt_name", "windows", "batch_size")
    given = {name: value for name in names if (value := getattr(flags, name)) not in (None, ())}
    known = {*inspect.signature(model.encode).parameters, "normalize", "truncate_dim"}
    strange = [name for name in given if name not in known]
    if strange:
        raise UsageProblem(f"--{strange[0]} means nothing to {flags.model} ({type(model).__name__}): leave it out")
    if len(given.get("pooling", ())) == 1:
        given["pooling"] = given["pooling"][0]
    return given


def settings(flags: Flags) -> dict[str, Any]:
    """What has to be the same where a command is gone on with."""
    said = dataclasses.asdict(flags)
    for name in ("input", "output", "overwrite", "batch_size"):
        del said[name]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


def resumed(flags: Flags, grown: Any, read: Iterator[str], screen: Any) -> Any:
    """Reads past the texts that are encoded already; the hash of them.

    Raises Problem where the settings, or these texts, are others than those that were begun with.
    """
    digest, begun = hashlib.sha256(), grown.begun()
    if begun is None:
        return digest
    for _ in range(begun.rows):
        text = next(read, None)
        digest.update(b"" if text is None else text.encode("utf-8", "surrogatepass") + b"\n")
    before = begun.about.get("settings", {})
    other = [f"--{name}" for name, value in settings(flags).items() if before.get(name) != value]
    if not other and begun.about.get("texts") != digest.hexdigest():
        other = ["--input"]
    if other:
        raise Problem(f"{grown.note}: was begun with another {', '.join(other)}: give the same one, or delete the file "
                      "to begin again")
    grown.go_on(begun)
    screen.note(f"{grown.part}: going on from text {begun.rows:,}")
    return digest


def parts(read: Iterator[str], size: int) -> Iterator[list[str]]:
    """Lists of so many texts, the last shorter."""
    some: list[str] = []
    for text in read:
        some.append(text)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def encoded(model: Any, some: Sequence[str], arguments: dict[str, Any], said: dict[type, int]) -> Any:
    """Vectors, zeros for blank texts; what is warned of is counted in `said`."""
    import numpy as np

    arguments, after = dict(arguments), {}
    for name in ("normalize", "truncate_dim"):
        if name not in inspect.signature(model.encode).parameters and name in arguments:
            after[name] = arguments.pop(name)
    full = [number for number, text in enumerate(some) if text.strip()]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vectors = model.encode([some[number] for number in full], **arguments)
    for warning in caught:
        if not hasattr(warning.message, "count"):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
            continue
        said[warning.category] = said.get(warning.category, 0) + warning.message.count
    vectors = vectors[:, : after.get("truncate_dim")]
    if after.get("normalize"):
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if len(full) == len(some):
        return vectors
    whole = np.zeros((len(some), vectors.shape[1]), np.float32)
    whole[full] = vectors
    return whole


if __name__ == "__main__":
    command.run(main, Flags)
