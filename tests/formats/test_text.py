import gzip
import re
import tracemalloc

import numpy as np
import pytest

from embeddings.formats import detection, streams, text
from embeddings.formats.vectors import RepeatedWord, Vectors
from embeddings.problems import Problem

ROWS = np.array([[1, 0, -0.5], [1e-3, 2, 3]], np.float32)


@pytest.fixture
def put(tmp_path):
    def write(content, name="some.vec"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def by_definition(content, width):
    """Words and numbers of a text, line by line: the last `width` fields are numbers."""
    words, rows = [], []
    for line in content.splitlines():
        fields = line.rstrip(" ").split(" ")
        words.append(" ".join(fields[:-width]))
        rows.append([np.float32(field) for field in fields[-width:]])
    return tuple(words), np.array(rows)


@pytest.mark.parametrize("content", [
    "2 3\nking 1 0 -0.5\nnaïve 1e-3 2 3 \n", "2 3\nking 1 0 -0.5 \nnaïve 0.001 2 3",
    "2 3\r\nking 1 0 -.5\r\nnaïve 1E-3 2 3\r\n", "2 3\nking +1 0 -5e-1\nnaïve 1e-3 2. 3\n\n\n",
])
def test_a_header_and_rows(put, content):
    path = put(content)
    assert detection.detect(path) == "word2vec"
    found = detection.read(path)
    assert found.words == ("king", "naïve") and found.counts is None and found.subwords is None
    assert found.vectors.dtype == np.float32 and np.array_equal(found.vectors, ROWS)
    path = put(content.partition("\n")[2], "glove.txt")
    assert detection.detect(path) == "glove"
    assert np.array_equal(detection.read(path).vectors, ROWS)


@pytest.mark.parametrize("header", [True, False])
def test_words_with_blanks_quotes_and_marks(put, header):
    lines = ['"first 1 2', '. . . 3 4', '"quoted 5 6', '" 7 8', "at name@domain.com 9 10", "\ufeffmark 11 12",
             "5 13 14", "nan 15 16", "a,b 17 18", "\xa0 19 20", "NULL 21 22", " 23 24"]
    content = "\n".join(lines)
    expected = by_definition(content, 2)
    found = detection.read(put(f"{len(lines)} 2\n" * header + content))
    plain = [line for line in lines if line.count(" ") == 2]
    assert detection.read(put("\n".join(plain), "plain.txt")).words == by_definition("\n".join(plain), 2)[0]
    assert found.words == expected[0]
    assert np.array_equal(found.vectors, expected[1])
    assert ". . ." in found.words and '"' in found.words and "\ufeffmark" in found.words


def test_blocks_change_nothing(put, monkeypatch):
    random = np.random.default_rng(0)
    lines = [f"{'two words' if i % 50 == 7 else 'w'}{i} " + " ".join(map(repr, row)) for i, row in
             enumerate(random.normal(size=(300, 4)).astype(np.float32).tolist())]
    path = put("\n".join(lines))
    expected = by_definition("\n".join(lines), 4)
    for block in (1, 100, 5000):
        monkeypatch.setattr(streams, "BLOCK", block)
        found = detection.read(path)
        assert found.words == expected[0] and np.array_equal(found.vectors, expected[1])


def test_bytes_that_are_no_utf8_are_kept(put, tmp_path):
    found = detection.read(put(b"2 1\n\xff\xfe 1\ncaf\xe9 2\n"))
    assert [word.encode("utf-8", "surrogateescape") for word in found.words] == [b"\xff\xfe", b"caf\xe9"]
    text.write(tmp_path / "again.vec", found, header=True)
    assert (tmp_path / "again.vec").read_bytes() == b"2 1\n\xff\xfe 1\ncaf\xe9 2\n"


def test_the_first_of_equal_words_counts_and_it_is_said(put):
    path = put("4 1\nking 1\nqueen 2\nking 3\nking 4\n")
    with pytest.warns(RepeatedWord, match=r"2 vectors are of words that have one already \('king' is the first\)"):
        found = detection.read(path)
    assert found.words == ("king", "queen") and found.vectors.tolist() == [[1], [2]]


@pytest.mark.parametrize(("content", "complaint"), [
    ("", ": is empty"),
    ("some prose, with no numbers\nat all\n", ": no format of word vectors"),
    (bytes(range(256)) * 20, ": no format of word vectors"),
    ("0 3\n", ":1: expected the number of words and the length"),
    ("2 2\nking 1 2\nqueen 1\n", ":3: expected a word and 2 numbers"),
    ("2 2\nking 1 2\nqueen 1 2 3\n", ":3: expected a word and 2 numbers, parted by single"),
    ("2 3\nking 1 2\nqueen 1 2\n", ":2: expected a word and 3 numbers"),
    ("2 1\nking 1 2\nqueen 1 2\n", ":2: expected a word and 1 numbers"),
    ("1 2\nking 1 nan\n", ":2: the vector of 'king' has a number that is not finite"),
    ("2 1\nking 1\nqueen -inf\n", ":3: the vector of 'queen' has a number that is not finite"),
    ("1 2\nking 1 x\n", ":2: expected a word and 2 numbers, parted by single blanks, but the line ends with 0"),
    ("1 2\n  1 2\n", ":2: expected a word"),
    ("1 2\nking  1 2\n", ":2: expected a word"),
    ("2 1\nking 1\n\nqueen 2\n", ":3: expected a word and 1 numbers"),
    ("3 1\nking 1\n", ":1: the first line announces 3 words, the file has 1"),
    ("1 1\nking 1\nqueen 1\n", ":3: the first line announces 1 words, here is one more"),
    ("king 1 2\nqueen 1 2\nman 1\n", ":3: expected a word and 2 numbers"),
    ("king 1 2\nqueen 1 2\nman 1 2 3\n", ":3: expected a word and 2 numbers"),
    ("99999999999 99999\nking 1\n", ":1: announces 99,999,999,999 vectors of 99,999 numbers"),
], ids=lambda value: repr(value[:30]))
def test_a_broken_file_is_refused_in_one_line(put, content, complaint):
    path = put(content)
    with pytest.raises(Problem, match=re.escape(str(path))) as problem:
        detection.read(path)
    assert str(problem.value).startswith(f"{path}{complaint}") and "\n" not in str(problem.value)


def test_a_line_that_is_wrong_late_in_a_large_file_is_named(put, monkeypatch):
    monkeypatch.setattr(streams, "BLOCK", 64)
    lines = [f"w{i} {i} {i}" for i in range(100)]
    lines[77] = "w77 77"
    with pytest.raises(Problem, match=r"some\.vec:79: "):
        detection.read(put("100 2\n" + "\n".join(lines)))


def test_a_claim_is_checked_before_memory_is_taken(put):
    path = put("26214400 100\n" + "king 1 2 3\n" * 90)  # 10 GB
    tracemalloc.start()
    with pytest.raises(Problem, match=r":1: announces 26,214,400 vectors of 100 numbers, 5,269,094,400 bytes at least"):
        detection.read(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_gzip_is_seen_by_content_and_a_cut_is_named(put, tmp_path):
    random = np.random.default_rng(0)
    vectors = Vectors(tuple(f"w{i}" for i in range(500)), random.normal(size=(500, 20)).astype(np.float32))
    text.write(tmp_path / "a.vec.gz", vectors, header=True)
    packed = (tmp_path / "a.vec.gz").read_bytes()
    text.write(tmp_path / "a.vec", vectors, header=True)
    assert gzip.decompress(packed) == (tmp_path / "a.vec").read_bytes()
    path = put(packed, "misnamed.vec")
    assert np.array_equal(detection.read(path).vectors, vectors.vectors)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(Problem, match=rf"misnamed\.vec: byte {len(packed) // 2:,}: the \.gz file is cut off; copy it"):
        detection.read(path)
    path.write_bytes(packed[:2000] + b"\0" * 50 + packed[2050:])
    with pytest.raises(Problem, match=r"misnamed\.vec: byte .*: the \.gz file is damaged"):
        detection.read(path)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None], ids=["folder", "absent"])
