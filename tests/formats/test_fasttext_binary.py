import dataclasses
import re
import struct
import tracemalloc

import numpy as np
import pytest

from embeddings.experiment import Experiment, FastText
from embeddings.formats import detection, fasttext_binary, ngrams
from embeddings.formats.fasttext_binary import Arguments, Model
from embeddings.formats.vectors import RepeatedWord, Vectors
from embeddings.problems import Problem
from embeddings.tokenizers.subwords import Subwords

WORDS = (b"the", "naïve".encode(), b"</s>", b"\xff\xfebad", "日本語".encode(), b"two words", b"a")
CUT = Subwords(3, 5, 50)


@pytest.fixture
def parts():
    """Counts, rows of words, of buckets, and of the output."""
    random = np.random.default_rng(0)
    counts = np.arange(70, 0, -10)
    return counts, *(random.normal(size=(n, 6)).astype(np.float32) for n in (len(WORDS), 50, len(WORDS)))


def by_definition(parts, entries=WORDS, classes=(), version=12, model=2, minn=3, maxn=5, quantized=False, **change):
    """The file's bytes, field by field as fastText 0.9.2 writes them; `change` overwrites sizes."""
    counts, rows, buckets, output = parts
    size = {"size": len(entries) + len(classes), "words": len(entries), "labels": len(classes), "bucket": len(buckets),
            "rows": len(rows) + len(buckets), "columns": 6, "outputs": len(output)} | change
    new = version is not None
    content = struct.pack("<ii", 793712314, version) if new else b""
    content += struct.pack("<12i", 6, 5, 5, 1, 5, 1, 2, model, size["bucket"], minn, maxn, 100)
    content += struct.pack("<d", 1e-4)
    content += struct.pack("<iiiq", size["size"], size["words"], size["labels"], 280)
    content += struct.pack("<q", -1) * new
    for word, count in zip(entries, counts, strict=True):
        content += word + b"\0" + struct.pack("<qb", count, 0)
    for label in classes:
        content += label + b"\0" + struct.pack("<qb", 3, 1)
    content += struct.pack("<?", quantized) * new + struct.pack("<qq", size["rows"], size["columns"])
    content += rows.tobytes() + buckets.tobytes()
    return content + struct.pack("<?", False) * new + struct.pack("<qq", size["outputs"], 6) + output.tobytes()


def put(tmp_path, content):
    path = tmp_path / "some.bin"
    path.write_bytes(content)
    return path


def mean_of_ngrams(word, rows, buckets):
    """The definition: the word's row (if any) and one row an n-gram, added one by one in float32, then divided."""
    parts = [*rows, *(buckets[b] for b in CUT.ngrams(word))]
    total = np.zeros(6, np.float32)
    for part in parts:
        total = total + part
    return total * np.float32(1 / len(parts))


@pytest.mark.parametrize("version", [12, 11, None])
def test_what_the_definition_gives_is_read(tmp_path, parts, version):
    counts, rows, buckets, output = parts
    path = put(tmp_path, by_definition(parts, version=version))
    assert detection.detect(path) == "fasttext_binary"
    model = fasttext_binary.read(path)
    assert isinstance(model.rows, np.memmap) and isinstance(model.ngrams, np.memmap)
    for found, expected in ((model.rows, rows), (model.ngrams, buckets), (model.output, output)):
        assert found.tobytes() == expected.tobytes()
    assert model.arguments == Arguments(6, 5, 5, 1, 5, 1, 2, 2, 50, 3, 5, 100, 1e-4) and model.tokens == 280
    vectors = detection.read(path)
    assert [word.encode("utf-8", "surrogateescape") for word in vectors.words] == list(WORDS)
    assert vectors.counts.tolist() == counts.tolist() and vectors.subwords == CUT
    expected = [mean_of_ngrams(word, [row], buckets) for word, row in zip(vectors.words, rows, strict=True)]
    assert np.array_equal(vectors.vectors, expected)
    assert np.array_equal(vectors.vectors[2], rows[2]), "the end of a line has no n-grams"


def test_words_are_composed_in_portions_alike(parts, monkeypatch):
    _, rows, buckets, _ = parts
    words = [word.decode("utf-8", "surrogateescape") for word in WORDS]
    whole = ngrams.composed(words, CUT, buckets, rows)
    alone = ngrams.composed(words[:2], CUT, buckets)
    assert np.array_equal(alone, [mean_of_ngrams(word, [], buckets) for word in words[:2]])
    assert not ngrams.composed(["", "</s>"], CUT, buckets).any()
    monkeypatch.setattr(ngrams, "AT_ONCE", 2)
    assert np.array_equal(ngrams.composed(words, CUT, buckets, rows), whole)
    back = ngrams.without_ngrams(words, CUT, buckets, whole)
    np.testing.assert_allclose(back, rows, atol=1e-5)
    np.testing.assert_allclose(ngrams.composed(words, CUT, buckets, back), whole, atol=3e-7)


