import sys

import commands
import numpy as np
import pytest

from embeddings import neighbours
from embeddings.neighbours import Query
from embeddings.problems import UsageProblem

WORDS = ["king", "man", "woman", "queen", "prince", "cabbage", "carrot"]
ROWS = [[1, 0, 1, 0], [1, 0, 0, 0.1], [0, 1, 0, 0.1], [0, 1, 1, 0], [0.9, 0.1, 0.9, 0.3], [0, 0, 0, 1], [0, 0.1, 0, 1]]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "toy.vec"
    lines = [f"{word} {' '.join(map(str, row))}\n" for word, row in zip(WORDS, ROWS, strict=True)]
    path.write_text(f"{len(WORDS)} 4\n" + "".join(lines))
    return path


def run(*arguments):
    return commands.run([sys.executable, "-m", "embeddings.neighbours", *map(str, arguments)],
                          capture_output=True, text=True, timeout=100)


def test_a_ranked_table(model):
    done = run(f"--model={model}", "--k=2", "cabbage", "King")
    assert (done.returncode, done.stderr) == (0, "")
    tables = [table.split("\n") for table in done.stdout.rstrip("\n").split("\n\n")]
    assert [table[0] for table in tables] == ["cabbage", "King"]
    assert tables[0][1].split() == ["rank", "word", "cosine"]
    unit = np.array(ROWS) / np.linalg.norm(ROWS, axis=1, keepdims=True)
    assert tables[0][3].split() == ["1", "carrot", f"{unit[5] @ unit[6]:.3f}"]
    assert [len(table) for table in tables] == [5, 5]


@pytest.mark.parametrize("words", [["king - man + woman"], ["king", "+", "woman", "-", "man"]])
def test_sums_and_differences(model, words):
    done = run(f"--model={model}", *words)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.split("\n")
    assert lines[0] == "king + woman - man" and lines[3].split()[:2] == ["1", "queen"]


@pytest.mark.parametrize("words, code, complaint", [
    (["wonan"], 1, "'wonan' is not among the 7 words of the model; spelt much like it: woman"),
    (["king", "zzzzzzz"], 1, "'zzzzzzz' is not among the 7 words of the model"),
    ([], 2, "name a word"),
    (["king", "--k=0"], 2, "--k=0"),
])
def test_what_is_wrong_is_said_in_one_line(model, words, code, complaint):
    done = run(f"--model={model}", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("neighbours: ") and complaint in done.stderr


def test_an_unknown_model_is_said_in_one_line(tmp_path):
    done = run(f"--model={tmp_path / 'absent'}", "king")
    assert done.returncode == 1
    assert done.stderr == f"neighbours: {tmp_path / 'absent'}: no such run folder, model folder or file of vectors\n"


@pytest.mark.parametrize("words, queries", [
    (["king"], [Query(("king",), ())]),
    (["king queen", "man"], [Query(("king",), ()), Query(("queen",), ()), Query(("man",), ())]),
    (["king - man + woman"], [Query(("king", "woman"), ("man",))]),
    (["king -man +woman", "x - y"], [Query(("king", "woman"), ("man",)), Query(("x",), ("y",))]),
    (["+", "king", "-", "well-known"], [Query(("king",), ("well-known",))]),
])
def test_queries(words, queries):
    assert neighbours.read(words) == queries


@pytest.mark.parametrize("words", [[], [" "], ["king", "-"], ["king - + man"], ["- man"], ["-man -woman"]])
def test_what_is_no_query(words):
    with pytest.raises(UsageProblem):
        neighbours.read(words)


def test_words_that_are_no_utf8_are_shown(tmp_path):
    (tmp_path / "x.vec").write_bytes(b"2 2\ncaf\xe9 1 0\nking 1 .1\n")
    done = run(f"--model={tmp_path / 'x.vec'}", "king")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[3].split()[:2] == ["1", r"caf\xe9"]
