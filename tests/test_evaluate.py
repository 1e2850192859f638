import dataclasses
import json
import os
import sys

import commands
import numpy as np
import pytest

from embeddings import evaluate
from embeddings.encoder import WordVectors
from embeddings.evaluation import analogies, reading, table, tasks
from embeddings.evaluation.tasks.words import PYTHON_DOCS
from embeddings.problems import Problem, UsageProblem

QUESTIONS = """: family
king queen man woman
King queen prince princess
king queen boy girl
: gram1
man men king kings
"""
SENTENCES = "The king.\tA king!\nqueen\tking\nking and men\tprincess\nmen, women\tmen\n"
PAIRS = "king\tqueen\t9\nking\tman\t5\nking\tprincess\t1\nking\tcabbage\t0\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, and a folder of data sets about it."""
    folder = tmp_path_factory.mktemp("place")
    king, prince, man, male, female, plural = np.eye(6)
    rows = {"king": king + male, "queen": king + female, "man": man + male, "woman": man + female}
    rows |= {"prince": prince + male, "princess": prince + female, "kings": king + male + plural}
    rows |= {"men": man + male + plural}
    lines = [f"{word} {' '.join(f'{x:.0f}' for x in row)}\n" for word, row in rows.items()]
    (folder / "toy.vec").write_text(f"{len(rows)} 6\n" + "".join(lines))
    (folder / "data/analogy").mkdir(parents=True)
    (folder / "data/wordsim").mkdir()
    (folder / "data/analogy/questions-words.txt").write_text(QUESTIONS)
    (folder / "data/wordsim/EN-toy.txt").write_text(PAIRS)
    (folder / "data/sts/STS15").mkdir(parents=True)
    (folder / "data/sts/STS15/STS.input.toy.txt").write_text(SENTENCES)
    (folder / "data/sts/STS15/STS.gs.toy.txt").write_text("4\n\n1\n3\n")
    return folder


def run(*arguments, data=None):
    environment = {name: value for name, value in os.environ.items() if name != "EMBEDDINGS_DATA"}
    if data:
        environment["EMBEDDINGS_DATA"] = str(data)
    return commands.run([sys.executable, "-m", "embeddings.evaluate", *map(str, arguments)],
                          capture_output=True, text=True, timeout=200, env=environment)


def cells(output, title):
    """The rows of a printed table, by first cell."""
    lines = output[output.index(title):].split("\n")[3:]
    return {line.split()[0]: line.split()[1:] for line in lines[:lines.index("")]}


def test_every_task_whose_data_is_there_is_printed(place):
    done = run(f"--model={place}/toy.vec", data=place / "data")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{place}/toy.vec: 8 words, 6 dimensions, tokenizer words (lower case)\n")
    google = cells(done.stdout, "Google analogies")
    assert google["family"] == ["3", "1", "2", "100.0", "2", "100.0"]
    assert google["total"] == ["4", "1", "3", "100.0", "3", "100.0"]
    assert list(google)[:5] == ["family", "gram1", "semantic", "syntactic", "total"]
    assert "the 8 most frequent words" in done.stdout
    assert cells(done.stdout, "Word similarity")["toy"][1:] == ["3", "4"]
    assert "Python documentation analogies" in done.stdout
    assert cells(done.stdout, "Sentence similarity")["STS15"][2:] == ["3", "3"]
    left_out = [line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("left out: ")]
    assert {*left_out} == {*tasks.TASKS} - {"analogies", "similarity", "python_docs", "sts"}


def test_sentences_are_measured_beside_baselines(place, tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"q": "the king", "a": "a king"}\n{"q": "men", "a": "a woman, men"}\n')
    path = tmp_path / "out.csv"
    done = run(f"--model={place}/toy.vec", "--task=retrieval", f"--collection={tmp_path}/mine.jsonl", "--field=q,a",
               f"--output={path}", "--pooling=mean")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("mine.jsonl")]
    assert [row[1] for row in rows] == ["nDCG@10", "MRR@10", "Recall@10", "MAP"]
    assert rows[1][2:] == ["100.000", "100.000", "2", "2"], "mean word vectors, BM25, queries covered, queries"
    assert path.read_text().splitlines()[2] == "mine.jsonl,MRR@10,mean,1.0,,2,2"
    assert len(path.read_text().splitlines()) == 1 + 2 * 4


def test_a_task_that_the_model_cannot_do_is_said(place, monkeypatch, capsys):
    encoder = type("Encoder", (), {"encode": lambda self, texts: np.array([[len(t), ord(t[0])] for t in texts], float)})
    monkeypatch.setattr("embeddings.encoder.load", lambda *_, **__: encoder())
    monkeypatch.setenv("EMBEDDINGS_DATA", str(place / "data"))
    evaluate.main(evaluate.Flags("a/folder"), [])
    shown = capsys.readouterr().out
    assert shown.startswith("a/folder: Encoder\n\nSentence similarity\n")
    assert "Word similarity" not in shown
    assert "left out: similarity: needs a table of word vectors, which the model has not\n" in shown
    with pytest.raises(Problem, match="--model=a/folder: task similarity needs a table of word vectors"):
        evaluate.main(evaluate.Flags("a/folder", task=("sts", "similarity")), [])
    with pytest.raises(UsageProblem, match="--stop_words is for word vectors: leave it out"):
        evaluate.main(evaluate.Flags("a/folder", stop_words="english"), [])
    with pytest.raises(UsageProblem, match=r"--published=GPT: there is average_word_embeddings_glove.6B.300d, "):
        evaluate.main(evaluate.Flags("a/folder", task=("sts",), published="GPT"), [])
    capsys.readouterr()
    evaluate.main(evaluate.Flags("hub/all-mpnet-base-v2", task=("sts",)), [])
    assert cells(capsys.readouterr().out, "Sentence similarity")["STS15"][1:] == ["85.660", "3", "3"]


