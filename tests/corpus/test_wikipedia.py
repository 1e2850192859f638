"""Wiki markup to plain words, step by step."""
import io
import zipfile
from pathlib import Path

import pytest

from embeddings.corpus import documents, known, wikipedia
from embeddings.corpus.documents import Source
from embeddings.problems import Problem

PAGE = '<page>\n<title>T</title>\n<text xml:space="preserve">{}</text>\n</page>\n'


def lines(xml: str) -> list[str]:
    return b"".join(wikipedia.lines(Path("dump"), io.BytesIO(xml.encode()))).decode().split("\n")[:-1]


@pytest.mark.parametrize(
    "markup, text",
    [
        ("'''Bold''' and ''italic'', it's", "bold and italic it s"),
        ("In 1905 B2B", "in one nine zero five b two b"),
        ("caf\u00e9 \u5317\u4eac end", "caf end"),
        ("[[Link]] and [[target|shown]] [[Help:Page|page]]", "link and shown page"),
        ("[[fr:Lien]] [[zh-min-nan:X]] stay", "stay"),
        ("[[Category:Ideas|*]] [[category:Games]]", "ideas games"),
        ("[[Image:A b.jpg|thumb|right|250px|A [[x|caption]]]]", "a caption"),
        ("[http://a.b/c the site] [http://only.it]", "the site"),
        ("{{box|a={b}}} {| table |} after", "after"),
        ("a &lt;b&gt;tag&lt;/b&gt; x&lt;br /&gt;y &lt;!-- note --&gt;", "a tag xy"),
        ("said&lt;ref name=&quot;a&quot;&gt;a note&lt;/ref&gt; so", "said so"),
        ("a&amp;nbsp;b", "a b"),
        ("over\n\n* several\n# lines", "over several lines"),
    ],
)
def test_each_kind_of_markup(markup, text):
    assert lines(PAGE.format(markup)) == [text]


def test_articles_are_lines_and_redirections_are_left_out(monkeypatch):
    xml = "<mediawiki>" + PAGE.format("First one") + PAGE.format("#REDIRECT [[x]]") + PAGE.format("Second")
    for piece in (7, 50, 1 << 20):
        monkeypatch.setattr(wikipedia, "PIECE", piece)
        assert [line for line in lines(xml) if line] == ["first one", "second"]


def test_the_last_article_may_be_cut_off():
    xml = PAGE.format("First") + '<page><text xml:space="preserve">The last one is [[cut|sho'
    assert lines(xml) == ["first", "the last one is sho"]
    assert lines(PAGE.format("First") + "<page><title>Next</title>") == ["first"]


def test_an_empty_article_does_not_open_the_next():
    xml = '<page><text xml:space="preserve" /><title>No</title></page>' + PAGE.format("Yes")
    assert lines(xml) == ["yes"]


def test_what_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(wikipedia, "LARGEST", 1000)
    monkeypatch.setattr(wikipedia, "PIECE", 100)
    with pytest.raises(Problem, match="dump: an article of more than"):
        lines("<text >" + "x" * 2000)


def test_the_archive_is_read_as_articles(tmp_path):
    with zipfile.ZipFile(tmp_path / "enwik9.zip", "w") as archive:
        archive.writestr("enwik9", PAGE.format("Some [[text]]") * 3)
    source = Source((tmp_path / "enwik9.zip",), kind=known.CORPORA["enwik9"].kind)
    assert b"".join(block.text for block in documents.blocks(source)) == b"some text\n" * 3
