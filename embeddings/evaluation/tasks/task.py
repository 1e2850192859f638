"""A task that a model is measured by: what it needs, what is done, how that is shown; and how one is found and made."""
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from embeddings.contextual.texts import ALONE
from embeddings.encoder import Pooling
from embeddings.evaluation import analogies, scores, sts, word_similarity
from embeddings.evaluation.table import Table
from embeddings.experiment import Evaluate
from embeddings.problems import Problem

Result = analogies.Result | word_similarity.Result | sts.Result | scores.Result
Need = Literal["words", "texts", "tokens", "classes", "numbers", "tags", "answers", "predictions"]
NEEDS: dict[Need, tuple[str, tuple[str, ...]]] = {
    "words": ("a table of word vectors", ("words",)),
    "texts": ("an encoder of texts", ("encode",)),
    "classes": ("classes of its own, which --sentence_bert.loss=softmax trains", ("classify",)),
    "numbers": ("numbers of its own, which --sentence_bert.loss=regression trains", ("predict",)),
    "tags": ("tags of its own, which --architecture=tagger trains", ("tag",)),
    "answers": ("answers of its own, which --architecture=reader trains", ("answer",)),
    "tokens": ("a vector of every word of a sentence", ("tokens", "words")),
    "predictions": ("a model of running text that predicts words", ("fill",)),
}
"""What a task can need of a model, in words, and which attributes, any of them, say that a model has it."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What tasks are told beside the folder of data sets."""

    vocabulary: int = 30000
    """Most frequent words that analogy questions and answers are taken from; 0 takes all."""
    methods: Sequence[str] = analogies.METHODS
    """How analogies are answered."""
    pooling: Sequence[Pooling] = ("mean", "sif")
    """How words become a text, see WordVectors.encode."""
    collections: Sequence[Path] = ()
    """Files of (query, document) pairs that retrieval is measured on too."""
    fields: tuple[str, str] = ("query", "document")
    """Their names in these files."""
    cache: Path = Path("cache")
    """Folder for what is collected once."""
    published: str = ""
    """Model of sts.PUBLISHED whose scores stand beside; empty takes none."""
    text: Path | None = None
    """File whose perplexity is measured, from here or from the folder of data sets."""
    stride: int | None = None
    """Tokens between the windows of a causal model; None takes half of its length."""


DEFAULTS = Options()


def of(part: Evaluate, cache: Path) -> Options:
    """What the flags of a run say."""
    return Options(vocabulary=part.vocabulary, cache=cache, text=Path(part.text) if part.text else None,
                   stride=part.stride or None)


@dataclasses.dataclass(frozen=True)
class Task:
    """A name, what is done under it, and how that is shown."""

    name: str
    needs: Need
    run: Callable[[Any], tuple[Result, ...]]
    """A model in, a result a way of using it out."""
    table: Callable[[Sequence[Result]], Table]
    """Results side by side."""
    baselines: Callable[[], tuple[Result, ...]] = tuple
    """Results to stand beside any model's; may raise Problem where an extra is not installed."""
    unfit: Callable[[Sequence[int], Sequence[str]], str | None] = lambda at_once, classes: None
    """Why a model is no use that tells these classes, or numbers where there are none, of so many texts at once."""

    def lacking(self, model: Any) -> str | None:
        """What the model lacks for this task; None where it lacks nothing."""
        reason = lacking(self.needs, model)
        if reason or self.needs not in ("classes", "numbers"):
            return reason
        return self.unfit(read_at_once(model), model.head.classes)

    def beside_baselines(self, model: Any) -> tuple[tuple[Result, ...], str | None]:
        """Results of the model and of the baselines, and why the latter are missing, where they are."""
        results = self.run(model)
        try:
            return results + self.baselines(), None
        except Problem as problem:
            return results, str(problem)

    def scores(self, model: Any) -> dict[str, float]:
        """The numbers to follow through training, by name."""
        return {name: score for result in self.run(model) for name, score in result.scores().items()}


def lacking(needs: Need, model: Any) -> str | None:
    """What of NEEDS a model has not; None where it has it."""
    wanted, signs = NEEDS[needs]
    if needs in ("texts", "tokens", "predictions") and getattr(model, "pipeline", ALONE).joined:
        return f"needs {wanted}, and the model reads pairs of texts as one"
    return None if any(hasattr(model, sign) for sign in signs) else f"needs {wanted}, which the model has not"


def read_at_once(model: Any) -> tuple[int, ...]:
    """Of how many texts a model tells something: one, or two, or either."""
    joined = getattr(model, "pipeline", ALONE).joined
    return (1, 2) if joined is None else (2 if joined else model.head.linear.texts,)


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a task is found and made."""

    missing: Callable[[Path], str | None]
    """What is not in a folder of data sets; None where the task can be made."""
    make: Callable[[str, Path, Options], Task]


def unless(file: Path) -> str | None:
    """What is missing where a file is not there."""
    return None if file.is_file() else f"{file} is missing"


def unless_all(data: Path, files: Sequence[Path]) -> str | None:
    """The same of several files below a folder; the first that is missing."""
    return next((said for file in files if (said := unless(data / file))), None)
