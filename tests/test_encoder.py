import dataclasses
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
from embeddings.tokenizers.subwords import Subwords
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


@pytest.mark.parametrize(("text", "complaint"), [
    ("", ": is empty"), ("some prose\n", ": no format of word vectors"), ("2 2\nking 1 2\nqueen 1\n", ":3: expected"),
], ids=repr)
def test_a_broken_file_is_refused_in_one_line(tmp_path, text, complaint):
    path = write(tmp_path / "broken.vec", text)
    with pytest.raises(Problem, match=re.escape(f"{path}{complaint}")) as problem:
        encoder.load(path)
    assert "\n" not in str(problem.value)


def test_how_texts_are_cut_can_be_chosen(tmp_path):
    path = write(tmp_path / "two.vec", "3 1\nking 1\nKing 2\nking, 4\n")
    assert encoder.load(path).tokenizer == Words("words", lower=False)
    assert encoder.load(path).encode("King, king").tolist() == [[1.5]]
    assert encoder.load(path, lower=True).encode("King, king").tolist() == [[1]]
    assert encoder.load(path, "whitespace").encode("King king,").tolist() == [[3]]


@pytest.fixture
def subwords():
    """Vectors with rows of n-grams, and a function that gives any word's by definition."""
    random, cut = np.random.default_rng(2), Subwords(3, 4, 60)
    words, rows, buckets = ("the", "king", "</s>"), random.normal(size=(3, 5)), random.normal(size=(60, 5))
    buckets = buckets.astype(np.float32)

    def vector(word):
        own = [rows[words.index(word)]] if word in words else []
        return np.mean([*own, *(buckets[b] for b in cut.ngrams(word))], axis=0)

    table = np.array([vector(word) for word in words], np.float32)
    return WordVectors(words, table, np.array([30, 20, 10]), Words(), cut, buckets), vector


def test_words_are_known_by_their_ngrams(subwords):
    model, vector = subwords
    assert "kings" in model and "King" in model and "k" in model and "" not in model
    for asked, word in (("king", "king"), ("kings", "kings"), ("Kings", "kings"), ("日本", "日本")):
        np.testing.assert_allclose(model[asked], vector(word), atol=1e-6)
    with pytest.raises(UnknownWord):
        model[""]
    a, b = vector("kings"), vector("the")
    assert model.similarity("kings", "the") == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    found = dict(model.most_similar("kings", k=3))
    assert set(found) == set(model.words) and found["the"] == pytest.approx(model.similarity("kings", "the"), abs=1e-6)
    assert "king" not in dict(model.most_similar(["king", "kings"], k=3))


def test_texts_with_words_known_by_their_ngrams(subwords):
    model, vector = subwords
    texts = ["The kings, the KINGS of\nnowhere", "king", "</s> the", "kings of kings"]
    words = [["the", "kings", "the", "kings", "of", "nowhere"], ["king"], ["s", "the"], ["kings", "of", "kings"]]
    expected = [np.mean([vector(word) for word in some], axis=0) for some in words]
    np.testing.assert_allclose(model.encode(texts), expected, atol=1e-6)
    for text, row in zip(texts, model.encode(texts), strict=True):
        assert np.array_equal(model.encode(text)[0], row)
    with pytest.warns(UnknownText, match="1 of 2"):
        assert not model.encode(["king", " "])[1].any()


def test_words_that_are_no_utf8_are_carried_along(tmp_path):
    loaded = encoder.load(write(tmp_path / "x.vec", b"3 2\ncaf\xe9 1 0\nking 1 .1\ncat 0 1\n"))
    assert [word for word, _ in loaded.most_similar("king", k=2)] == ["caf\udce9", "cat"]
    assert loaded["caf\udce9"].tolist() == [1, 0] and loaded.encode("king caf\ufffd").shape == (1, 2)


def algorithm_1(texts, model, probabilities, a):
    """Arora et al. 2017, algorithm 1, word by word; and what is taken out."""
    sentences = []
    for text in texts:
        words = [word for word in model.tokenizer.split(text) if word in model.index]
        total = np.zeros(model.vectors.shape[1])
        for word in words:
            total += a / (a + probabilities[word]) * model.vectors[model.index[word]].astype(np.float64)
        sentences.append(total / len(words))
    u = np.linalg.svd(np.array(sentences))[2][0]
    return np.array([v - u * (u @ v) for v in sentences]), u


@pytest.mark.parametrize("counted", [True, False])
def test_sif_is_the_papers_algorithm(vectors, counted):
    model = vectors if counted else dataclasses.replace(vectors, counts=None)
    texts = ["The king, the KING", "a naïve\nwoman from nowhere", "Queen the", "man the queen", "x1 king"]
    shares = model.counts if counted else [1 / rank for rank in range(1, 8)]
    p = {word: share / sum(shares) for word, share in zip(model.words, shares, strict=True)}
    expected, u = algorithm_1(texts, model, p, 1e-3)
    np.testing.assert_allclose(model.encode(texts, pooling="sif"), expected, atol=1e-6)
    expected, u = algorithm_1(texts, model, p, 0.1)
    fixed = model.sif(texts, a=0.1)
    np.testing.assert_allclose(fixed.encode(texts), expected, atol=1e-6)
    alone = fixed.encode("king of the woman")
    words = [model[word].astype(np.float64) * 0.1 / (0.1 + p[word]) for word in ("king", "the", "woman")]
    mean = np.mean(words, axis=0)
    np.testing.assert_allclose(alone[0], mean - u * (u @ mean), atol=1e-6)
    with pytest.raises(ValueError, match="above 0"):
        model.sif(texts, a=0.0)


def test_sif_where_words_have_no_counts_of_their_own(subwords, tmp_path):
    model, vector = subwords
    p = {"the": 30 / 60, "king": 20 / 60}
    words = ["the", "kings", "king"]
    expected = np.mean([vector(w) * 1e-3 / (1e-3 + p.get(w, 0)) for w in words], axis=0)
    np.testing.assert_allclose(model.pooled("the kings king", model.sif_weights())[0], expected, atol=1e-6)
    path, counts = write(tmp_path / "x.vec", "3 1\nking 1\nthe 2\nqueen 3\n"), tmp_path / "counts"
    write(counts, "# words read: 99\nthe\t70\nking 30\nof 100\n")
    assert encoder.load(path, counts=counts).counts.tolist() == [30, 70, 0]
    for text, complaint in (("the 7\nking\n", ":2: expected a word, a blank and"), ("of 1\n", ": counts none")):
        with pytest.raises(Problem, match=re.escape(f"{counts}{complaint}")):
            encoder.load(path, counts=write(counts, text))


def test_an_unknown_path_is_refused(tmp_path):
    with pytest.raises(Problem, match="absent: no such run folder, model folder or file of vectors"):
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


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_words_outside_the_vocabulary_are_those_of_fasttext(data):
    fasttext = pytest.importorskip("fasttext")
    path = data / "fixtures/gensim/crime-and-punishment.bin"
    theirs, ours = fasttext.load_model(str(path)), encoder.load(path)
    known = list(ours.words[:50])
    for word in [*known, "преступник", "reading", "日本語", "ĕŀ", "x"]:
        assert np.array_equal(ours[word], theirs.get_word_vector(word)), word
    assert "reading" not in ours.index and "reading" in ours
    text = "Преступник и наказание reading"
    words = [theirs.get_word_vector(word) for word in text.split()]
    np.testing.assert_allclose(ours.encode(text)[0], np.mean(words, axis=0), atol=1e-7)
