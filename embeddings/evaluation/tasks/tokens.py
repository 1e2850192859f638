"""Tasks of single tokens: entities by a probe of their vectors, and tags and answers by a head of the model's own."""
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embeddings.evaluation import answers, entities, scores, tagged
from embeddings.evaluation.tasks.task import Kind, Options, Result, Task, unless_all


def _entities(name: str, data: Path, options: Options) -> Task:
    train, _, test = tagged.read(data)

    def run(model: Any) -> tuple[Result, ...]:
        vectors = entities.in_context if hasattr(model, "tokens") else entities.looked_up
        return (entities.evaluate_vectors(vectors(model), train, test),)

    return Task(name, "tokens", run, entities.table)


def _tags(name: str, data: Path, options: Options) -> Task:
    sets = []
    for found in tagged.find(data):
        train, valid, test = tagged.read(data, found)
        sets += [(one, train.different) for one in (dataclasses.replace(valid, name=f"{found} dev"), test)]
    note = "Whole entities of the right type; of parts of speech words with the right tag; times 100."

    def run(model: Any) -> tuple[Result, ...]:
        classes = {*model.head.classes}
        kinds = {tag.partition("-")[2] for tag in classes}
        own = [one for one, known in sets if (entities.types(one) <= kinds if one.of_entities else known <= classes)]
        return (entities.evaluate(model.tag, own),)

    return Task(name, "tags", run, lambda results: scores.table("Tags", results, "words", (note,)))


def _answers(name: str, data: Path, options: Options) -> Task:
    sets = answers.find(data)

    def run(model: Any) -> tuple[Result, ...]:
        def answer(questions: Sequence[answers.Question]) -> list[str]:
            return [found.text for found in model.answer([(one.question, one.context) for one in questions])]

        return (answers.evaluate(answer, sets),)

    return Task(name, "answers", run, answers.table)


KINDS = {
    "entities": Kind(
        lambda data: unless_all(data, tagged.SETS["WNUT17"]), _entities),
    "tags": Kind(lambda data: None if tagged.find(data) else unless_all(data, tagged.SETS["WNUT17"]), _tags),
    "answers": Kind(
        lambda data: None if answers.find(data) else f"{data / answers.XQUAD.parent} holds no questions", _answers),
}
