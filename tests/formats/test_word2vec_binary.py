import gzip
import re
import tracemalloc

import numpy as np
import pytest

from embeddings.formats import detection, streams, word2vec_binary
from embeddings.formats.vectors import RepeatedWord, Vectors
from embeddings.problems import Problem


def by_definition(words, rows, end=b"\n"):
    """The file's bytes, from the format's definition."""
    content = b"%d %d\n" % rows.shape
    for word, row in zip(words, rows, strict=True):
        content += word + b" " + b"".join(np.float32(x).tobytes() for x in row) + end
    return content


@pytest.fixture
def vectors():
    random = np.random.default_rng(0)
    words = tuple(f"w{i}ß" for i in range(60))
    return Vectors(words, random.normal(size=(60, 7)).astype(np.float32))


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_the_definition_gives_is_read(tmp_path, vectors, end, pack, monkeypatch):
    path = tmp_path / "any"
    path.write_bytes(pack(by_definition([word.encode() for word in vectors.words], vectors.vectors, end)))
    assert detection.detect(path) == "word2vec_binary"
    for block, longest in ((1 << 23, 1 << 16), (1, 10)):
        monkeypatch.setattr(streams, "BLOCK", block)
        monkeypatch.setattr(word2vec_binary, "BLOCK", block)
        monkeypatch.setattr(word2vec_binary, "LONGEST", longest)
        found = detection.read(path)
        assert found.words == vectors.words and found.vectors.tobytes() == vectors.vectors.tobytes()


def test_what_is_written_is_the_definition(tmp_path, vectors, monkeypatch):
    expected = by_definition([word.encode() for word in vectors.words], vectors.vectors)
    word2vec_binary.write(tmp_path / "a.bin", vectors)
    monkeypatch.setattr(word2vec_binary, "BLOCK", 100)
    word2vec_binary.write(tmp_path / "b.bin", vectors)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes() == expected


def test_bytes_that_are_no_utf8_are_kept_and_equal_words_said(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(by_definition([b"\xff", b"king", b"\xff"], np.arange(6).reshape(3, 2)))
    with pytest.warns(RepeatedWord, match="1 vectors are of words that have one already"):
        found = detection.read(path)
    assert found.words == ("\udcff", "king") and found.vectors.tolist() == [[0, 1], [2, 3]]
    word2vec_binary.write(path, found)
    assert path.read_bytes() == by_definition([b"\xff", b"king"], found.vectors)


BYTES = by_definition([b"king", b"queen", b"man"], np.arange(6).reshape(3, 2) + 0.1)


@pytest.mark.parametrize(("content", "complaint"), [
    (BYTES[:24], "byte 0: announces 3 vectors of 2 numbers, 34 bytes at least, but the file can hold 24"),
    (BYTES[:-2], "byte 32: expected a word, a blank and 8 bytes, vector 3 of 3, but the file ends at byte 44: copy it"),
    (BYTES.replace(b"3 2", b"2 2", 1), "byte 32: the file goes on after the 2 vectors that its first line announces"),
    (BYTES.replace(b"3 2", b"9 2", 1), "byte 0: announces 9 vectors of 2 numbers, 94 bytes at least"),
    (BYTES.replace(b"3 2", b"3 4", 1), "byte 0: announces 3 vectors of 4 numbers"),
    (BYTES.replace(np.float32(2.1).tobytes(), np.float32(np.nan).tobytes()), "byte 24: the vector of 'queen' has a"),
    (b"2 1\nking \x01\x02\x03\x04" + b"\x01" * 70000, "byte 13: expected a word, a blank and 4 bytes, vector 2 of 2,"),
], ids=lambda value: repr(value[:20]))
def test_a_broken_file_is_refused_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "broken.bin"
    path.write_bytes(content)
    with pytest.raises(Problem, match=re.escape(str(path))) as problem:
        word2vec_binary.read(path)
    assert str(problem.value).startswith(f"{path}: {complaint}"), str(problem.value)
    assert "\n" not in str(problem.value)
    with pytest.raises(Problem, match=re.escape(str(path))):
        detection.read(path)


def test_a_claim_is_checked_before_memory_is_taken(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"26214400 100\nking " + bytes(range(200)) * 5)  # 10 GB
    tracemalloc.start()
    with pytest.raises(Problem, match=r"x\.bin: byte 0: announces 26,214,400 vectors of 100 numbers, 10,538,188,813"):
        detection.read(tmp_path / "x.bin")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("word", ["two words", "line\nend", ""])
def test_words_that_the_format_cannot_hold_are_named_and_nothing_is_left(tmp_path, word):
    with pytest.raises(Problem, match=re.escape(repr(word))):
        word2vec_binary.write(tmp_path / "out.bin", Vectors(("good", word), np.ones((2, 2), np.float32)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.reference
@pytest.mark.parametrize("name", ["euclidean_vectors.bin", "high_precision.kv.bin"])
def test_gensim_reads_the_same_and_what_we_write(data, tmp_path, name):
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    theirs = keyed.load_word2vec_format(str(data / "fixtures/gensim" / name), binary=True)
    ours = detection.read(data / "fixtures/gensim" / name)
    assert list(ours.words) == theirs.index_to_key and np.array_equal(ours.vectors, theirs.vectors)
    word2vec_binary.write(tmp_path / "ours.bin", ours)
    again = keyed.load_word2vec_format(str(tmp_path / "ours.bin"), binary=True)
    assert again.index_to_key == list(ours.words) and np.array_equal(again.vectors, ours.vectors)
    theirs.save_word2vec_format(str(tmp_path / "theirs.bin"), binary=True)
    assert np.array_equal(detection.read(tmp_path / "theirs.bin").vectors, ours.vectors)
