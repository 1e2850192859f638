"""Tasks of an encoder of texts; word vectors are one, by each way of pooling."""
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from embeddings.encoder import Pooling, WordVectors
from embeddings.evaluation import (
    classification,
    clustering,
    documentation,
    judged,
    labelled,
    pair_classification,
    retrieval,
    senteval,
    sts,
)
from embeddings.evaluation.scores import Encode
from embeddings.evaluation.table import Table
from embeddings.evaluation.tasks.task import Kind, Options, Result, Task, unless

OF_BENCHMARK = {"sts-b": "STSBenchmark", "sts-b-dev": "STSBenchmark dev"}
"""Parts of the STS benchmark, by the names of their tasks."""


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


def _sts(name: str, data: Path, options: Options) -> Task:
    sets = [sts.read(data, found) for found in sts.find(data)]
    beside = (sts.published(options.published, sets),) if options.published else ()
    return _of_texts(name, options, lambda encode, how: sts.evaluate(encode, sets, how), sts.table, lambda: beside)


def _benchmark(name: str, data: Path, options: Options) -> Task:
    one = sts.read(data, OF_BENCHMARK[name])
    return _of_texts(name, options, lambda encode, how: sts.evaluate(encode, [one], how), sts.table)


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


def _none_of(data: Path, module: Any) -> str | None:
    """What is missing of the sets of labelled texts that `module` names."""
    found = labelled.find(data, module.SETS)
    return None if found else f"{data / labelled.FOLDER} holds none of {', '.join(module.SETS)}"


KINDS = {
    "sts": Kind(
        lambda data: None if sts.find(data) else f"{data / 'sts'} holds no STS.input.*.txt of a year, no STSBenchmark, "
                                                 f"{data / 'sick'} no SICK_*.txt", _sts),
    **{name: Kind(lambda data, file=sts.BENCHMARK[part]: unless(data / file), _benchmark)
       for name, part in OF_BENCHMARK.items()},
    "pairs": Kind(
        lambda data: None if pair_classification.find(data) else f"{data / pair_classification.MRPC[1]} is missing",
        _pairs),
    "classification": Kind(lambda data: _none_of(data, classification), _labelled(classification)),
    "clustering": Kind(lambda data: _none_of(data, clustering), _labelled(clustering)),
    "retrieval": Kind(
        lambda data: None if judged.find(data) else f"{data} holds none of {', '.join(judged.NAMES)}", _retrieval),
    "documentation": Kind(lambda _: None, _documentation),
    "senteval": Kind(lambda data: _none_of(data, senteval), _senteval),
}
