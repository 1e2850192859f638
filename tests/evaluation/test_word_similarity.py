import numpy as np
import pytest
import scipy.stats

from embeddings.evaluation import word_similarity
from embeddings.problems import Problem

LEE = "fixtures/gensim/lee_background.cor"


@pytest.mark.parametrize("values", [3, 10, 1000])
def test_spearman_is_scipys_with_ties(values):
    random = np.random.default_rng(values)
    x, y = random.integers(0, values, (2, 200))
    y = y + x // 2
    assert word_similarity.spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)
    assert np.array_equal(word_similarity.average_ranks(x), scipy.stats.rankdata(x))


def test_spearman_of_a_known_case():
    assert word_similarity.average_ranks(np.array([10.0, 20.0, 10.0, 5.0])).tolist() == [2.5, 4, 2.5, 1]
    assert word_similarity.spearman(np.array([1, 2, 3]), np.array([30, 20, 10])) == pytest.approx(-1)


@pytest.mark.parametrize("x", [[], [1.0], [2.0, 2.0, 2.0]])
def test_spearman_is_undefined_without_variation(x):
    assert word_similarity.spearman(np.array(x), np.arange(len(x))) is None


def test_cosines_are_ranked_and_unknown_pairs_counted():
    vectors = np.array([[1, 0], [1, 0.1], [1, 1], [0, 1], [9, 9]], np.float32)
    words = ["a", "b", "C", "d", "A"]
    pairs = (("a", "b"), ("A", "c"), ("a", "D"), ("a", "nowhere"))
    sets = [word_similarity.TestSet("mine", pairs, np.array([9.0, 5.0, 6.0, 1.0])),
            word_similarity.TestSet("none", (("x", "y"),), np.array([1.0]))]
    result = word_similarity.evaluate(vectors, words, sets)
    assert (result.sets[0].name, result.sets[0].covered, result.sets[0].total) == ("mine", 3, 4)
    assert result.sets[1] == word_similarity.Score("none", None, 0, 1)
    assert result.scores() == {"mine": pytest.approx(0.5)}
    assert result.rows()[1] == {"set": "none", "section": "total", "method": "cosine", "score": None, "correct": None,
                                "covered": 0, "total": 1}
    assert word_similarity.evaluate(vectors, words, sets, vocabulary=2).sets[0].covered == 1


def test_every_set_is_read(data):
    sets = [word_similarity.read(path) for path in word_similarity.find(data / "wordsim")]
    sizes = {one.name: len(one.pairs) for one in sets}
    assert len(sizes) == len(sets) == 15
    assert sizes["WS-353-ALL"] == len(sets[-1].pairs) - 646 == 353
    assert (sizes["SIMLEX-999"], sizes["MEN-TR-3k"], sizes["RW-STANFORD"]) == (999, 3000, 2034)
    assert sizes["semeval17_en_vecto"] == 500 and sizes["simlex999_vecto"] == 999
    by_name = {one.name: one for one in sets}
    assert by_name["WS-353-REL"].pairs[1] == ("Jerusalem", "Israel") and by_name["WS-353-REL"].judgements[1] == 8.46
    assert by_name["semeval17_en_vecto"].pairs[1] == ("Promised Land", "Baku")


@pytest.mark.parametrize("name, text, complaint", [
    ("EN-x.txt", "a\tb\t1\na\tb\n", ":2: expected two words and a number"),
    ("EN-x.txt", "a\tb\tmuch\n", ":1: expected two words and a number"),
    ("EN-x.txt", "a b 1\n", ":1: expected two words and a number"),
    ("EN-x.txt", "", "holds no pairs"),
    ("x_vecto.csv", "a,b,1\n", ":1: expected the header ,word1,word2,similarity"),
    ("x_vecto.csv", "", ":1: expected the header"),
    ("x_vecto.csv", ",word1,word2,similarity\n0,a,b,1\n1,a,b\n", ":3: expected two words and a number"),
    ("x_vecto.csv", ",word1,word2,similarity\n", "holds no pairs"),
])
def test_other_lines_are_refused_by_number(tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text)
    with pytest.raises(Problem) as problem:
        word_similarity.read(tmp_path / name)
    assert f"{tmp_path / name}" in str(problem.value) and complaint in str(problem.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "EN-bytes.txt").write_bytes(b"\xff\t\xff\t1\n")
    with pytest.raises(Problem, match="no file of word pairs"):
        word_similarity.read(tmp_path / "EN-bytes.txt")
    assert word_similarity.find(tmp_path / "absent") == []


@pytest.mark.reference
def test_scores_are_those_of_gensim(data):
    gensim = pytest.importorskip("gensim.models")
    lines = [line.split() for line in (data / LEE).read_text().splitlines()]
    model = gensim.Word2Vec(lines, vector_size=20, min_count=1, epochs=2, seed=1, workers=1)
    paths = [path for path in word_similarity.find(data / "wordsim") if path.suffix == ".txt"]
    sets = [word_similarity.read(path) for path in paths]
    result = word_similarity.evaluate(model.wv.vectors, list(model.wv.index_to_key), sets)
    compared = 0
    for path, score in zip(paths, result.sets, strict=True):
        if score.covered > 2:
            _, spearman, unknown = model.wv.evaluate_word_pairs(str(path), case_insensitive=True)
            assert score.spearman == pytest.approx(spearman.statistic, abs=1e-6), path
            assert 100 * (1 - score.covered / score.total) == pytest.approx(unknown), path
            compared += 1
    assert compared >= 10
