import gzip
import json
import re

import numpy as np
import pytest

from embeddings.evaluation import judged
from embeddings.problems import Problem

CRANFIELD = {
    "cran.all.1400": ".I 1\n.T\nwings .\n.A\nsmith\n.B\nj. 1\n.W\nwings .\n  they lift\n.I 2\n.T\n.A\n.B\n.W\n"
                     ".I 3\n.T\nheat\n.A\n.B\n.W\nheat .\n.W\nand flow\n",
    "cran.qry": ".I 001\r\n.W\r\nwhat lifts\r\nwings .\r\n.I 004\r\n.W\r\nwhat is heat .\r\n",
    "cranqrel": "1 1 1 \r\n1 3 4 \r\n1 2 -1\r\n2 3 3\r\n2 1 0\r\n2 2 -1",
}
NPL = {
    "doc-text.gz": "\n1\nlow noise  amplifier\npart\n   /\n2\nradio\n   /\n4\nwaves\n   /\n",
    "query-text.gz": "1\nNOISE\n/\n2\nWAVES\n/\n",
    "rlv-ass.gz": "1\n  1\n   2\n   /\n2\n  4\n   /\n",
}
QUORA = 'id,question1,question2,is_duplicate\n1,"How, so?",How?,1\n2,Why?,What?,0\n3,How?,How so,1\n4,Who?,Who?,1\n'


@pytest.fixture
def place(tmp_path):
    """A folder with a collection of each layout."""
    for folder, files in (("retrieval/cranfield", CRANFIELD), ("retrieval/npl", NPL), ("pairs/quora", {
            "eval.csv.gz": QUORA})):
        (tmp_path / folder).mkdir(parents=True)
        for name, content in files.items():
            raw = content.encode()
            (tmp_path / folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return tmp_path


def test_every_layout_is_read(place):
    assert judged.find(place) == judged.NAMES
    found = judged.read(place, "Cranfield")
    assert found.queries == ("what lifts wings .", "what is heat .")
    assert found.documents == ("wings . they lift", "", "heat . and flow")
    assert found.grades.toarray().tolist() == [[4, 0, 1], [0, 0, 2]], "code 1 is the best; 0 is no judgement"
    assert found.left_out.tolist() == [[1], [1]]
    found = judged.read(place, "NPL")
    assert found.documents == ("low noise  amplifier part", "radio", "waves") and found.queries == ("NOISE", "WAVES")
    assert found.grades.toarray().tolist() == [[1, 1, 0], [0, 0, 1]], "documents go by number, which skips some"
    assert found.left_out.shape == (2, 0)
    found = judged.read(place, "Quora")
    assert found.documents == ("How, so?", "How?", "How so") and found.queries == ("How, so?", "How?")
    assert found.grades.toarray().tolist() == [[0, 1, 0], [1, 0, 1]], "a duplicate is one both ways"
    assert found.left_out.tolist() == [[0], [1]], "a question is no answer to itself"


def test_pairs_become_a_collection(tmp_path):
    rows = [("a", "x"), ("b", "y"), ("a", "y"), ("a", "x"), ("y", "a")]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps({"q": q, "d": d}) + "\n" for q, d in rows))
    found = judged.pairs(tmp_path / "mine.jsonl", ("q", "d"))
    assert (found.name, found.queries, found.documents) == ("mine.jsonl", ("a", "b", "y"), ("x", "y", "a"))
    assert found.grades.toarray().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    (tmp_path / "mine.csv").write_text("query,document\na,x\nb, \n")
    with pytest.raises(Problem, match=r"mine.csv:3: 'document' is empty"):
        judged.pairs(tmp_path / "mine.csv")
    (tmp_path / "mine.csv").write_text("query,document\n")
    with pytest.raises(Problem, match=r"mine.csv: holds no judgements"):
        judged.pairs(tmp_path / "mine.csv")


@pytest.mark.parametrize(("name", "file", "content", "complaint"), [
    ("Cranfield", "cranfield/cran.qry", "query\n", "cran.qry:1: expected `.I NUMBER`"),
    ("Cranfield", "cranfield/cran.all.1400", ".I 1\n.W\na\n.I 2\n.T\nb\n", "cran.all.1400:4: a record without `.W`"),
    ("Cranfield", "cranfield/cranqrel", "1 1 1\n1 4 1\n", "cranqrel:2: number 4: there are 3 such texts"),
    ("Cranfield", "cranfield/cranqrel", "0 1 1\n", "cranqrel:1: number 0: there are 2 such texts"),
    ("Cranfield", "cranfield/cranqrel", "1 1 5\n", "cranqrel:1: code 5: expected -1, or 1 to 4"),
    ("Cranfield", "cranfield/cranqrel", "1 1\n", "cranqrel:1: expected 3 whole numbers"),
    ("Cranfield", "cranfield/cranqrel", "1 1 one\n", "cranqrel:1: expected 3 whole numbers"),
    ("Cranfield", "cranfield/cranqrel", "1 1 -1\n", "cranqrel: holds no judgements"),
    ("NPL", "npl/doc-text.gz", "1\na\n/\nb\n/\n", "doc-text.gz:4: expected a number above 1"),
    ("NPL", "npl/doc-text.gz", "2\na\n/\n1\nb\n/\n", "doc-text.gz:4: expected a number above 2"),
    ("NPL", "npl/query-text.gz", "1\na\n/\n2\nb\n", "query-text.gz:4: the last record is cut off"),
    ("NPL", "npl/rlv-ass.gz", "1\n1\n/\n2\n3\n/\n", "rlv-ass.gz:4: query 2, document 3: there is no such text"),
    ("NPL", "npl/rlv-ass.gz", "1\n1 x\n/\n", "rlv-ass.gz:1: expected some whole numbers"),
    ("Quora", "../pairs/quora/eval.csv.gz", "question1,question2,is_duplicate\na,b,2\n",
     "eval.csv.gz:2: is_duplicate is '2': expected 0 or 1"),
    ("Quora", "../pairs/quora/eval.csv.gz", "question1,question2,is_duplicate\na,b,0\n", "holds no judgements"),
])
def test_a_broken_file_is_named(place, name, file, content, complaint):
    raw = content.encode()
    (place / "retrieval" / file).write_bytes(gzip.compress(raw) if file.endswith(".gz") else raw)
    with pytest.raises(Problem, match=re.escape(complaint)):
        judged.read(place, name)


def test_the_collections_have_their_known_sizes(data):
    found = {name: judged.read(data, name) for name in judged.find(data)}
    sizes = {name: (len(one.queries), len(one.documents), len(one.judgements)) for name, one in found.items()}
    # 1,612 judgements without those of code -1, as SMART's distribution of Cranfield has
    assert sizes == {"Cranfield": (225, 1400, 1612), "NPL": (93, 11426, 2083), "Quora": (13020, 24693, 16798)}
    cranfield = found["Cranfield"]
    assert np.unique(cranfield.judgements[:, 2], return_counts=True)[1].tolist() == [363, 734, 387, 128]
    assert (cranfield.left_out >= 0).all() and cranfield.left_out.shape == (225, 1)
    assert [row for row, text in enumerate(cranfield.documents) if not text] == [470, 994]
    assert all(cranfield.grades[query, row] == 0 for query, (row,) in enumerate(cranfield.left_out))
