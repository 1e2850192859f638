"""The tasks that a model is measured by, each found with its data and ready to run. What a task needs says on which:

    a table of word vectors
        analogies       the Google set (Mikolov et al. 2013), by 3CosAdd and 3CosMul
        similarity      every set of word pairs that is there
        python_docs     the package's own analogies about Python's documentation, by 3CosAdd and 3CosMul
    an encoder of texts; word vectors are one, by the mean of a text's words, or SIF's
        sts             sentence similarity
        sts-b           its STS benchmark alone; sts-b-dev is that one's development part, to choose runs by
        pairs           paraphrases told from pairs that are none
        classification  logistic regression on few samples a label, as MTEB has it
        clustering      v-measure of k-means
        retrieval       documents ranked for a query, beside BM25
        documentation   texts of Python's documentation ranked for their summaries, beside BM25 and word vectors
        senteval        logistic regression by SentEval's protocol; takes minutes
    a vector of every word of a sentence
        entities        named entities by a probe
    classes, numbers, tags or answers of its own
        classes         accuracy on the test parts of those of SST2, SST5, TREC, SUBJ (every tenth text),
                        Banking77, and of pairs MRPC and SNLI, that have the same ones
        regression      Pearson's and Spearman's correlation of its numbers for the pairs of the STS benchmark
        glue-cola, -sst-2, -mrpc, -sts-b, -qqp, -mnli, -qnli, -rte    the development part of one of GLUE's tasks
        tags            named entities of those of WNUT17 and CoNLL-2003 whose types are the model's
        answers         spans that answer the questions of SubjQA, XQuAD and SQuAD
    a model of running text
        perplexity      how well it predicts a text
"""
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from embeddings.contextual.texts import ALONE
from embeddings.corpus import glue
from embeddings.encoder import Pooling, WordVectors
from embeddings.evaluation import (
    analogies,
    answers,
    classification,
    clustering,
    documentation,
    entities,
    judged,
    labelled,
    pair_classification,
    paired,
    perplexity,
    retrieval,
    scores,
    senteval,
    sts,
    word_similarity,
)
from embeddings.evaluation.scores import Encode
from embeddings.evaluation.table import Table
from embeddings.experiment import Evaluate
from embeddings.problems import Problem, UsageProblem

GOOGLE = Path("analogy/questions-words.txt")
PAIRS = Path("wordsim")
PYTHON_DOCS = Path(__file__).with_name("python_docs.txt")
STOP_WORDS = Path(__file__).with_name("english_stop_words.txt")

OWN = ("SST2", "SST5", "TREC", "SUBJ", "Banking77")
"""Sets of texts with a class that models are trained on (levels/sentences.py), and measured by the test part of."""

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
        wanted, signs = NEEDS[self.needs]
        if self.needs in ("texts", "tokens", "predictions") and getattr(model, "pipeline", ALONE).joined:
            return f"needs {wanted}, and the model reads pairs of texts as one"
        if not any(hasattr(model, sign) for sign in signs):
            return f"needs {wanted}, which the model has not"
        return self.unfit(read_at_once(model), model.head.classes) if self.needs in ("classes", "numbers") else None

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


def ways(model: Any, pooling: Sequence[Pooling]) -> dict[str, Encode]:
    """How a model encodes texts, by name: word vectors by each pooling, any other as it does."""
    if isinstance(model, WordVectors):
        return {how: functools.partial(model.encode, pooling=how) for how in pooling}
    return {"encoder": model.encode}


def _of_texts(
    name: str, options: Options, evaluate: Callable[[Encode, str], Result], table: Callable[[Sequence], Table],
    baselines: Callable[[], tuple[Result, ...]] = tuple,
) -> Task:
    """A task of an encoder: evaluate(encode, name of the way)."""
    return Task(name, "texts", lambda model: tuple(
        evaluate(encode, how) for how, encode in ways(model, options.pooling).items()), table, baselines)


def _analogies(name: str, path: Path, title: str, options: Options) -> Task:
    questions = analogies.read(path)
    return Task(name, "words", lambda model: tuple(
        analogies.evaluate(model.vectors, model.words, questions, options.vocabulary, method, name=title)
        for method in options.methods), analogies.table)


