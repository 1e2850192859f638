"""Writes a model as others open it: word vectors for word2vec, GloVe, fastText, gensim; Transformers as a folder.

    python -m embeddings.export --model=runs/quick --output=quick.vec
    python -m embeddings.export --model=runs/subwords --output=subwords.bin --format=fasttext_binary

word2vec and fasttext are the same text, with a line `V D` above; glove has no such line; a name that ends in .gz packs
either. word2vec_binary and fasttext_binary hold the numbers as they are, the latter with counts, and with the rows of
n-grams where the model has them.

    python -m embeddings.export --model=runs/sentences --output=my-model

sentence_transformers is a folder that sentence-transformers and transformers open, with a model card: what it was made
from, with which flags, and its scores. A tagger is a *ForTokenClassification there, a reader a *ForQuestionAnswering.
"""
import dataclasses
from pathlib import Path
from typing import Any, Literal

from embeddings import command
from embeddings.files import check_output
from embeddings.problems import Problem, UsageProblem

BY_SUFFIX = {".vec": "fasttext", ".txt": "word2vec", ".bin": "word2vec_binary",
             "": "sentence_transformers"}


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is written, and where to."""

    model: str
    """A run's folder, a file of vectors in any of these formats, or the folder or name of a contextual model."""
    output: str
    """The file or folder to write."""
    format: Literal["", "word2vec", "word2vec_binary", "glove", "fasttext", "fasttext_binary",
                    "sentence_transformers"] = ""
    """How; empty takes it from the name: .vec is fasttext, .txt word2vec, .bin word2vec_binary, a name without a point
    sentence_transformers."""
    overwrite: bool = False
    """Whether a file that is there is replaced; a folder never is."""

    def validate(self) -> None:
        """Raises UsageProblem for values that do not go together."""
        name = self.output.removesuffix(".gz")
        if not self.format and Path(name).suffix not in BY_SUFFIX:
            raise UsageProblem(f"--output={self.output}: the name tells no format: end it in .vec, .txt or .bin (a "
                               "folder's has no point), or say --format")
        if name != self.output and self.written_as not in ("word2vec", "glove", "fasttext"):
            raise UsageProblem(f"--output={self.output}: only text is packed: leave out .gz")

    @property
    def written_as(self) -> str:
        """The format, from the name where it is not given."""
        return self.format or BY_SUFFIX[Path(self.output.removesuffix(".gz")).suffix]


def main(flags: Flags, words: list[str]) -> None:
    """Reads, writes, and says what was written."""
    output = Path(flags.output)
    check_output(output, flags.overwrite, flags.written_as == "sentence_transformers")
    if flags.written_as == "sentence_transformers":
        write_folder(flags.model, output)
        print(f"{output}: a folder for sentence-transformers and transformers")
        return
    from embeddings.formats import fasttext_binary, text, word2vec_binary

    vectors, model = read(Path(flags.model))
    if flags.written_as == "fasttext_binary":
        whole = isinstance(model, fasttext_binary.Model)
        fasttext_binary.write(output, model if whole else fasttext_binary.Model.of(vectors, model))
    elif flags.written_as == "word2vec_binary":
        word2vec_binary.write(output, vectors)
    else:
        text.write(output, vectors, header=flags.written_as != "glove")
    count, width = vectors.vectors.shape
    print(f"{output}: {count:,} words, {width} dimensions, {flags.written_as}, {output.stat().st_size:,} bytes")


def write_folder(model: str, output: Path) -> None:
    """Writes the folder of a contextual model. Raises Problem for another one, and where the folder is there."""
    from embeddings import encoder
    from embeddings.contextual import card, folder
    from embeddings.contextual.model import Contextual

    loaded = encoder.load(model)
    if not isinstance(loaded, Contextual):
        raise Problem(f"--model={model}: {type(loaded).__name__} is no Transformer, and others' folders are of these "
                      "alone; word vectors are written to a file, as --output=vectors.vec")
    folder.write(output, loaded, card.card(loaded, Path(model)))


def read(path: Path) -> tuple[Any, Any]:
    """The vectors of a run's folder or a file (formats.vectors.Vectors), and what fastText's format holds beside them.

    That is the file's own Model, or the Arguments of a run, or None.
    """
    from embeddings.formats import detection, fasttext_binary
    from embeddings.formats.vectors import Vectors

    if path.is_dir():
        from embeddings import encoder
        from embeddings.training import run_folder

        if run_folder.read_experiment(path).contextual:
            raise Problem(f"--model={path}: trained a contextual model, which has no file of vectors: write a folder, "
                          "as --output=my-model")
        settings, *rest = run_folder.read_tables(path)
        held = encoder.encoded(settings, *rest)
        vectors = Vectors(held.words, held.vectors, held.counts, held.subwords, held.ngrams)
        return vectors, fasttext_binary.Arguments.of(settings)
    if not path.exists():
        raise Problem(f"{path}: no such run folder or file of vectors")
    if detection.detect(path) != "fasttext_binary":
        return detection.read(path), None
    model = fasttext_binary.read(path)
    return model.vectors(path), model


if __name__ == "__main__":
    command.run(main, Flags)
