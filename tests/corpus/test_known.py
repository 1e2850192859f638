"""Known corpora: found, checked, or downloaded from a server of the test's own."""
import gzip
import hashlib
import http.server
import lzma
import re
import socket
import threading
from pathlib import Path

import pytest

from embeddings.corpus import documents, downloads, known
from embeddings.corpus.known import Given, Known
from embeddings.experiment import Text
from embeddings.problems import Problem

CONTENT = bytes(range(256)) * 5000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `files`; closes the connection after `cut` bytes of a body, once for each entry; writes down requests."""

    files: dict[str, bytes]
    cut: list[int]
    asked: list[tuple[str, str | None]]
    ranges = True

    def do_GET(self):
        content = self.files.get(self.path)
        self.asked.append((self.path, self.headers["Range"]))
        if content is None:
            self.send_error(404)
            return
        start = 0
        if self.headers["Range"] and self.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
            if start >= len(content):
                self.send_error(416)
                return
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut.pop(0)] if self.cut else body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    handler = type("Handler", (Server,), {"files": {}, "cut": [], "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        handler.url = f"http://127.0.0.1:{running.server_port}"
        yield handler
        running.shutdown()
        thread.join(5)


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def message(call, *arguments) -> str:
    with pytest.raises(Problem) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_download_arrives_whole_and_tells_how_far_it_is(server, tmp_path):
    server.files["/a"] = CONTENT
    told = []
    path = tmp_path / "cache" / "a"
    downloads.download([f"{server.url}/a"], path, len(CONTENT), sha256(CONTENT), arrived=told.append)
    assert path.read_bytes() == CONTENT
    assert told == sorted(told) and told[-1] == len(CONTENT) and len(told) > 2
    assert [file.name for file in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_was_cut_off(server, tmp_path, ranges):
    server.files["/a"], server.cut, server.ranges = CONTENT, [300_000], ranges
    path = tmp_path / "a"
    said = message(downloads.download, [f"{server.url}/a"], path, len(CONTENT), sha256(CONTENT))
    assert f"{server.url}/a" in said and "run again" in said and not path.exists()
    told = []
    downloads.download([f"{server.url}/a"], path, len(CONTENT), sha256(CONTENT), arrived=told.append)
    assert path.read_bytes() == CONTENT
    start = int(server.asked[1][1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 300_000
    assert (told[0] > start) == ranges


def test_parts_that_arrived_are_not_asked_for_again(server, tmp_path):
    server.files |= {"/a": b"one\r\n", "/b": b"two\r\n", "/c": b"three"}
    server.cut = [5, 2]
    urls, path = [f"{server.url}/{name}" for name in "abc"], tmp_path / "whole"
    wanted = b"".join(known._document(name, server.files[f"/{name}"]) for name in "abc")
    arguments = (urls, path, len(wanted), sha256(wanted), known._document)
    assert "/b: cut off" in message(downloads.download, *arguments)
    downloads.download(*arguments)
    assert path.read_bytes() == wanted == b'<doc file="a">\none\n\n</doc>\n<doc file="b">\ntwo\n\n</doc>\n' + (
        b'<doc file="c">\nthree\n</doc>\n'
    )
    assert [path for path, _ in server.asked] == ["/a", "/b", "/b", "/c"]


def test_a_server_with_less_than_before(server, tmp_path):
    """What was begun is longer than the file: begin anew."""
    server.files["/a"] = b"short"
    parts = tmp_path / "a.parts"
    parts.mkdir()
    (parts / "000.incomplete").write_bytes(b"longer than that")
    downloads.download([f"{server.url}/a"], tmp_path / "a", 5, sha256(b"short"))
    assert (tmp_path / "a").read_bytes() == b"short"


def test_wrong_content_is_not_kept(server, tmp_path):
    server.files["/a"] = b"something else"
    said = message(downloads.download, [f"{server.url}/a"], tmp_path / "a", 0, sha256(CONTENT))
    assert sha256(CONTENT)[7:] in said and f"{server.url}/a" in said
    assert "bytes where 9 are expected" in message(
        downloads.download, [f"{server.url}/a"], tmp_path / "a", 9, sha256(CONTENT)
    )
    assert not any(path for path in tmp_path.iterdir() if not path.name.endswith(".lock"))


def test_two_downloads_at_once_make_one(server, tmp_path):
    server.files["/a"] = CONTENT
    arguments = ([f"{server.url}/a"], tmp_path / "a", len(CONTENT), sha256(CONTENT))
    threads = [threading.Thread(target=downloads.download, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_no_network_names_the_url_and_the_place(server, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
        said = message(downloads.download, [url], tmp_path / "a", 0, sha256(b""))
    assert said.startswith(url) and str(tmp_path / "a") in said
    assert "404" in message(downloads.download, [f"{server.url}/no"], tmp_path / "a", 0, sha256(b""))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in message(downloads.download, ["http://x"], tmp_path / "file" / "a", 0, sha256(b""))


def test_the_data_folder_comes_first_then_the_cache(tmp_path, monkeypatch):
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    cache.mkdir()
    packed = gzip.compress(CONTENT)
    corpus = Known(
        "small.txt", len(CONTENT), sha256(CONTENT), ("http://127.0.0.1:9/small.txt",),
        Given("small.txt.gz", len(packed), hashlib.sha256(packed).hexdigest()),
    )
    monkeypatch.setitem(known.CORPORA, "small", corpus)
    assert "http://127.0.0.1:9/small.txt: cannot be reached" in message(known.locate, "small", data, cache)
    (cache / "small.txt").write_bytes(CONTENT)
    assert known.locate("small", None, cache) == known.locate("small", data, cache) == (cache / "small.txt",)
    (data / "small.txt.gz").write_bytes(packed)
    assert known.locate("small", data, cache) == (data / "small.txt.gz",)
    (data / "small.txt.gz").write_bytes(packed[:-1] + b"x")
    assert "restore it" in message(known.locate, "small", data, cache)
    (cache / "small.txt").write_bytes(CONTENT[:-1])
    assert "delete it" in message(known.locate, "small", None, cache)


def test_the_table_is_well_formed():
    lengths = {"sha256": 64, "sha1": 40, "md5": 32}
    for name, corpus in known.CORPORA.items():
        algorithm, _, digest = corpus.digest.partition(":")
        assert re.fullmatch(r"[0-9a-f]+", digest) and len(digest) == lengths[algorithm], name
        assert all(url.startswith(("https://", "http://mattmahoney.net/")) for url in corpus.urls)
        if algorithm != "sha256":
            assert name in ("enwik9", "wikitext-2"), f"{name}: SHA-256 where it is known"
    assert {"text8", "enwik9", "wikitext-2", "brown", "enwiki-sample", "novels-sample"} <= set(known.CORPORA)
    assert len(known.CORPORA["novels-sample"].urls) == 34


@pytest.mark.parametrize("name", [name for name, corpus in known.CORPORA.items() if corpus.given])
def test_what_is_given_is_what_would_be_downloaded(data, name):
    """The digest of the published files, joined, is that of the data folder's copy, decompressed."""
    corpus = known.CORPORA[name]
    (file,) = known.locate(name, data, Path("/nowhere"))
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(file.suffix, open)
    with opened(file, "rb") as stream:
        content = stream.read()
    assert len(content) == corpus.bytes and sha256(content) == corpus.digest


def test_a_known_corpus_is_read(data):
    source = documents.find("wikitext-2-valid", text=Text(), data=data, cache=Path("/nowhere"))
    text = b"".join(block.text for block in documents.blocks(source))
    assert len(text) == known.CORPORA["wikitext-2-valid"].bytes
    assert len(text.split()) == 213_886
