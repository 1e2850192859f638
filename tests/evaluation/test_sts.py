import re

import numpy as np
import pytest
import scipy.stats

from embeddings.encoder import WordVectors
from embeddings.evaluation import sts
from embeddings.problems import Problem, UsageProblem

PAIRS_OF_MTEB = {"STS12": 3108, "STS13": 1500, "STS14": 3750, "STS15": 3000, "STS16": 1186, "STSBenchmark": 1379,
                 "SICK-R": 9927}


@pytest.fixture
def place(tmp_path):
    """A folder with a set of each layout."""
    for year, name, pairs, gold in (
        ("STS12", "MSRpar", "a b\tb a\nc\td\n", "4.5\n0\n"),
        ("STS12", "surprise.OnWN", 'a "x\ta y\nb\tc\n', "3\n1.25\n"),
        ("STS15", "belief", "a\tb\nb\tc\nc\td\n", "2\n\n1\n"),
    ):
        (tmp_path / "sts" / year).mkdir(parents=True, exist_ok=True)
        (tmp_path / f"sts/{year}/STS.input.{name}.txt").write_text(pairs)
        (tmp_path / f"sts/{year}/STS.gs.{name}.txt").write_text(gold)
    (tmp_path / "sts/STS12/STS.gs.SMT.txt").write_text("1\n2\n")
    (tmp_path / "sts/STSBenchmark").mkdir()
    (tmp_path / "sts/STSBenchmark/sts-test.csv").write_text(
        'main\tfile\t2012\t1\t2.5\ta "b\tb\nmain\tfile\t2012\t2\t5.000\tc\tc\textra\tlicence\n')
    (tmp_path / "sick").mkdir()
    for number, path in enumerate(sts.SICK):
        (tmp_path / path).write_text(f"pair_ID\tA\tB\tscore\tother\n{number}\ta\tb {number}\t{number + 1}\tX\n")
    return tmp_path


def test_every_layout_is_read(place):
    assert sts.find(place) == ("STS12", "STS15", "STSBenchmark", "SICK-R")
    found = sts.read(place, "STS12")
    assert found.first == ("a b", "c", 'a "x', "b") and found.second == ("b a", "d", "a y", "c")
    assert found.judgements.tolist() == [4.5, 0, 3, 1.25]
    found = sts.read(place, "STS15")
    assert found.first == ("a", "c") and found.judgements.tolist() == [2, 1], "a blank judgement is none"
    found = sts.read(place, "STSBenchmark")
    assert (found.first, found.second, found.judgements.tolist()) == (('a "b', "c"), ("b", "c"), [2.5, 5])
    found = sts.read(place, "SICK-R")
    assert found.second == ("b 0", "b 1", "b 2") and found.judgements.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("name", "path", "content", "complaint"), [
    ("STS12", "sts/STS12/STS.gs.MSRpar.txt", "1\n", "STS.gs.MSRpar.txt: 1 lines where STS.input.MSRpar.txt has 2"),
    ("STS12", "sts/STS12/STS.gs.MSRpar.txt", "1\nx\n", "STS.input.MSRpar.txt:2: expected two sentences"),
    ("STS12", "sts/STS12/STS.input.MSRpar.txt", "a\tb\nc\n", "STS.input.MSRpar.txt:2: expected two sentences"),
    ("STS15", "sts/STS15/STS.gs.belief.txt", "\n\n\n", "holds no pairs of STS15"),
    ("SICK-R", "sick/SICK_trial.txt", "head\n1\ta\tb\n", "SICK_trial.txt:2: expected two sentences"),
    ("STSBenchmark", "sts/STSBenchmark/sts-test.csv", "a\n", "sts-test.csv:1: expected two sentences"),
    ("STSBenchmark", "sts/STSBenchmark/sts-test.csv", "caf\udce9\n", "sts-test.csv: no file of sentence pairs"),
])
def test_a_broken_file_is_named(place, name, path, content, complaint):
    (place / path).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(Problem, match=re.escape(complaint)):
        sts.read(place, name)


def test_scores_are_their_definition():
    random = np.random.default_rng(0)
    table = {f"s{i}": row for i, row in enumerate(random.normal(size=(80, 6)))}
    table["s3"] = np.zeros(6)
    judgements = random.integers(0, 6, 40).astype(float)
    pairs = sts.Pairs("mine", tuple(f"s{i}" for i in range(40)), tuple(f"s{i}" for i in range(40, 80)), judgements)
    calls = []

    def encode(texts):
        calls.append(list(texts))
        return np.array([table[text] for text in texts], np.float32)

    cosines = []
    for a, b in zip(pairs.first, pairs.second, strict=True):
        length = np.linalg.norm(table[a]) * np.linalg.norm(table[b])
        cosines.append(table[a] @ table[b] / length if length else 0)
    (score,) = sts.evaluate(encode, [pairs]).sets
    assert score.spearman == pytest.approx(scipy.stats.spearmanr(cosines, judgements).statistic, abs=1e-6)
    assert (score.covered, score.total) == (39, 40)
    assert calls == [[*pairs.first, *pairs.second]]


def test_word_vectors_are_measured_and_shown(place):
    vectors = WordVectors(("a", "b", "c", "d"), np.array([[1, 0], [1, 1], [0, 1], [0, 2]], np.float32))
    pairs = [sts.read(place, name) for name in sts.find(place)]
    results = [sts.evaluate(lambda texts, how=how: vectors.encode(texts, how), pairs, how) for how in ("mean", "sif")]
    assert results[0].average is None
    text = sts.table(results).text()
    assert text.startswith("Sentence similarity\nset ") and "average of seven" in text
    row = next(line.split() for line in text.splitlines() if line.startswith("STS12"))
    assert row[1] == f"{100 * results[0].sets[0].spearman:.3f}" and row[-2:] == ["4", "4"]
    assert results[1].rows()[0]["method"] == "sif" and "STS12 mean" in results[0].scores()
    whole = sts.Result("mean", tuple(sts.Score(name, i / 10, 1, 1) for i, name in enumerate(sts.SETS)))
    assert whole.average == pytest.approx(0.3)


def test_published_scores_stand_beside():
    pairs = [sts.Pairs(name, ("a",), ("b",), np.array([1.0])) for name in ("STS12", "SICK-R")]
    assert sts.published("all-MiniLM-L6-v2", pairs).scores() == pytest.approx(
        {"STS12 published": 0.7237, "SICK-R published": 0.7758})
    whole = sts.published("all-MiniLM-L6-v2", [sts.Pairs(name, ("a",), ("b",), np.array([1.0])) for name in sts.SETS])
    assert round(100 * whole.average, 2) == 78.94
    with pytest.raises(UsageProblem, match="--published=mine: there is average"):
        sts.published("mine", pairs)


def test_the_sets_have_mtebs_numbers_of_pairs(data):
    assert {name: len(sts.read(data, name).first) for name in sts.find(data)} == PAIRS_OF_MTEB
