import numpy as np
import pytest

from embeddings.evaluation import analogies
from embeddings.evaluation.analogies import Category, Section
from embeddings.problems import Problem

LEE = "fixtures/gensim/lee_background.cor"


def independent(vectors, words, question, method, epsilon=0.001):
    """The answer to one question, candidate by candidate, straight from the equations; None where a word is unknown."""
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors, axis=1, keepdims=True)
    first = {}
    for row, word in enumerate(words):
        first.setdefault(word.upper(), row)
    forms = [word.upper() for word in question]
    if any(form not in first for form in forms):
        return None
    a, b, c = (unit[first[form]] for form in forms[:3])
    best, answer = -np.inf, None
    for x, word in zip(unit, words, strict=True):
        if word.upper() in forms[:3]:
            continue
        if method == "3CosAdd":
            score = x @ b - x @ a + x @ c
        else:
            score = (x @ b + 1) / 2 * ((x @ c + 1) / 2) / ((x @ a + 1) / 2 + epsilon)
        if score > best:
            best, answer = score, word.upper()
    return answer == forms[3]


@pytest.fixture(scope="module")
def planted():
    """Words in pairs with a common difference, some written in several cases, and questions about them."""
    random = np.random.default_rng(0)
    stems = random.normal(size=(40, 8))
    offset = 1.5 * random.normal(size=8)
    vectors = np.concatenate([stems, stems + offset + 0.6 * random.normal(size=(40, 8)), random.normal(size=(60, 8))])
    words = [f"w{i}" for i in range(40)] + [f"v{i}" for i in range(40)]
    words += [f"W{i}" for i in range(30)] + [f"V{i}" for i in range(10)] + [f"x{i}" for i in range(20)]
    order = random.permutation(len(words))
    pairs = random.integers(0, 44, (300, 2))
    questions = [(f"w{i}", f"V{i}", f"W{j}", f"v{j}") for i, j in pairs if i != j]
    categories = (Category("family", tuple(questions[:100])), Category("gram1", tuple(questions[100:])))
    return vectors[order].astype(np.float32), [words[i] for i in order], categories


@pytest.mark.parametrize("method", analogies.METHODS)
@pytest.mark.parametrize("vocabulary", [0, 90])
def test_counts_are_those_of_the_equations(planted, method, vocabulary):
    vectors, words, categories = planted
    limit = vocabulary or len(words)
    result = analogies.evaluate(vectors, words, categories, vocabulary, method, name="planted")
    expected = []
    for category in categories:
        marks = [independent(vectors[:limit], words[:limit], q, method) for q in category.questions]
        known = [mark for mark in marks if mark is not None]
        expected.append(Section(category.name, sum(known), len(known), len(marks)))
    assert result.sections[:2] == tuple(expected)
    family, gram = expected
    assert 0 < family.correct < family.covered < family.total
    assert result.sections[2:4] == (Section("semantic", *_numbers(family)), Section("syntactic", *_numbers(gram)))
    total = Section("total", family.correct + gram.correct, family.covered + gram.covered, family.total + gram.total)
    assert result.total == total and result.vocabulary == limit
    assert result.scores() == {
        f"{method}/semantic": family.correct / family.covered,
        f"{method}/syntactic": gram.correct / gram.covered,
        f"{method}/total": total.correct / total.covered,
    }
    assert result.rows()[-1] == {"set": "planted", "section": "total", "method": method, "score": total.accuracy,
                                 "correct": total.correct, "covered": total.covered, "total": total.total}


def _numbers(section):
    return section.correct, section.covered, section.total


def test_candidates_in_several_chunks_give_the_same_answers(planted, monkeypatch):
    vectors, words, categories = planted
    whole = analogies.evaluate(vectors, words, categories)
    analogies._better.clear_cache()
    monkeypatch.setattr(analogies, "CANDIDATES", 32)
    assert analogies.evaluate(vectors, words, categories) == whole
    analogies._better.clear_cache()


def test_equal_scores_go_to_the_more_frequent_word_and_nothing_left_is_wrong():
    vectors = np.array([[1, 0], [0, 1], [1, 1], [1, -1], [2, -2], [1, -1]], np.float32)
    _, first = analogies.first_rows(list("abcdef"))
    assert analogies.answers(vectors, first, np.array([[0, 1, 2]])).tolist() == [3]
    assert analogies.answers(vectors[:3], first[:3], np.array([[0, 1, 2]])).tolist() == [-1]
    questions = (Category("all", (("a", "b", "c", "c"),)),)
    assert analogies.evaluate(vectors[:3], "abc", questions).total == Section("total", 0, 1, 1)