def test_what_is_written_is_the_definition(tmp_path, parts):
    content = by_definition(parts)
    model = fasttext_binary.read(put(tmp_path, content))
    fasttext_binary.write(tmp_path / "again.bin", model)
    assert (tmp_path / "again.bin").read_bytes() == content
    fasttext_binary.write(tmp_path / "some.bin", model)  # over the file that it is mapped from
    assert (tmp_path / "some.bin").read_bytes() == content


def test_a_supervised_model_gives_its_words(tmp_path, parts):
    counts, rows, buckets, output = parts
    some = (counts, rows, buckets[:0], output[:2])
    path = put(tmp_path, by_definition(some, classes=(b"__label__a", b"__label__b"), model=3, minn=0, maxn=0))
    found = detection.read(path)
    assert len(found.words) == len(WORDS) and found.subwords is None and found.ngrams is None
    assert np.array_equal(found.vectors, rows)
    some = (counts, rows, buckets, output[:2])  # buckets are of word n-grams, and version 11 had no others
    path = put(tmp_path, by_definition(some, classes=(b"__label__a", b"__label__b"), model=3, version=11))
    assert np.array_equal(detection.read(path).vectors, rows)


def test_every_cut_is_named_by_its_byte(tmp_path, parts):
    content = by_definition(parts)
    for end in [*range(8, 400, 7), *range(400, len(content), 131), len(content) - 1]:
        path = put(tmp_path, content[:end])
        with pytest.raises(Problem) as problem:
            detection.read(path)
        message = str(problem.value)
        assert re.match(re.escape(f"{path}: byte ") + r"[\d,]+: expected .* ends at byte " + f"{end:,}: it is", message)
        assert int(re.search(r"byte ([\d,]+)", message)[1].replace(",", "")) <= end


