"""Heads of transformers' folders (formats/tasks.py) as they are used here, and the other way round."""
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.contextual.tokens import Reader, Tagger
from embeddings.formats.tasks import TaskHead
from embeddings.parts import tokens as parts
from embeddings.problems import Problem

TAGS, ANSWERS = "TokenClassification", "QuestionAnswering"
READER = {"doc_stride": "overlap", "max_answer_len": "longest_answer", "handle_impossible_answer": "may_be_empty"}
"""A reader's fields by the names that transformers has for them."""


def used(head: TaskHead, longest: int, path: Path) -> Tagger | Reader:
    """A folder's head for a model that reads `longest` tokens; `path` is its config.json.

    Where this does not say how a reader is used, windows overlap and answers are bounded as --reader's flags have it,
    and it may answer nothing: others' folders do not tell whether a model has learnt to, as SQuAD 2's have, and in one
    that has not the first token hardly ever scores highest. Raises Problem for settings that a reader cannot have.
    """
    if head.task == TAGS:
        return Tagger(head.labels, head.params)
    flags = parts.Reader()
    usual = {"overlap": min(flags.overlap, longest // 4), "longest_answer": flags.longest_answer, "may_be_empty": True}
    said = usual | {ours: head.settings[theirs] for theirs, ours in READER.items() if theirs in head.settings}
    for theirs, ours in READER.items():
        value, least = said[ours], int(ours == "longest_answer")
        if type(value) is not type(usual[ours]) or value < least:
            wanted = "true or false" if ours == "may_be_empty" else f"a number of tokens from {least} on"
            raise Problem(f"{path}: {theirs} is {value!r}, not {wanted}: correct it, or leave it out")
    return Reader(head.params, **said)


def kept(head: Any) -> TaskHead | None:
    """What a folder keeps of a head; None of one that no class here has.

    A reader without a bias gets zeros for it.
    """
    if isinstance(head, Tagger):
        return TaskHead(TAGS, head.classes, params=head.params)
    if isinstance(head, Reader):
        settings = {theirs: getattr(head, ours) for theirs, ours in READER.items()}
        return TaskHead(ANSWERS, settings=settings, params={"bias": np.zeros(2, np.float32)} | head.params)
    return None
