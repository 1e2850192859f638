"""Extractive answers: does the span that was chosen say what people answered?

An answer is compared after normalisation: lower case, without punctuation (ASCII), without the articles a, an and the,
blanks made one (the official script of SQuAD, Rajpurkar et al. 2016 and 2018):

    EM = 1 where it equals an annotated answer, else 0
    F1 = 2 |common words| / (|words| + |annotated words|), words as often as they stand

each the largest over a question's annotated answers, the mean over questions. Where people found no answer, both are 1
for an empty answer and 0 for any other. SQuAD 1.1 and 2.0 are read, XQuAD's English part, and SubjQA's electronics.
"""
import collections
import dataclasses
import json
import re
import string
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from embeddings.evaluation import reading, scores
from embeddings.evaluation.scores import Result, Score
from embeddings.evaluation.table import Table
from embeddings.problems import Problem

XQUAD = Path("qa/xquad.en.json")
SQUAD = {name: {part: Path(f"qa/squad/{part}-v{version}.json") for part in ("train", "dev")}
         for name, version in (("SQuAD", "1.1"), ("SQuAD 2.0", "2.0"))}
SUBJQA = {part: Path(f"qa/subjqa/electronics.{part}.csv.gz") for part in ("train", "dev", "test")}
WHAT = "questions and answers"
NOT_FOUND = "ANSWERNOTFOUND"
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about a context, and the spans of it that people gave as answers; none where there is no answer."""

    id: str
    question: str
    context: str
    spans: tuple[tuple[int, int], ...]
    """First character, and the one behind the last."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The text of the spans."""
        return tuple(self.context[start:end] for start, end in self.spans)


@dataclasses.dataclass(frozen=True, eq=False)
class QuestionSet:
    """Questions under a name."""

    name: str
    questions: tuple[Question, ...]


Answer = Callable[[Sequence[Question]], Sequence[str]]
"""Questions in, an answer each out, empty for none; it looks at question and context alone."""


def find(data: Path) -> tuple[QuestionSet, ...]:
    """What a folder of data sets has to measure by: SubjQA's development and test part, XQuAD, SQuAD's development."""
    found = [subjqa(data / SUBJQA[part], name) for part, name in (("dev", "SubjQA dev"), ("test", "SubjQA"))
             if (data / SUBJQA[part]).is_file()]
    if (data / XQUAD).is_file():
        found.append(squad(data / XQUAD, "XQuAD"))
    found += [squad(data / parts["dev"], name) for name, parts in SQUAD.items() if (data / parts["dev"]).is_file()]
    return tuple(found)


def squad(path: Path, name: str) -> QuestionSet:
    """Questions of SQuAD's JSON. Raises Problem, naming the question, where an answer is not where it is said to be."""
    try:
        articles = json.loads(reading.text(path, WHAT))["data"]
        found = [(question, paragraph["context"]) for article in articles for paragraph in article["paragraphs"]
                 for question in paragraph["qas"]]
        questions = [_squad_question(path, record, context) for record, context in found]
    except json.JSONDecodeError as error:
        raise Problem(f"{path}:{error.lineno}: not JSON: copy the file again") from None
    except (KeyError, TypeError) as error:
        raise Problem(f"{path}: not laid out as SQuAD's JSON ({error!r}): copy the file again") from None
    if not questions:
        raise Problem(f"{path}: holds no questions: copy it again")
    return QuestionSet(name, tuple(questions))


def _squad_question(path: Path, record: dict, context: str) -> Question:
    spans = []
    for answer in record["answers"]:
        start, text = answer["answer_start"], answer["text"]
        if context[start : start + len(text)] != text:
            raise Problem(f"{path}: question {record['id']}: {text!r} does not stand at {start}: copy the file again")
        spans.append((start, start + len(text)))
    return Question(record["id"], record["question"], context, tuple(spans))


def subjqa(path: Path, name: str) -> QuestionSet:
    """Questions of SubjQA's csv: a row an annotator, joined by question; a span is taken by its indices.

    Not by their text, which is cut into words in a tenth of the rows. The mark for no answer, which ends every review,
    is taken off, and a span that runs into it is none. Raises Problem with file and line.
    """
    fields = ("q_review_id", "question", "review", "human_ans_spans", "human_ans_indices")
    spans: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for number, (name_of, question, review, answer, indices) in reading.records(path, fields, WHAT):
        context = review.removesuffix(NOT_FOUND).rstrip()
        given = spans.setdefault((name_of, question, context), [])
        if not answer.endswith(NOT_FOUND):
            ends = re.fullmatch(r"\((\d+), (\d+)\)", indices)
            if not ends or not int(ends[1]) < int(ends[2]) <= len(context):
                raise Problem(f"{path}:{number}: {indices!r} is no span of the review, as `(10, 25)`: correct the line")
            given.append((int(ends[1]), int(ends[2])))
    if not spans:
        raise Problem(f"{path}: holds no questions: copy it again")
    return QuestionSet(name, tuple(Question(*key, tuple(given)) for key, given in spans.items()))


def normalised(answer: str) -> str:
    """What of an answer is compared."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, annotated: Sequence[str]) -> float:
    """1 where the answer equals an annotated one, else 0."""
    return float(normalised(answer) in {normalised(one) for one in annotated or ("",)})


def f1(answer: str, annotated: Sequence[str]) -> float:
    """Largest overlap in words with an annotated answer, 0 to 1."""
    return max(_overlap(normalised(answer).split(), normalised(one).split()) for one in annotated or ("",))


def _overlap(words: list[str], annotated: list[str]) -> float:
    if not words or not annotated:
        return float(words == annotated)
    common = (collections.Counter(words) & collections.Counter(annotated)).total()
    return 2 * common / (len(words) + len(annotated))


def evaluate(answer: Answer, sets: Sequence[QuestionSet], method: str = "answers") -> Result:
    """EM and F1 of all sets, and F1 of the questions that have an answer where some have none."""
    measured = []
    for one in sets:
        found = list(zip(answer(one.questions), one.questions, strict=True))
        values = {"EM": [exact_match(text, question.answers) for text, question in found],
                  "F1": [f1(text, question.answers) for text, question in found]}
        answerable = [bool(question.spans) for question in one.questions]
        if not all(answerable) and any(answerable):
            values["F1, answerable"] = np.array(values["F1"])[answerable]
        measured += [Score(one.name, name, float(np.mean(each)), len(each), len(found))
                     for name, each in values.items()]
    return Result(method, tuple(measured))


def table(results: Sequence[Result]) -> Table:
    """A row a set and measure."""
    note = "SQuAD's exact match and F1 over words after normalisation, times 100; the best of a question's answers."
    return scores.table("Answers", results, "questions", (note,))
