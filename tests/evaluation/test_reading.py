import gzip
import re

import pyarrow as pa
import pyarrow.parquet
import pytest

from embeddings.evaluation import reading
from embeddings.problems import Problem

ROWS = [("a, \"b\"", "1"), ("été", "2")]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.csv.gz", "x.jsonl.gz"])
def test_records_of_every_format(tmp_path, name):
    lines = {
        "csv": 'label,other,text\n1,,"a, ""b"""\n2,,été\n',
        "tsv": 'label\tother\ttext\n1\t\t"a, ""b"""\n2\t\tété\n',
        "jsonl": '{"label": "1", "text": "a, \\"b\\""}\n\n{"text": "été", "label": "2", "other": null}\n',
    }[name.split(".")[1]]
    path = tmp_path / name
    path.write_bytes(gzip.compress(lines.encode(), mtime=0) if name.endswith(".gz") else lines.encode())
    found = list(reading.records(path, ("text", "label"), "texts"))
    assert [values for _, values in found] == ROWS
    assert [number for number, _ in found] == ([1, 3] if "jsonl" in name else [2, 3])


def test_records_of_parquet(tmp_path):
    pa.parquet.write_table(pa.table({"label": ["1", "2"], "other": [1, 2], "text": [row[0] for row in ROWS]}),
                           tmp_path / "x.parquet")
    assert list(reading.records(tmp_path / "x.parquet", ("text", "label"), "texts")) == [(1, ROWS[0]), (2, ROWS[1])]
    with pytest.raises(Problem, match=r"x.parquet: no column 'words', only label, other, text"):
        list(reading.records(tmp_path / "x.parquet", ("words",), "texts"))
    with pytest.raises(Problem, match=r"x.parquet:1: no text in 'other'"):
        list(reading.records(tmp_path / "x.parquet", ("other",), "texts"))


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("x.csv", b"text\na\n", "x.csv:1: no column 'label', only text"),
    ("x.csv", b"", "x.csv:1: no column 'text', only none"),
    ("x.csv", b"text,label\na,1\nb\n", "x.csv:3: no text in 'label'"),
    ("x.csv", b"text,label\na,1,2\n", "x.csv:2: more fields than the header names"),
    ("x.csv", b'text,label\n"a,1\n', "x.csv:2: unexpected end of data"),
    ("x.jsonl", b'{"text": "a", "label": "b"}\n[1]\n', "x.jsonl:2: not a JSON record"),
    ("x.jsonl", b'{"text": "a"\n', "x.jsonl:1: not a JSON record"),
    ("x.jsonl", b'{"text": "a", "label": 1}\n', "x.jsonl:1: no text in 'label'"),
    ("x.parquet", b"PAR", "x.parquet: no file of texts (ArrowInvalid)"),
    ("x.csv", b"\xff", "x.csv: no file of texts (UnicodeDecodeError)"),
    ("x.csv.gz", b"text", "x.csv.gz: no file of texts (BadGzipFile)"),
    ("x.jsonl.gz", gzip.compress(b"text", mtime=0)[:-9], "x.jsonl.gz: no file of texts (EOFError)"),
    ("x.txt", b"a", "x.txt: texts are read of .csv .tsv .jsonl .parquet"),
    ("absent.csv", None, "absent.csv: no file of texts (FileNotFoundError)"),
])
def test_what_is_no_record_is_named(tmp_path, name, content, complaint):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Problem, match=re.escape(complaint)):
        list(reading.records(tmp_path / name, ("text", "label"), "texts"))


def test_lines_end_in_no_other_way(tmp_path):
    (tmp_path / "x").write_bytes("\ufeffa\u2028b\x0c\r\n\nc\x85\n".encode())
    assert reading.lines(tmp_path / "x", "texts") == ["a\u2028b\x0c", "", "c\x85"]
    (tmp_path / "x").write_bytes(b"\xe9")
    assert reading.lines(tmp_path / "x", "texts", "latin-1") == ["é"]
