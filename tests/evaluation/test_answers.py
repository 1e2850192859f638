import csv
import gzip
import json
import re

import pytest

from embeddings.evaluation import answers
from embeddings.evaluation.answers import Question, QuestionSet
from embeddings.problems import Problem


@pytest.mark.parametrize(("answer", "annotated", "exact", "f1"), [
    ("The  Cat's meow!", ("cats meow",), 1, 1),
    ("an apple a day", ("apple day",), 1, 1),
    ("theatre", ("atre",), 0, 0),
    ("in 1999", ("1999", "the year 1999"), 0, 2 / 3),
    ("to be or not to be", ("to be to",), 0, 2 * 3 / (6 + 3)),
    ("", (), 1, 1),
    ("anything", (), 0, 0),
    ("", ("something",), 0, 0),
    ("the", ("a",), 1, 1),
    ("the", ("word",), 0, 0),
    ("café", ("CAFÉ.",), 1, 1),
])
def test_measures_of_an_answer(answer, annotated, exact, f1):
    assert answers.exact_match(answer, annotated) == exact
    assert answers.f1(answer, annotated) == pytest.approx(f1)


def test_means_over_questions():
    context = "Wings lift. Heat flows."
    questions = (Question("1", "What lifts?", context, ((0, 5),)), Question("2", "Who?", context, ()),
                 Question("3", "What flows?", context, ((12, 16), (12, 22))))
    given = {"1": "wings", "2": "Heat", "3": "heat flows now"}
    result = answers.evaluate(lambda asked: [given[one.id] for one in asked], [QuestionSet("mine", questions)])
    assert result.value("mine", "EM") == pytest.approx(1 / 3)
    assert result.value("mine", "F1") == pytest.approx((1 + 0 + 4 / 5) / 3)
    assert result.value("mine", "F1, answerable") == pytest.approx((1 + 4 / 5) / 2)
    assert questions[2].answers == ("Heat", "Heat flows")
    result = answers.evaluate(lambda asked: [""] * 2, [QuestionSet("mine", questions[::2])])
    assert [score.measure for score in result.measured] == ["EM", "F1"] and "EM" in answers.table([result]).text()


def squad(**changed):
    answer = {"text": "lift", "answer_start": 6} | changed
    return {"data": [{"paragraphs": [{"context": "Wings lift.", "qas": [
        {"id": "1", "question": "What do they?", "answers": [answer]}]}]}]}


def test_squads_layout_is_read(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(squad()))
    (question,) = answers.squad(tmp_path / "x.json", "mine").questions
    assert (question.question, question.answers) == ("What do they?", ("lift",))


@pytest.mark.parametrize(("content", "complaint"), [
    ('{"data":\n[}', "x.json:2: not JSON"),
    ("[]", "x.json: not laid out as SQuAD's JSON"),
    (json.dumps({"data": [{}]}), "x.json: not laid out as SQuAD's JSON (KeyError('paragraphs'))"),
    (json.dumps({"data": []}), "x.json: holds no questions"),
    (json.dumps(squad(answer_start=5)), "x.json: question 1: 'lift' does not stand at 5"),
])
def test_a_broken_json_is_named(tmp_path, content, complaint):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(Problem, match=re.escape(complaint)):
        answers.squad(tmp_path / "x.json", "mine")


def subjqa(path, rows):
    fields = ["q_review_id", "question", "review", "human_ans_spans", "human_ans_indices"]
    with gzip.open(path, "wt", newline="") as handle:
        csv.writer(handle).writerows([fields, *rows])


def test_subjqas_layout_is_read(tmp_path):
    review = "It's loud, and sturdy. ANSWERNOTFOUND"
    subjqa(tmp_path / "x.csv.gz", [
        ["1", "Loud?", review, "It 's loud", "(0, 9)"], ["1", "Loud?", review, "ANSWERNOTFOUND", "(23, 37)"],
        ["2", "Heavy?", review, "ANSWERNOTFOUND", "(23, 37)"], ["1", "Loud?", review, "loud", "(5, 9)"],
        ["3", "Cheap?", review, "sturdy ANSWERNOTFOUND", "(15, 37)"]])
    loud, heavy, cheap = answers.subjqa(tmp_path / "x.csv.gz", "mine").questions
    assert loud.context == "It's loud, and sturdy." and loud.answers == ("It's loud", "loud")
    assert (heavy.id, heavy.spans, cheap.spans) == ("2", (), ())


@pytest.mark.parametrize("indices", ["(0, 99)", "(5, 5)", "0, 5", "(a, b)"])
def test_a_span_outside_its_review_is_named(tmp_path, indices):
    subjqa(tmp_path / "x.csv.gz", [["1", "Loud?", "loud", "loud", "(0, 4)"], ["1", "Loud?", "loud", "loud", indices]])
    with pytest.raises(Problem, match=re.escape(f"x.csv.gz:3: '{indices}' is no span of the review")):
        answers.subjqa(tmp_path / "x.csv.gz", "mine")


def test_the_sets_have_their_published_sizes(data):
    xquad = answers.squad(data / answers.XQUAD, "XQuAD").questions
    assert len(xquad) == 1190 and all(question.spans for question in xquad)
    sizes = {part: answers.subjqa(data / path, part).questions for part, path in answers.SUBJQA.items()}
    assert {part: len(questions) for part, questions in sizes.items()} == {"train": 1295, "dev": 255, "test": 358}
    best = answers.evaluate(lambda asked: [(*one.answers, "")[0] for one in asked],
                            [QuestionSet("all", (*xquad, *sizes["test"]))])
    assert best.scores() == {f"all {name} answers": 1 for name in ("EM", "F1", "F1, answerable")}
