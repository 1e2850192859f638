"""Files of every format to lines, and what can't be read to one line of error."""
import bz2
import gzip
import json
import lzma
import os
import random
import threading
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from embeddings.corpus import documents, records, streams
from embeddings.corpus.documents import Source
from embeddings.experiment import Text
from embeddings.problems import Problem, UsageProblem

TEXT = "The first line.\nA second, with é and 中文.\n\nThe last one"
LINES = TEXT.split("\n")


COMPRESS = {
    ".txt": lambda content: content,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
    ".bz2": bz2.compress,
}


def read(source: Source) -> list[str]:
    text = b"".join(block.text for block in documents.blocks(source)).decode()
    assert not text or text.endswith("\n")
    return text.split("\n")[:-1]


def found(corpus, **settings) -> Source:
    return documents.find(str(corpus), text=Text(**settings), data=None, cache=Path("/nowhere"))


def problem(corpus, kind=Problem, **settings) -> str:
    with pytest.raises(kind) as caught:
        read(found(corpus, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_each_format_gives_the_same_lines(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes(COMPRESS[suffix](TEXT.encode()))
    assert read(found(file)) == LINES


@pytest.mark.parametrize("suffix", COMPRESS)
def test_pieces_join_whatever_their_size(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(streams, "PIECE", 64)
    monkeypatch.setattr(records, "PIECE", 64)
    draw = random.Random(0)
    lines = [" ".join(draw.choices(["é", "word", "中文", "ab"], k=draw.randrange(8))) for _ in range(200)]
    file = tmp_path / f"a{suffix}"
    file.write_bytes(COMPRESS[suffix]("\n".join(lines).encode()))
    assert read(found(file)) == lines
    rows = tmp_path / f"a.jsonl{'' if suffix == '.txt' else suffix}"
    rows.write_bytes(COMPRESS[suffix]("\n".join(json.dumps({"text": line}) for line in lines).encode()))
    assert [line for line in read(found(rows)) if line] == [line for line in lines if line]


def test_a_line_longer_than_a_piece_is_cut_at_a_blank(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "PIECE", 64)
    file = tmp_path / "a.txt"
    words = [f"w{number}" for number in range(500)]
    file.write_text(" ".join(words))
    lines = read(found(file))
    assert len(lines) > 10 and max(map(len, lines)) <= 64
    assert " ".join(lines).split() == words
    file.write_text("中" * 500)  # no blank anywhere: between two characters
    lines = read(found(file))
    assert "".join(lines) == "中" * 500


def test_small_files_share_a_block_and_keep_their_order(tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02d}.txt").write_text(f"file {number}")
    blocks = list(documents.blocks(found(tmp_path)))
    assert len(blocks) == 1
    assert blocks[0].text.decode() == "".join(f"file {number}\n" for number in range(30))
    assert blocks[0].read == sum(file.stat().st_size for file in tmp_path.iterdir())


def test_a_folder_is_read_below_and_a_glob_takes_any_text(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("z.txt", "b/wiki_00", "b/wiki_01", ".hidden/x.txt", ".y.txt", "README", "notes.md", "archive.tar.gz"):
        (tmp_path / name).write_text(name)
    assert read(found(tmp_path)) == ["b/wiki_00", "b/wiki_01", "z.txt"]
    assert read(found(tmp_path / "*.md")) == ["notes.md"]
    assert read(found(tmp_path / "**" / "wiki_*")) == ["b/wiki_00", "b/wiki_01"]
    assert read(found(tmp_path / "README")) == ["README"]


def test_markup_of_wikiextractor_is_left_out(tmp_path):
    file = tmp_path / "wiki_00"
    file.write_text('<doc id="1">\nTitle\n\nText <doc x> stays\n</doc>\n<doc id="2">\n</doc>\n<document>\nend\n</doc>')
    assert [line for line in read(found(file)) if line] == ["Title", "Text <doc x> stays", "<document>", "end"]


def test_a_byte_order_mark_is_left_out(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone")
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}')
    assert read(found(tmp_path / "a.txt")) == read(found(tmp_path / "a.jsonl")) == ["one"]


RECORDS = [
    {"title": "T1", "text": "First\nparagraph.\n\n  \nSecond é.", "n": 1},
    {"title": "T2", "text": "", "n": None},
    {"title": "T3", "text": "Third\r\n\r\nFourth", "n": [1]},
]
PARAGRAPHS = ["First paragraph.", "Second é.", "Third\r", "Fourth"]


def test_records_of_jsonl(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("\n\n".join(map(json.dumps, RECORDS)))
    lines = [line for line in read(found(file)) if line.strip()]
    assert [line.strip() for line in lines] == [line.strip() for line in PARAGRAPHS]
    both = [line.strip() for line in read(found(file, field=("title", "text"))) if line.strip()]
    assert both == ["T1", "First paragraph.", "Second é.", "T2", "T3", "Third", "Fourth"]


def test_what_only_python_reads_in_jsonl_is_read_too(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one", "x": NaN}\n{"text": "not this", "text": "two"}\n{"text": "\\u00e9\\ud83d\\ude00"}')
    assert [line for line in read(found(file)) if line] == ["one", "two", "é😀"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_records_of_parquet(tmp_path, kind):
    text = pa.array([record["text"] for record in RECORDS] + [None]).cast(kind)
    table = pa.table({"text": text, "n": pa.array([1, 2, 3, 4])})
    pa.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    lines = [line.strip() for line in read(found(tmp_path / "a.parquet")) if line.strip()]
    assert lines == [line.strip() for line in PARAGRAPHS]


def test_brown_without_its_tags(tmp_path):
    with zipfile.ZipFile(tmp_path / "brown.zip", "w") as archive:
        archive.writestr("brown/ca02", "\n\tA/at half/abn 1/2/cd\n")
        archive.writestr("brown/ca01", "``/`` yes/rb ./.")
        archive.writestr("brown/README", "about")
    source = Source((tmp_path / "brown.zip",), kind="brown")
    assert [line.split() for line in read(source) if line] == [["``", "yes", "."], ["A", "half", "1/2"]]


def test_brown_itself(data):
    source = documents.find("brown", text=Text(), data=data, cache=Path("/nowhere"))
    words = [word for line in read(source) for word in line.split()]
    assert len(words) == 1_161_192  # as NLTK's reader counts
    assert words[:4] == ["The", "Fulton", "County", "Grand"]


def test_python_docs_has_fields_of_its_own(tmp_path, monkeypatch):
    file = tmp_path / "python_docs.jsonl"
    file.write_text(json.dumps({"summary": "Short.", "body": "Long.", "text": "Not this."}))
    monkeypatch.setattr(documents.python_docs, "collect", lambda cache, progress: file)
    assert found("python_docs").field == ("summary", "body")
    assert found("python_docs", field=("body",)).field == ("body",)
    assert read(found("python_docs")) == ["Short.", "Long."]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_what_is_not_utf8_is_named_by_its_byte(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(streams, "PIECE", 16)
    file = tmp_path / f"a{suffix}"
    file.write_bytes(COMPRESS[suffix](b"valid text\n" * 5 + b"caf\xe9 au lait\n"))
    said = problem(file)
    assert str(file) in said and "byte 58" in said and "--text.invalid_utf8=replace" in said
    assert ("decompressed" in said) == (suffix != ".txt")
    blocks = list(documents.blocks(found(file, invalid_utf8="replace")))
    assert sum(block.replaced for block in blocks) == 1
    assert b"".join(block.text for block in blocks).decode() == "valid text\n" * 5 + "caf\ufffd au lait\n"


def test_a_replacement_character_of_the_text_is_not_counted(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xff\xfe and \xef\xbf\xbd")
    assert [block.replaced for block in documents.blocks(found(file, invalid_utf8="replace"))] == [2]


def test_records_that_are_not_utf8(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "one"}\n{"text": "caf\xe9"}\n')
    assert "byte 29" in problem(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n{"text": "\\ud800"}\n')
    assert f"{tmp_path}/b.jsonl:2" in problem(tmp_path / "b.jsonl")
    assert read(found(tmp_path / "b.jsonl", invalid_utf8="replace")) == ["one", "\ufffd"]
    bad = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xe9"))
    pa.parquet.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
    assert "row 1" in problem(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst", ".bz2"])
def test_damaged_archives(tmp_path, suffix):
    whole = COMPRESS[suffix](random.Random(0).randbytes(50_000).hex().encode())
    for name, content in (("cut", whole[: len(whole) // 2]), ("noise", b"no archive at all" * 9)):
        file = tmp_path / f"{name}{suffix}"
        file.write_bytes(content)
        said = problem(file)
        assert str(file) in said and "damaged or cut off" in said


def test_damaged_parquet(tmp_path):
    pa.parquet.write_table(pa.table({"text": ["a"] * 1000}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    assert "b.parquet: damaged or cut off" in problem(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    "row, says",
    [
        ("{", "not a JSON record"),
        ("[1]", "not a record of named fields"),
        ('{"body": "x"}', "no field 'text', only 'body'"),
        ('{"text": 3}', "field 'text' is not a string"),
        ('{"text": null}', "field 'text' is not a string"),
        ("[" * 100_000, "not a JSON record"),
    ],
)
def test_records_that_are_wrong(tmp_path, row, says):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "fine"}\n' + row + "\n")
    said = problem(file)
    assert said.startswith(f"{file}:2: ") and says in said


def test_a_record_that_never_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LARGEST", 100)
    monkeypatch.setattr(records, "PIECE", 64)
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\n{"text": "' + "x" * 500 + '"}')
    assert f"{file}:2: a record of more than" in problem(file)


def test_columns_that_are_wrong(tmp_path):
    pa.parquet.write_table(pa.table({"body": ["a"], "n": [1]}), tmp_path / "a.parquet")
    assert "no column 'text', only 'body', 'n'" in problem(tmp_path / "a.parquet")
    assert "column 'n' is not a string" in problem(tmp_path / "a.parquet", field=("n",))


def test_nothing_to_read(tmp_path):
    assert "no such file or folder" in problem(tmp_path / "missing.txt")
    assert "no file matches" in problem(tmp_path / "*.txt")
    assert "in this folder" in problem(tmp_path)
    said = problem("enwiki_sample", UsageProblem)
    assert "did you mean enwiki-sample?" in said and "text8" in said and "python_docs" in said
    assert "--corpus is empty" in problem("", UsageProblem)


@pytest.mark.parametrize("name", ["a.pdf", "a.zip", "a.tar.gz", "a.npy", "a.parquet.gz", "A.PDF"])
def test_what_is_not_text_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert "is not read" in problem(tmp_path / name)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in problem(tmp_path / "pipe")


def test_an_unreadable_file(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(Problem, match="cannot be read: Is a directory"):
        read(Source((tmp_path / "folder.txt",)))


def test_readers_stop_when_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "PIECE", 64)
    (tmp_path / "a.txt").write_text("word \n" * 10_000)
    before = threading.active_count()
    blocks = documents.blocks(found(tmp_path))
    next(blocks)
    assert threading.active_count() > before
    blocks.close()
    for thread in threading.enumerate():
        if thread.daemon:
            thread.join(2)
    assert threading.active_count() == before