def test_what_is_no_file(tmp_path, make):
    make(tmp_path / "thing")
    with pytest.raises(Problem, match=r"thing: (is a folder|no such file)"):
        detection.read(tmp_path / "thing")


@pytest.mark.parametrize("header", [True, False])
def test_every_float32_reads_back_as_it_was(tmp_path, header):
    bits = np.random.default_rng(0).integers(0, 1 << 32, 12000, np.uint32).view(np.float32)
    rows = bits[np.isfinite(bits)][:11000].reshape(-1, 10)
    words = tuple(f"word{i}ß" for i in range(len(rows)))
    text.write(tmp_path / "all.vec", Vectors(words, rows), header)
    found = detection.read(tmp_path / "all.vec")
    assert found.words == words and found.vectors.tobytes() == rows.tobytes()
    line = (tmp_path / "all.vec").read_text().splitlines()[1 if header else 0]
    shortest = [np.format_float_scientific(x, unique=True) for x in rows[0]]
    assert [np.float32(x) for x in shortest] == rows[0].tolist()
    digits = [sum(map(str.isdigit, x.partition("e")[0].strip("-0.").rstrip("0."))) for x in shortest]
    written = [sum(map(str.isdigit, x.partition("e")[0].strip("-0.").rstrip("0."))) for x in line.split(" ")[1:]]
    assert all(ours <= shortest for ours, shortest in zip(written, digits, strict=True))


@pytest.mark.parametrize("word", ["two words", "tab\tbed", "line\nend", "", "\ud800"])
def test_words_that_text_cannot_hold_are_named_and_nothing_is_left(tmp_path, word):
    with pytest.raises(Problem, match=re.escape(repr(word))):
        text.write(tmp_path / "out.vec", Vectors(("good", word), np.ones((2, 2), np.float32)), header=True)
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_none_are_not_written(tmp_path):
    rows = np.array([[1, 2], [1, np.nan]], np.float32)
    with pytest.raises(Problem, match="the vector of 'bad' has a number that is not finite"):
        text.write(tmp_path / "out.vec", Vectors(("good", "bad"), rows), header=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gensim leaves files open
@pytest.mark.parametrize("name", ["fixtures/gensim/lee_fasttext.vec", "fixtures/gensim/word2vec_pre_kv_c",
                                  "fixtures/gensim/high_precision.kv.txt", "fixtures/gensim/toy-model.vec",
                                  "fixtures/gensim/test_glove.txt", "fixtures/glove/glove.6B.100d.sample.txt.gz",
                                  "fixtures/glove/glove.6B.300d.sample.txt.gz"])
def test_gensim_reads_the_same_and_what_we_write(data, tmp_path, name):
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    theirs = keyed.load_word2vec_format(str(data / name), no_header="glove" in name)
    ours = detection.read(data / name)
    assert list(ours.words) == theirs.index_to_key and np.array_equal(ours.vectors, theirs.vectors)
    for header in (True, False):
        text.write(tmp_path / "ours.txt", ours, header)
        again = keyed.load_word2vec_format(str(tmp_path / "ours.txt"), no_header=not header)
        assert again.index_to_key == list(ours.words) and np.array_equal(again.vectors, ours.vectors)