def test_the_output_holds_the_same_numbers(place, tmp_path):
    path = tmp_path / "out.json"
    done = run(f"--model={place}/toy.vec", f"--data={place}/data", "--task=analogies,similarity", "--method=3CosMul",
               "--vocabulary=7", f"--output={path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3CosAdd" not in done.stdout and os.listdir(tmp_path) == ["out.json"]
    written = json.loads(path.read_text())
    assert written["model"] == f"{place}/toy.vec"
    assert all(tuple(record) == table.KEYS for record in written["results"])
    assert written["results"][-2:] == [
        {"set": "Google analogies", "section": "total", "method": "3CosMul", "score": 1.0, "correct": 2, "covered": 2,
         "total": 4},
        {"set": "toy", "section": "total", "method": "cosine", "score": pytest.approx(0.75**0.5),
         "correct": None, "covered": 3, "total": 4},
    ]


def test_csv_and_markdown(tmp_path):
    records = [dict(zip(table.KEYS, ("a, b", "total", "cosine", 0.5, None, 3, 4), strict=True))]
    evaluate.write(tmp_path / "out.csv", "model", records, "the tables\n")
    evaluate.write(tmp_path / "out.md", "model", records, "the tables\n")
    assert (tmp_path / "out.csv").read_text() == f'{",".join(table.KEYS)}\n"a, b",total,cosine,0.5,,3,4\n'
    assert (tmp_path / "out.md").read_text() == "the tables\n"


def test_without_data_what_is_left_out_is_said(place):
    done = run(f"--model={place}/toy.vec")
    assert (done.returncode, done.stderr) == (0, "")
    for task in ("analogies", "similarity", "sts"):
        assert f"left out: {task}: no folder of data sets is known: name it with --data or" in done.stdout
    assert cells(done.stdout, "Python documentation analogies")["total"][-1] == "-"


@pytest.mark.parametrize("arguments, code, complaint", [
    (["--task=analogies"], 1, "evaluation task analogies: no folder of data sets"),
    (["--task=analogies", "--data=absent"], 1, "--data=absent: no such folder"),
    (["--task=analogy"], 2, "--task"),
    (["--method=3cosadd"], 2, "--method"),
    (["--vocabulary=-1"], 2, "--vocabulary"),
    (["--pooling="], 2, "--pooling is empty"),
    (["--stop_words=absent"], 1, "absent: no file of words"),
    (["--field=query"], 2, "--field=query: name two fields, as --field=query,document"),
    (["--task=sts", "--collection=mine.csv"], 2, "--collection is for retrieval: add it to --task"),
    (["--task=retrieval", "--collection=absent.csv"], 1, "absent.csv: no file of a retrieval collection"),
    (["--output=table.xlsx"], 2, "--output=table.xlsx: the name must end in one of .csv, .json, .md"),
    (["--output=absent/table.md"], 1, "--output=absent/table.md: no such folder"),
    (["--modl=x"], 2, "--modl"),
    (["word"], 2, "word"),
])
def test_what_is_wrong_is_said_in_one_line(place, arguments, code, complaint):
    done = run(f"--model={place}/toy.vec", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1 and complaint in done.stderr


def test_a_broken_question_file_is_said_before_the_model_is_read(place, tmp_path):
    (tmp_path / "analogy").mkdir()
    (tmp_path / "analogy/questions-words.txt").write_text(": a\none two three\n")
    done = run("--model=absent", "--task=analogies", f"--data={tmp_path}")
    assert done.returncode == 1 and "questions-words.txt:2: expected four words" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_tasks_scores_are_named_by_method(place):
    rows = np.eye(3, dtype=np.float32)
    task, similarity = tasks.tasks(["python_docs", "similarity"], place / "data")
    assert task.scores(WordVectors(("a", "b", "c"), rows)) == {}
    vectors = np.array([[1, 0], [1, 0.1], [1, 1]], np.float32)
    assert similarity.scores(WordVectors(("king", "queen", "man"), vectors)) == {"toy": pytest.approx(1.0)}


def test_the_packages_own_questions_are_well_formed():
    categories = analogies.read(PYTHON_DOCS)
    questions = [question for category in categories for question in category.questions]
    assert len(categories) >= 5 and len(questions) >= 200
    assert all(len(set(question)) == 4 and question == tuple(map(str.lower, question)) for question in questions)


def test_sentences_are_taken_without_stop_words(tmp_path):
    vectors = WordVectors(("the", "king", "queen"), np.eye(3, dtype=np.float32))
    assert not reading.stop_words("")
    english = reading.stop_words("english")
    assert {"the", "of", "is"} <= english and "king" not in english and all(word == word.lower() for word in english)
    left = dataclasses.replace(vectors, stop_words=english)
    assert left.encode("The king of the queen").tolist() == [[0, 0.5, 0.5]] and "the" in left
    (tmp_path / "own.txt").write_text("king\nqueen\n")
    left = dataclasses.replace(vectors, stop_words=reading.stop_words(str(tmp_path / "own.txt")))
    assert left.encode("the king").tolist() == [[1, 0, 0]]
    with pytest.raises(Problem, match=r"absent: no file of words"):
        reading.stop_words("absent")