@pytest.mark.parametrize(("change", "complaint"), [
    ({"quantized": True}, "a quantized model (.ftz) holds codes instead of vectors: load the .bin file"),
    ({"version": 13}, "byte 4: version 13 of the format is not known here"),
    ({"words": 8}, "byte 64: 7 entries that are 8 words and 0 labels"),
    ({"words": 6, "labels": 1}, "entry 7 of the dictionary has kind 0"),
    ({"words": 0, "size": 0}, "byte 64: 0 entries"),
    ({"words": -1, "size": -1}, "byte 64: -1 entries"),
    ({"words": 2**31 - 1, "size": 2**31 - 1}, "byte 92: expected a dictionary of 2,147,483,647 entries, 21"),
    ({"rows": 58}, "the input matrix is 58 x 6 where 57 x 6 belongs"),
    ({"columns": 5}, "the input matrix is 57 x 5 where 57 x 6 belongs"),
    ({"outputs": 8}, "the output matrix is 8 x 6 where 7 x 6 belongs"),
    ({"bucket": 2**31 - 1, "rows": 2**31 + 6}, "expected the input matrix, 2,147,483,654 x 6, 51,539,607,696 bytes"),
    ({"bucket": -1, "rows": 6}, "where "),
], ids=str)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, parts, change, complaint):
    path = put(tmp_path, by_definition(parts, **change))
    tracemalloc.start()
    with pytest.raises(Problem, match=re.escape(str(path))) as problem:
        detection.read(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert complaint in str(problem.value) and "\n" not in str(problem.value)


def test_more_than_a_model_and_numbers_that_are_none(tmp_path, parts):
    with pytest.raises(Problem, match=r"byte [\d,]+: the file goes on to byte"):
        detection.read(put(tmp_path, by_definition(parts) + b"x"))
    parts[1][1, 3] = np.nan
    with pytest.raises(Problem, match="the vector of 'naïve' has a number that is not finite"):
        detection.read(put(tmp_path, by_definition(parts)))


def test_the_first_of_equal_words_counts(tmp_path, parts):
    path = put(tmp_path, by_definition(parts, (b"the", b"naive", b"the", *WORDS[3:])))
    with pytest.warns(RepeatedWord, match="1 vectors"):
        found = detection.read(path)
    assert found.words[:3] == ("the", "naive", "\udcff\udcfebad") and found.counts.tolist() == [70, 60, 40, 30, 20, 10]
    assert np.array_equal(found.vectors[0], mean_of_ngrams("the", parts[1][:1], parts[2]))


def test_any_vectors_become_a_model(tmp_path):
    vectors = Vectors(("the", "two words"), np.arange(8, dtype=np.float32).reshape(2, 4))
    fasttext_binary.write(tmp_path / "x.bin", Model.of(vectors))
    found = detection.read(tmp_path / "x.bin")
    assert found.words == vectors.words and np.array_equal(found.vectors, vectors.vectors)
    assert found.subwords is None and found.counts.tolist() == [1, 1]
    with pytest.raises(Problem, match=re.escape(repr("zero\0byte"))):
        fasttext_binary.write(tmp_path / "y.bin", Model.of(dataclasses.replace(vectors, words=("a", "zero\0byte"))))
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_a_runs_settings_by_fasttexts_names():
    settings = Experiment(architecture="fasttext", fasttext=FastText(
        algorithm="cbow", loss="hierarchical_softmax", width=7, window=3, negatives=4, subsample=1e-3))
    assert Arguments.of(settings) == Arguments(7, 3, 5, 5, 4, 1, 1, 1, 0, 0, 0, 100, 1e-3)
    assert Arguments.of(Experiment(architecture="glove")).dim == 100


FIXTURES = ["crime-and-punishment.bin", "lee_fasttext_new.bin", "toy-model.bin", "toy-model-pretrained.bin"]
UNKNOWN = ["rejection", "Россия", "日本", "ĕŀ", "a", "</s>x"]


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FIXTURES)
def test_fasttext_and_gensim_read_the_same_and_what_we_write(data, tmp_path, name):
    fasttext, theirs = pytest.importorskip("fasttext"), pytest.importorskip("gensim.models.fasttext")
    path = data / "fixtures/gensim" / name
    ours = detection.read(path)
    fasttext_binary.write(tmp_path / "ours.bin", fasttext_binary.read(path))
    assert (tmp_path / "ours.bin").read_bytes()[8:] == path.read_bytes()[8:]
    model = fasttext.load_model(str(tmp_path / "ours.bin"))
    assert model.get_words() == list(ours.words)
    assert all(np.array_equal(model.get_word_vector(w), row) for w, row in zip(ours.words, ours.vectors, strict=True))
    new = [word for word in UNKNOWN if word not in ours.words]
    unknown = ngrams.composed(new, ours.subwords, ours.ngrams)
    assert np.array_equal(unknown, [model.get_word_vector(word) for word in new]) and len(new) > 3
    whole = theirs.load_facebook_model(str(tmp_path / "ours.bin"))
    known = [i for i, word in enumerate(ours.words) if word != "</s>"]  # gensim gives it n-grams
    assert whole.wv.index_to_key == list(ours.words)
    np.testing.assert_allclose(whole.wv.vectors[known], ours.vectors[known], atol=1e-6)
    np.testing.assert_allclose([whole.wv[word] for word in new], unknown, atol=1e-6)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_without_ngrams_opens_in_fasttext_and_gensim(tmp_path):
    fasttext, theirs = pytest.importorskip("fasttext"), pytest.importorskip("gensim.models.fasttext")
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    fasttext_binary.write(tmp_path / "x.bin", Model.of(Vectors(("the", "naïve", "日本語"), rows)))
    model = fasttext.load_model(str(tmp_path / "x.bin"))
    assert np.array_equal([model.get_word_vector(word) for word in model.get_words()], rows)
    assert np.array_equal(theirs.load_facebook_vectors(str(tmp_path / "x.bin")).vectors, rows)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("options", [
    {"model": "skipgram"}, {"model": "cbow", "loss": "hs", "minn": 2, "maxn": 4}, {"model": "skipgram", "maxn": 0},
], ids=str)
def test_what_fasttext_trains_is_read(data, tmp_path, options):
    fasttext = pytest.importorskip("fasttext")
    theirs = fasttext.train_unsupervised(str(data / "fixtures/gensim/lee_background.cor"), dim=12, bucket=3000, epoch=1,
                                         thread=1, verbose=0, **options)
    theirs.save_model(str(tmp_path / "theirs.bin"))
    ours = detection.read(tmp_path / "theirs.bin")
    words, counts = theirs.get_words(include_freq=True)
    assert list(ours.words) == words and ours.counts.tolist() == counts.tolist()
    assert np.array_equal(ours.vectors, [theirs.get_word_vector(word) for word in words])
    model = fasttext_binary.read(tmp_path / "theirs.bin")
    assert np.array_equal(model.output, theirs.get_output_matrix())
    fasttext_binary.write(tmp_path / "ours.bin", model)
    assert (tmp_path / "ours.bin").read_bytes() == (tmp_path / "theirs.bin").read_bytes()


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_supervised_and_quantized_models_of_fasttext(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    text = tmp_path / "text"
    text.write_text("".join(f"__label__{i % 2} some words {i % 5} more of it\n" for i in range(400)))
    theirs = fasttext.train_supervised(str(text), dim=8, bucket=500, minn=2, maxn=3, wordNgrams=2, verbose=0, thread=1)
    theirs.save_model(str(tmp_path / "s.bin"))
    ours = detection.read(tmp_path / "s.bin")
    assert list(ours.words) == theirs.get_words()
    assert np.array_equal(ours.vectors, [theirs.get_word_vector(word) for word in ours.words])
    theirs.quantize(input=str(text))
    theirs.save_model(str(tmp_path / "s.ftz"))
    with pytest.raises(Problem, match="a quantized model"):
        detection.read(tmp_path / "s.ftz")
