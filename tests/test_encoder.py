import re

import jax.numpy as jnp
import numpy as np
import pytest

import embeddings
from embeddings import encoder, flags
from embeddings.corpus.vocabulary import Vocabulary
from embeddings.encoder import UnknownText, UnknownWord, WordVectors
from embeddings.experiment import Experiment, Text, Word2Vec
from embeddings.problems import Problem
from embeddings.tokenizers.words import Words
from embeddings.training import checkpoint, run_folder

LEE = "fixtures/gensim/lee_fasttext.vec"


@pytest.fixture
def vectors():
    random = np.random.default_rng(0)
    words = ("the", "king", "queen", "man", "woman", "naïve", "x1")
    return WordVectors(words, random.normal(size=(7, 5)).astype(np.float32), np.arange(70, 0, -10))


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_text_is_the_mean_of_its_known_words(vectors):
    texts = ["The king, the KING", "a naïve\nwoman from nowhere", "Queen"]
    rows = [[0, 1, 0, 1], [5, 4], [2]]
    expected = [vectors.vectors[row].mean(axis=0) for row in rows]
    encoded = vectors.encode(texts)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, expected, rtol=1e-6)


def test_one_string_is_one_text(vectors):
    assert np.array_equal(vectors.encode("king queen"), vectors.encode(["king queen"]))
    assert vectors.encode([]).shape == (0, 5)


def test_a_text_does_not_depend_on_the_texts_beside_it(vectors, monkeypatch):
    texts = ["king of the hill", "woman\nman", "\x85queen\u2028king", "the \ud800 king", "queen " * 50]
    alone = np.concatenate([vectors.encode(text) for text in texts])
    assert np.array_equal(vectors.encode(texts), alone)
    monkeypatch.setattr(encoder, "TEXTS_AT_ONCE", 2)
    assert np.array_equal(vectors.encode(texts), alone)


def test_texts_without_a_known_word_are_zeros_and_said(vectors):
    with pytest.warns(UnknownText, match="^2 of 3 texts have no known word: zeros$"):
        encoded = vectors.encode(["", "king", "nothing known"])
    assert not encoded[0].any() and encoded[1].any() and not encoded[2].any()


def test_the_tokenizer_is_the_models_own(vectors):
    cased = WordVectors(("King", "king,"), np.eye(2, dtype=np.float32), tokenizer=Words("whitespace", lower=False))
    assert cased.encode("King king, king").tolist() == [[0.5, 0.5]]
    assert "KING" not in cased and "King" in cased
    assert "KING" in vectors and np.array_equal(vectors["King"], vectors.vectors[1])
    assert len(vectors) == 7 and "prince" not in vectors


def test_most_similar_and_analogy_follow_their_definition(vectors):
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    query = (unit[1] - unit[3] + unit[4]) / 3
    cosines = unit @ query / np.linalg.norm(query)
    order = [i for i in np.argsort(-cosines) if i not in (1, 3, 4)]
    found = vectors.most_similar(["king", "woman"], ["man"], k=3)
    assert [word for word, _ in found] == [vectors.words[i] for i in order[:3]]
    np.testing.assert_allclose([cosine for _, cosine in found], cosines[order[:3]], rtol=1e-5)
    assert vectors.analogy("man", "king", "woman", k=3) == found
    assert vectors.analogy("man", "king", "woman") == found[:1]
    assert vectors.most_similar("king", k=100) == vectors.most_similar(["king"], [], k=6)
    assert vectors.similarity("king", "man") == pytest.approx(float(unit[1] @ unit[3]), rel=1e-5)


@pytest.mark.parametrize("arguments", [((), "king"), ("king", (), 0)])
def test_most_similar_needs_a_positive_word_and_k(vectors, arguments):
    with pytest.raises(ValueError, match="positive word"):
        vectors.most_similar(*arguments)


def test_an_unknown_word_names_its_nearest_spellings(vectors):
    with pytest.raises(UnknownWord) as unknown:
        vectors["wonan"]
    message = str(unknown.value)
    assert message.startswith("'wonan' is not among the 7 words of the model; spelt much like it: woman")
    assert isinstance(unknown.value, KeyError) and isinstance(unknown.value, Problem)
    with pytest.raises(UnknownWord, match="try another word"):
        vectors.most_similar("qqqqqq")


