"""Tasks of the classes and numbers that a model tells by a head of its own."""
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embeddings.corpus import glue
from embeddings.evaluation import labelled, paired, scores, sts
from embeddings.evaluation.tasks.sentences import OF_BENCHMARK
from embeddings.evaluation.tasks.task import Kind, Options, Result, Task, read_at_once, unless

OWN = ("SST2", "SST5", "TREC", "SUBJ", "Banking77")
"""Sets of texts with a class that models are trained on (levels/sentences.py), and measured by the test part of."""


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
    read = (sts.read(data, found) for found in OF_BENCHMARK.values())
    sets = [paired.Told(one.name, tuple(zip(one.first, one.second, strict=True)), tuple(map(str, one.judgements)))
            for one in read]

    def run(model: Any) -> tuple[Result, ...]:
        own = sets if 2 in read_at_once(model) else ()
        return (scores.Result("regression", tuple(score for one in own for score in paired.numbers(model, one))),)

    return Task(name, "numbers", run, lambda results: scores.table("Regression", results, "pairs", ()))


def _glue(name: str, data: Path, options: Options) -> Task:
    parts, number = paired.read(data, name), glue.TASKS[name].kind == "number"
    measures = paired.MEASURES.get(name, ("accuracy",))

    def unfit(at_once: Sequence[int], classes: Sequence[str]) -> str | None:
        return paired.unfit(parts, at_once, None if number else classes)

    def run(model: Any) -> tuple[Result, ...]:
        found = [paired.numbers(model, one) if number else paired.classes(model, one, measures) for one in parts]
        return (scores.Result("GLUE", tuple(score for some in found for score in some)),)

    return Task(name, "numbers" if number else "classes", run,
                lambda results: scores.table(f"GLUE, development part of {glue.TASKS[name].folder}", results, "texts",
                                             ()), unfit=unfit)


def _no_glue(name: str, data: Path) -> str | None:
    """What is missing of one of GLUE's development parts."""
    return next(filter(None, (unless(glue.path(data, name, part)) for part in glue.TASKS[name].measured.values())),
                None)


KINDS = {
    "classes": Kind(lambda data: None if labelled.find(data, OWN) or paired.find(data) else
                    f"{data / labelled.FOLDER} holds none of {', '.join(OWN)}, and {data} no pairs of MRPC or SNLI",
                    _classes),
    "regression": Kind(lambda data: unless(data / sts.BENCHMARK["STSBenchmark"]), _regression),
    **{name: Kind(functools.partial(_no_glue, name), _glue) for name in glue.TASKS},
}