def _similarity(name: str, data: Path, options: Options) -> Task:
    sets = [word_similarity.read(path) for path in word_similarity.find(data / PAIRS)]
    return Task(name, "words", lambda model: (word_similarity.evaluate(model.vectors, model.words, sets),),
                word_similarity.table)


def _sts(name: str, data: Path, options: Options) -> Task:
    sets = [sts.read(data, found) for found in sts.find(data)]
    beside = (sts.published(options.published, sets),) if options.published else ()
    return _of_texts(name, options, lambda encode, how: sts.evaluate(encode, sets, how), sts.table, lambda: beside)


def _benchmark(name: str, data: Path, options: Options) -> Task:
    one = sts.read(data, _OF_BENCHMARK[name])
    return _of_texts(name, options, lambda encode, how: sts.evaluate(encode, [one], how), sts.table)


_OF_BENCHMARK = {"sts-b": "STSBenchmark", "sts-b-dev": "STSBenchmark dev"}


def _pairs(name: str, data: Path, options: Options) -> Task:
    kind, test = pair_classification, pair_classification.read(data)[1]
    return _of_texts(name, options, lambda encode, how: kind.evaluate(encode, [test], how), kind.table)


def _labelled(module: Any) -> Callable[[str, Path, Options], Task]:
    """A task of the sets of labelled texts that `module` names."""

    def make(name: str, data: Path, options: Options) -> Task:
        sets = [labelled.read(data, found) for found in labelled.find(data, module.SETS)]
        return _of_texts(name, options, lambda encode, how: module.evaluate(encode, sets, method=how), module.table)

    return make


def _senteval(name: str, data: Path, options: Options) -> Task:
    sets = [labelled.read(data, found) for found in labelled.find(data, senteval.SETS)]
    pairs = [pair_classification.read(data)] if pair_classification.find(data) else []
    return _of_texts(name, options, lambda encode, how: senteval.evaluate(encode, sets, pairs, how), senteval.table)


def _retrieval(name: str, data: Path | None, options: Options) -> Task:
    collections = [judged.pairs(path, options.fields) for path in options.collections]
    collections += [judged.read(data, found) for found in (judged.find(data) if data else ())]
    return _of_texts(name, options, lambda encode, how: retrieval.evaluate(encode, collections, how), retrieval.table,
                     lambda: (retrieval.evaluate_bm25(collections),))


def _documentation(name: str, _: Path | None, options: Options) -> Task:
    one = documentation.collection(options.cache)
    return _of_texts(name, options, lambda encode, how: retrieval.evaluate(encode, [one], how), retrieval.table,
                     lambda: documentation.baselines(options.cache))


def _entities(name: str, data: Path, options: Options) -> Task:
    train, _, test = entities.read(data)

    def run(model: Any) -> tuple[Result, ...]:
        vectors = entities.in_context if hasattr(model, "tokens") else entities.looked_up
        return (entities.evaluate_vectors(vectors(model), train, test),)

    return Task(name, "tokens", run, entities.table)


def _perplexity(name: str, data: Path | None, options: Options) -> Task:
    path = options.text
    if data and not path.is_absolute() and not path.exists() and (data / path).exists():
        path = data / path  # as rows of tables name it, which do not know where data are
    text = perplexity.read(path)
    return Task(name, "predictions", lambda model: (perplexity.evaluate(model, text, options.stride),),
                perplexity.table)


def _none_of(data: Path, module: Any) -> str | None:
    """What is missing of the sets of labelled texts that `module` names."""
    found = labelled.find(data, module.SETS)
    return None if found else f"{data / labelled.FOLDER} holds none of {', '.join(module.SETS)}"


def _classes(name: str, data: Path, options: Options) -> Task:
    tests = [(one.name, labelled.parted(one).test) for one in
             (labelled.read(data, found) for found in labelled.find(data, OWN))]
    single = [paired.Told(name, test.texts, test.labels) for name, test in tests]
    sets = {1: single, 2: list(paired.find(data))}

    def run(model: Any) -> tuple[Result, ...]:
        own = [one for n in read_at_once(model) for one in sets[n] if {*one.labels} <= {*model.head.classes}]
        return (scores.Result("classes", tuple(score for one in own for score in paired.classes(model, one))),)

    return Task(name, "classes", run, lambda results: scores.table("Classes", results, "texts", ()))


