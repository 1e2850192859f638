"""Tasks of single tokens: entities by a probe of their vectors, and tags and answers by a head of the model's own."""
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embeddings.evaluation import answers, entities, scores
from embeddings.evaluation.tasks.task import Kind, Options, Result, Task, unless_all


def _entities(name: str, data: Path, options: Options) -> Task:
    train, _, test = entities.read(data)

    def run(model: Any) -> tuple[Result, ...]:
        vectors = entities.in_context if hasattr(model, "tokens") else entities.looked_up
        return (entities.evaluate_vectors(vectors(model), train, test),)

    return Task(name, "tokens", run, entities.table)


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


KINDS = {
    "entities": Kind(
        lambda data: unless_all(data, entities.SETS["WNUT17"]), _entities),
    "tags": Kind(lambda data: None if entities.find(data) else unless_all(data, entities.SETS["WNUT17"]), _tags),
    "answers": Kind(
        lambda data: None if answers.find(data) else f"{data / answers.XQUAD.parent} holds no questions", _answers),
}