def test_a_set_with_no_known_word_has_no_score():
    result = analogies.evaluate(np.eye(2, dtype=np.float32), ["a", "b"], (Category("gram", (("p", "q", "r", "s"),)),))
    assert result.sections == (Section("gram", 0, 0, 1), Section("total", 0, 0, 1))
    assert result.scores() == {} and result.total.out_of_vocabulary == 1


def test_the_google_set_is_read_whole(data):
    categories = analogies.read(data / "analogy/questions-words.txt")
    assert len(categories) == 14 and sum(len(c.questions) for c in categories) == 19544
    assert [c.kind for c in categories] == ["semantic"] * 5 + ["syntactic"] * 9
    assert categories[0].questions[0] == ("Athens", "Greece", "Baghdad", "Iraq")


@pytest.mark.parametrize("text, complaint", [
    ("a b c d\n", ":1: expected four words below a line"),
    (": family\na b c d\na b c\n", ":3: expected four words"),
    (": family\na b c d\n\n", ":3: expected four words"),
    (": family\na b c d\n: family\n", ":3: a section needs a name of its own"),
    (":\na b c d\n", ":1: a section needs a name"),
    (": family\n", "holds no questions"),
    ("", "holds no questions"),
])
def test_other_lines_are_refused_by_number(tmp_path, text, complaint):
    path = tmp_path / "questions.txt"
    path.write_text(text)
    with pytest.raises(Problem) as problem:
        analogies.read(path)
    assert f"{path}" in str(problem.value) and complaint in str(problem.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "bytes").write_bytes(b": \xff\n")
    for name in ("bytes", "absent"):
        with pytest.raises(Problem, match=f"{name}: no file of analogy questions"):
            analogies.read(tmp_path / name)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="3CosAdd, 3CosMul"):
        analogies.answers(np.eye(3, dtype=np.float32), np.arange(3), np.array([[0, 1, 2]]), "PairDirection")


LIMIT = 1500


@pytest.fixture(scope="module")
def gensims(data, tmp_path_factory):
    """A model of real text in mixed case, and questions with answers it nearly gives, so that a good part is right."""
    gensim = pytest.importorskip("gensim.models")
    lines = [line.split() for line in (data / LEE).read_text().splitlines()]
    wv = gensim.Word2Vec(lines, vector_size=20, min_count=3, epochs=3, seed=1, workers=1, sample=1e-3).wv
    unit = wv.vectors / np.linalg.norm(wv.vectors, axis=1, keepdims=True)
    random = np.random.default_rng(0)
    questions = [("the", "a", "unheardofword", "of")] * 3
    for a, b, c in random.integers(0, 1600, (600, 3)):
        order = [i for i in np.argsort(-unit[:1600] @ (unit[b] - unit[a] + unit[c])) if i not in (a, b, c)]
        questions.append(tuple(wv.index_to_key[i] for i in (a, b, c, order[random.integers(0, 2)])))
    path = tmp_path_factory.mktemp("analogies") / "questions.txt"
    path.write_text(": mine\n" + "".join(" ".join(question) + "\n" for question in questions))
    return wv, path, questions


@pytest.mark.reference
def test_3cosadd_counts_are_those_of_gensim(gensims):
    wv, path, questions = gensims
    ours = analogies.evaluate(wv.vectors, wv.index_to_key, analogies.read(path), LIMIT).sections[0]
    _, sections = wv.evaluate_word_analogies(str(path), restrict_vocab=LIMIT, case_insensitive=True)
    correct, wrong = len(sections[0]["correct"]), len(sections[0]["incorrect"])
    assert (ours.correct, ours.covered) == (correct, correct + wrong)
    assert 100 < correct < correct + wrong < len(questions) == ours.total


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`:DeprecationWarning")
def test_3cosmul_counts_are_those_of_gensim(gensims):
    """Gensim's evaluation ignores its similarity_function, so each question is put to most_similar_cosmul here."""
    wv, path, questions = gensims
    keyed = pytest.importorskip("gensim.models").KeyedVectors(wv.vector_size)
    keyed.add_vectors(wv.index_to_key[:LIMIT], wv.vectors[:LIMIT])
    first = {}
    for word in keyed.index_to_key:
        first.setdefault(word.upper(), word)
    correct = covered = 0
    for question in questions:
        forms = [word.upper() for word in question]
        if all(form in first for form in forms):
            a, b, c = (first[form] for form in forms[:3])
            found = (word.upper() for word, _ in keyed.most_similar_cosmul([b, c], [a], topn=10))
            correct += next(form for form in found if form not in forms[:3]) == forms[3]
            covered += 1
    categories = analogies.read(path)
    ours = analogies.evaluate(wv.vectors, wv.index_to_key, categories, LIMIT, "3CosMul", epsilon=1e-6).sections[0]
    assert (ours.correct, ours.covered) == (correct, covered)
    assert 100 < correct < covered < len(questions)