def _regression(name: str, data: Path, options: Options) -> Task:
    read = (sts.read(data, found) for found in _OF_BENCHMARK.values())
    sets = [paired.Told(one.name, tuple(zip(one.first, one.second, strict=True)), tuple(map(str, one.judgements)))
            for one in read]

    def run(model: Any) -> tuple[Result, ...]:
        own = sets if 2 in read_at_once(model) else ()
        return (scores.Result("regression", tuple(score for one in own for score in paired.numbers(model, one))),)

    return Task(name, "numbers", run, lambda results: scores.table("Regression", results, "pairs", ()))


def read_at_once(model: Any) -> tuple[int, ...]:
    """Of how many texts a model tells something: one, or two, or either."""
    joined = getattr(model, "pipeline", ALONE).joined
    return (1, 2) if joined is None else (2 if joined else model.head.linear.texts,)


def _glue(name: str, data: Path, options: Options) -> Task:
    parts, number = paired.read(data, name), glue.TASKS[name].kind == "number"
    measures, texts = paired.MEASURES.get(name, ("accuracy",)), len(glue.TASKS[name].columns)

    def unfit(at_once: Sequence[int], classes: Sequence[str]) -> str | None:
        if texts not in at_once:
            return f"is of {'pairs' if texts == 2 else 'single texts'}, which the model does not read"
        return None if number else next(filter(None, (paired.strange(one, classes) for one in parts)), None)

    def run(model: Any) -> tuple[Result, ...]:
        found = [paired.numbers(model, one) if number else paired.classes(model, one, measures) for one in parts]
        return (scores.Result("GLUE", tuple(score for some in found for score in some)),)

    return Task(name, "numbers" if number else "classes", run,
                lambda results: scores.table(f"GLUE, development part of {glue.TASKS[name].folder}", results, "texts",
                                             ()), unfit=unfit)


def _tags(name: str, data: Path, options: Options) -> Task:
    sets = []
    for found in entities.find(data):
        _, valid, test = entities.read(data, found)
        sets += [dataclasses.replace(valid, name=f"{found} dev"), test]
    note = "Whole entities of the right type, times 100."

    def run(model: Any) -> tuple[Result, ...]:
        own = [one for one in sets if entities.types(one) <= {tag.partition("-")[2] for tag in model.head.classes}]
        return (entities.evaluate(model.tag, own),)

    return Task(name, "tags", run,
                lambda results: scores.table("Named entities", results, "words", (note,)))


def _answers(name: str, data: Path, options: Options) -> Task:
    sets = answers.find(data)

    def run(model: Any) -> tuple[Result, ...]:
        def answer(questions: Sequence[answers.Question]) -> list[str]:
            return [found.text for found in model.answer([(one.question, one.context) for one in questions])]

        return (answers.evaluate(answer, sets),)

    return Task(name, "answers", run, answers.table)


def _no_glue(name: str, data: Path) -> str | None:
    """What is missing of one of GLUE's development parts."""
    return next(filter(None, (_unless(glue.path(data, name, part)) for part in glue.TASKS[name].measured.values())),
                None)


def _unless(file: Path) -> str | None:
    return None if file.is_file() else f"{file} is missing"