def test_a_runs_folder_is_loaded(tmp_path):
    settings = Experiment(run=str(tmp_path), text=Text(lower=False), word2vec=Word2Vec(width=4))
    (tmp_path / run_folder.FLAGS).write_text(flags.resolved(settings))
    Vocabulary(("king", "Queen"), np.array([7, 5]), 20).save(tmp_path / run_folder.VOCABULARY)
    table = jnp.arange(8.0).reshape(2, 4)
    saver = checkpoint.Checkpoints(tmp_path / run_folder.CHECKPOINTS, keep=1)
    saver.save(3, {"params": {"input": table, "output": -table}, "optimizer": (), "step": jnp.int32(3)})
    saver.close()
    loaded = embeddings.load(str(tmp_path))
    assert loaded.words == ("king", "Queen") and loaded.counts.tolist() == [7, 5]
    assert loaded.tokenizer == Words("words", lower=False)
    assert np.array_equal(loaded.vectors, table)
    assert np.array_equal(loaded.encode("king, Queen!"), np.mean(table, axis=0, keepdims=True))


def test_a_word2vec_text_file_is_loaded(tmp_path):
    path = write(tmp_path / "two.vec", "2 3\nking 1 0 -0.5\nnaïve 1e-3 2 3 \n")
    loaded = embeddings.load(str(path))
    assert loaded.words == ("king", "naïve") and loaded.counts is None and loaded.tokenizer.lower
    assert np.array_equal(loaded.vectors, np.array([[1, 0, -0.5], [1e-3, 2, 3]], np.float32))
    write(path, "1 1\nKing 1\n")
    assert not encoder.load(path).tokenizer.lower


@pytest.mark.parametrize("text, complaint", [
    ("", ":1: expected the number of words and the length"),
    ("king 1 2\n", ":1: expected the number of words"),
    ("0 3\n", ":1: expected the number of words"),
    ("-1 3\n", ":1: expected the number of words"),
    ("2 2\nking 1 2\nqueen 1\n", ":3: expected a word and 2 finite numbers"),
    ("2 2\nking 1 2\nqueen 1 2 3\n", ":3: expected a word and 2 finite numbers"),
    ("1 2\nold king 1 2\n", ":2: expected a word and 2 finite numbers"),
    ("1 2\nking 1 nan\n", ":2: expected a word and 2 finite"),
    ("1 2\nking 1 x\n", ":2: expected a word and 2 finite"),
    ("2 1\nking 1\nking 2\n", ":3: the word 'king' stands here a second time"),
    ("3 1\nking 1\n", ":1: the first line announces 3 words, the file has 1"),
    ("1 1\nking 1\nqueen 1\n", ":1: the first line announces 1 words, the file has 2"),
    ("99999999999 99999\nking 1\n", ":2: "),
    (b"1 1\n\xff\xfe 1\n", "not UTF-8"),
    (bytes(range(256)) * 20, "not UTF-8"),
])
def test_a_broken_file_is_refused_in_one_line(tmp_path, text, complaint):
    path = write(tmp_path / "broken.vec", text)
    with pytest.raises(Problem, match=re.escape(str(path))) as problem:
        encoder.load(path)
    assert complaint in str(problem.value) and "\n" not in str(problem.value)


def test_an_unknown_path_is_refused(tmp_path):
    with pytest.raises(Problem, match="absent: no such run folder or file of vectors"):
        encoder.load(tmp_path / "absent")
    with pytest.raises(Problem, match=re.escape(str(tmp_path))):
        encoder.load(tmp_path)


@pytest.mark.reference
def test_neighbours_are_those_of_gensim(data):
    gensim = pytest.importorskip("gensim.models")
    theirs = gensim.KeyedVectors.load_word2vec_format(str(data / LEE))
    ours = encoder.load(data / LEE)
    assert list(ours.words) == theirs.index_to_key
    assert np.array_equal(ours.vectors, theirs.vectors)
    for positive, negative in ((["the"], []), (["government", "people"], ["the"]), (["of", "in"], ["on", "and"])):
        expected = theirs.most_similar(positive, negative, topn=5)
        found = ours.most_similar(positive, negative, k=5)
        assert [word for word, _ in found] == [word for word, _ in expected]
        np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], rtol=1e-5)
