"""Where examples of texts come from: sets by name or files, as a loss wants them."""
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from embeddings.corpus import example_files, example_sets
from embeddings.corpus.example_files import Broken, Example
from embeddings.evaluation import labelled
from embeddings.experiment import Experiment, SentenceBert
from embeddings.files import sha256
from embeddings.levels import Place
from embeddings.problems import Problem, UsageProblem
from embeddings.spelling import suggestion
from embeddings.training.architectures import sentences

NEEDS = {"softmax": "class", "regression": "number", "cosine": "score", "contrastive": "class"}
"""The kind of label that a loss is trained on; a score is a number from -1 to 1."""
LABELLED = {"sst2": "SST2", "sst5": "SST5", "trec": "TREC", "subj": "SUBJ", "banking77": "Banking77"}
"""Sets of labelled texts whose training parts are examples of a text and its class."""


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Where one set comes from."""

    name: str
    read: Callable[[], Iterator[Example | Broken]]
    content: Callable[[], str]
    """What names its content."""
    label: str
    """"", "class", "score" or "number"."""

    def __str__(self) -> str:
        return self.name


def source(name: str, settings: Experiment, place: Place) -> Source:
    """The set of that name. Raises as levels.sentences.find does."""
    part: SentenceBert = settings.model
    need, path = NEEDS.get(part.loss, ""), Path(name)
    if name == example_sets.PYTHON_DOCS:
        def documentation() -> Iterator[Example]:
            return example_sets.documentation(place.cache)

        return _checked(Source(name, documentation, lambda: _digest(documentation()), ""), 2, part)
    if name in example_sets.SETS:
        if place.data is None:
            raise Problem(f"--examples.sets={name}: no folder of data sets is known: name it with EMBEDDINGS_DATA")
        one, data = example_sets.SETS[name], place.data
        label = one.label if need else ""
        label = "number" if (need, label) == ("number", "score") else label  # which a score is too
        return _checked(Source(name, lambda: one.read(data), lambda: _digest(one.read(data)), label), one.columns, part)
    if name in LABELLED and place.data is not None and labelled.find(place.data, (LABELLED[name],)):
        def labels() -> Iterator[Example]:
            train = labelled.parted(labelled.read(place.data, LABELLED[name])).train
            return (Example((text,), label) for text, label in zip(train.texts, train.labels, strict=True))

        return _checked(Source(name, labels, lambda: _digest(labels()), "class" if need else ""), 1, part)
    if not path.is_file():
        known = [*example_sets.SETS, *LABELLED, example_sets.PYTHON_DOCS]
        raise UsageProblem(f"--examples.sets={name}: no such file, and none of {', '.join(known)}"
                           f"{suggestion(name, known)}")
    given = settings.examples
    if need and not given.label:
        raise UsageProblem(f"--{settings.architecture}.loss={part.loss} needs a {need}: name its column with "
                           "--examples.label")

    def rows() -> Iterator[Example | Broken]:
        return example_files.read(path, given.columns, given.label if need else "")

    settled = "|".join((*given.columns, given.label))
    return _checked(Source(name, rows, lambda: sha256(path) + settled, need), len(given.columns), part)


def _checked(source: Source, columns: int, part: SentenceBert) -> Source:
    """The source. Raises UsageProblem where it does not go with the loss."""
    wanted, need = sentences.texts(part), NEEDS.get(part.loss, "")
    if columns < wanted or (part.loss != "in_batch" and columns > max(wanted, 1) and part.loss != "simcse"):
        raise UsageProblem(f"--examples.sets={source}: its examples have {columns} texts, loss {part.loss} needs "
                           f"{wanted}")
    if need and source.label != need:
        raise UsageProblem(f"--examples.sets={source}: it has {f'a {source.label}' if source.label else 'no label'}, "
                           f"loss {part.loss} needs a {need}")
    return source


def _digest(rows: Iterator[Example | Broken]) -> str:
    whole = hashlib.sha256()
    for row in rows:
        whole.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def texts(sources: Sequence[Source]) -> Iterator[str]:
    """All texts of their examples, one after the other."""
    for one in sources:
        for example in one.read():
            if isinstance(example, Example):
                yield from example.texts