def _unless_all(data: Path, files: Sequence[Path]) -> str | None:
    return next((said for file in files if (said := _unless(data / file))), None)


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a task is found and made."""

    missing: Callable[[Path], str | None]
    """What is not in a folder of data sets; None where the task can be made."""
    make: Callable[[str, Path, Options], Task]


KINDS = {
    "analogies": Kind(
        lambda data: None if (data / GOOGLE).is_file() else f"{data / GOOGLE} is missing",
        lambda name, data, options: _analogies(name, data / GOOGLE, "Google analogies", options)),
    "similarity": Kind(
        lambda data: None if word_similarity.find(data / PAIRS) else f"{data / PAIRS} holds no EN-*.txt or *_vecto.csv",
        _similarity),
    "python_docs": Kind(
        lambda _: None if PYTHON_DOCS.is_file() else f"{PYTHON_DOCS} is missing: install the package again",
        lambda name, _, options: _analogies(name, PYTHON_DOCS, "Python documentation analogies", options)),
    "sts": Kind(
        lambda data: None if sts.find(data) else f"{data / 'sts'} holds no STS.input.*.txt of a year, no STSBenchmark, "
                                                 f"{data / 'sick'} no SICK_*.txt", _sts),
    **{name: Kind(lambda data, file=sts.BENCHMARK[part]: _unless(data / file), _benchmark)
       for name, part in _OF_BENCHMARK.items()},
    "pairs": Kind(
        lambda data: None if pair_classification.find(data) else f"{data / pair_classification.MRPC[1]} is missing",
        _pairs),
    "classification": Kind(lambda data: _none_of(data, classification), _labelled(classification)),
    "clustering": Kind(lambda data: _none_of(data, clustering), _labelled(clustering)),
    "entities": Kind(
        lambda data: _unless_all(data, entities.SETS["WNUT17"]), _entities),
    "retrieval": Kind(
        lambda data: None if judged.find(data) else f"{data} holds none of {', '.join(judged.NAMES)}", _retrieval),
    "classes": Kind(lambda data: None if labelled.find(data, OWN) or paired.find(data) else
                    f"{data / labelled.FOLDER} holds none of {', '.join(OWN)}, and {data} no pairs of MRPC or SNLI",
                    _classes),
    "regression": Kind(lambda data: _unless(data / sts.BENCHMARK["STSBenchmark"]), _regression),
    "tags": Kind(lambda data: None if entities.find(data) else _unless_all(data, entities.SETS["WNUT17"]), _tags),
    "answers": Kind(
        lambda data: None if answers.find(data) else f"{data / answers.XQUAD.parent} holds no questions", _answers),
    "documentation": Kind(lambda _: None, _documentation),
    "senteval": Kind(lambda data: _none_of(data, senteval), _senteval),
    "perplexity": Kind(lambda _: None, _perplexity),
    **{name: Kind(functools.partial(_no_glue, name), _glue) for name in glue.TASKS},
}
TASKS = tuple(KINDS)
WITHOUT_DATA = ("python_docs", "documentation", "perplexity")
NAMED = {"sts-b": "is among those of sts", "sts-b-dev": "is for choosing among runs", "documentation": "takes minutes",
         "senteval": "takes minutes", **dict.fromkeys(glue.TASKS, "is for what was trained on it")}
"""Tasks that need no folder of data sets; and those that are run only where they are named, and why."""


def missing(name: str, data: Path | None, options: Options = DEFAULTS) -> str | None:
    """Why a task cannot run, and what to do about it; None where it can. Raises UsageProblem for an unknown name."""
    if name not in KINDS:
        raise UsageProblem(f"no evaluation task {name!r}: there are {', '.join(TASKS)}")
    if name == "retrieval" and options.collections:
        return None
    if name == "perplexity" and options.text is None:
        return "no text is named: name a file with --text"
    if data is None and name not in WITHOUT_DATA:
        return "no folder of data sets is known: name it with --data or EMBEDDINGS_DATA"
    return KINDS[name].missing(data or Path())


def tasks(names: Sequence[str], data: Path | None, options: Options = DEFAULTS) -> tuple[Task, ...]:
    """Tasks by name, their files read and checked; `data` is the folder of data sets.

    Raises:
        UsageProblem: an unknown name.
        Problem: a file is missing or not as it should be.
    """
    for name in names:
        reason = missing(name, data, options)
        if reason:
            raise Problem(f"evaluation task {name}: {reason}")
    return tuple(KINDS[name].make(name, data, options) for name in names)


def stop_words(name: str) -> frozenset[str]:
    """English function words for `english`, none for ``, else the words of a file of that name, one a line."""
    if not name:
        return frozenset()
    path = STOP_WORDS if name == "english" else Path(name)
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: no file of words, one a line ({type(error).__name__}): name another") from None
