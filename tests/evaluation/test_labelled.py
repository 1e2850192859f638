import gzip
import io
import re
import tarfile

import pytest

from embeddings.evaluation import labelled
from embeddings.problems import Problem

MESSAGE = "From: a\nSubject: Re: RE: the caf\xe9\n <id@there>\nLines: 2\n\nOne line.\n\nAnother.\n"
SIZES = {"Banking77": (10003, None, 3080, 77), "AG News": (None, None, 7600, 4), "MR": (10662, None, None, 2),
         "CR": (3775, None, None, 2), "SUBJ": (10000, None, None, 2), "MPQA": (10606, None, None, 2),
         "SST2": (67349, 872, 1821, 2), "SST5": (8544, 1101, 2210, 5), "TREC": (5452, None, 500, 6),
         "20 Newsgroups subjects": (None, None, 7532, 20), "20 Newsgroups messages": (None, None, 7516, 20)}


def archive(**messages):
    """A tar.xz of messages by group, with a folder's leftovers."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:xz") as made:
        files = {f"data/{group.replace('_', '.')}/{n}": text for group, texts in messages.items()
                 for n, text in enumerate(texts)}
        for name, text in {"data/.DS_Store": "x", **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode("latin-1"))
            made.addfile(member, io.BytesIO(text.encode("latin-1")))
    return held.getvalue()


def packed(content):
    """The same bytes at any time: they stand in names of tests."""
    return gzip.compress(content, mtime=0)


PARTS = ("train", "dev", "test")
FILES = {
    "banking77/train.csv": b'text,category\r\n"one, two",card\r\nthree,cash\r\n',
    "banking77/test.csv": b"text,category\r\nfour,cash\r\nfive,card\r\n",
    "ag_news/test.csv": b'"3","A ""title""","and\\more"\n"4","B","c"\n',
    "senteval/MR/rt-polarity.pos.gz": packed(b"good \nfine \n"),
    "senteval/MR/rt-polarity.neg.gz": packed(b"bad \n"),
    **{f"sst2/sentiment-{part}.tsv.gz": packed(b"so good \t1\nso bad\t0\n") for part in PARTS},
    **{f"sst5/sentiment-{part}.tsv.gz": packed(b"4 so good\n0 so bad\n") for part in PARTS},
    "senteval/TREC/train_5500.label.gz": packed(b"NUM:dist How far ?\nHUM:desc Who is \xe9 ?\n"),
    "senteval/TREC/TREC_10.label.gz": packed(b"NUM:dist How far ?\nLOC:city Where ?\n"),
    "20news-bydate-test.tar.xz": archive(sci_space=[MESSAGE], talk_politics=[MESSAGE, "Subject: empty\n\n\n"]),
}


@pytest.fixture
def place(tmp_path):
    """A folder with a set of each layout."""
    for name, content in FILES.items():
        path = tmp_path / "classification" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_every_layout_is_read(place):
    assert labelled.find(place, tuple(labelled.SOURCES)) == (
        "Banking77", "AG News", "MR", "SST2", "SST5", "TREC", "20 Newsgroups subjects", "20 Newsgroups messages")
    found = labelled.read(place, "Banking77")
    assert (found.train.texts, found.train.labels) == (("one, two", "three"), ("card", "cash"))
    assert (found.test.texts, found.valid) == (("four", "five"), None)
    found = labelled.read(place, "AG News")
    assert found.train is None and found.test.texts == ('A "title" and\\more', "B c")
    assert found.test.labels == ("3", "4")
    found = labelled.read(place, "MR")
    assert found.test is None and (found.train.texts, found.train.labels) == (
        ("good", "fine", "bad"), ("pos", "pos", "neg"))
    for name, label in (("SST2", "1"), ("SST5", "4")):
        found = labelled.read(place, name)
        assert found.valid.texts == ("so good", "so bad") and found.test.labels == (label, "0")
    found = labelled.read(place, "TREC")
    assert found.train.texts == ("How far ?", "Who is é ?") and found.test.labels == ("NUM", "LOC")
    found = labelled.read(place, "20 Newsgroups subjects")
    assert found.test.texts == ("the café", "the café", "empty")
    assert found.test.labels == ("sci.space", "talk.politics", "talk.politics")
    assert labelled.read(place, "20 Newsgroups messages").test.texts == ("One line.\n\nAnother.",) * 2


@pytest.mark.parametrize(("name", "file", "content", "complaint"), [
    ("Banking77", "banking77/test.csv", b"text,label\na,b\n", "test.csv:1: no column 'category'"),
    ("AG News", "ag_news/test.csv", b'"1","a","b"\n"2","c"\n', "test.csv:2: expected a section, a title and"),
    ("AG News", "ag_news/test.csv", b'"1","a","b\n', "test.csv:1: expected a section, a title and"),
    ("MR", "senteval/MR/rt-polarity.neg.gz", b"plain", "rt-polarity.neg.gz: no file of labelled texts"),
    ("SST2", "sst2/sentiment-dev.tsv.gz", packed(b"a\t1\nb 0\n"), "dev.tsv.gz:2: expected a sentence, a tab"),
    ("SST5", "sst5/sentiment-dev.tsv.gz", packed(b"5 a\n"), "dev.tsv.gz:1: expected 0 to 4, a blank"),
    ("SST5", "sst5/sentiment-dev.tsv.gz", packed(b"1 a\n1 b\n"), "dev.tsv.gz: holds texts of fewer than two"),
    ("TREC", "senteval/TREC/TREC_10.label.gz", packed(b"NUM How far ?\n"), "10.label.gz:1: expected COARSE:"),
    ("20 Newsgroups subjects", "20news-bydate-test.tar.xz", b"x", "test.tar.xz: no archive of messages (ReadError)"),
    ("20 Newsgroups subjects", "20news-bydate-test.tar.xz", FILES["20news-bydate-test.tar.xz"][:-60],
     "test.tar.xz: no archive of messages"),
])
def test_a_broken_file_is_named(place, name, file, content, complaint):
    (place / "classification" / file).write_bytes(content)
    with pytest.raises(Problem, match=re.escape(complaint)):
        labelled.read(place, name)


def test_the_sets_have_their_published_sizes(data):
    assert labelled.find(data, tuple(labelled.SOURCES)) == tuple(labelled.SOURCES)
    for name, sizes in SIZES.items():
        one = labelled.read(data, name)
        parts = one.train, one.valid, one.test
        assert tuple(part and len(part.texts) for part in parts) == sizes[:3], name
        assert len(set((one.train or one.test).labels)) == sizes[3], name
        blank = sum(not text.strip() for part in parts if part for text in part.texts)
        assert blank == {"CR": 4, "MPQA": 3}.get(name, 0), "empty lines are texts, as SentEval has it"
