"""Files of texts to files of vectors, through the real command."""
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small

import embeddings
from embeddings import encode
from embeddings.encode import Flags
from embeddings.formats.matrices import Growing
from embeddings.problems import Problem, UsageProblem

WORDS = ("the", "king", "queen", "river", "bank")
TEXTS = ["the king", "the river bank", "queen, queen", "bank\u2028of the king"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A file of word vectors and the folder of a small BERT."""
    folder = tmp_path_factory.mktemp("place")
    rows = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    lines = [f"{word} {' '.join(map(str, row))}\n" for word, row in zip(WORDS, rows, strict=True)]
    (folder / "toy.vec").write_text("5 6\n" + "".join(lines))
    small.saved(folder / "bert", prompts={"query": "one two "})
    return folder


def command(*flags):
    return [sys.executable, "-m", "embeddings.encode", *map(str, flags)]


def environment(place):
    return os.environ | {"JAX_PLATFORMS": "cpu", "EMBEDDINGS_CACHE": str(place / "cache")}


def run(place, *flags, **more):
    return commands.run(command(*flags), capture_output=True, timeout=200, env=environment(place), **more)


def written(folder, kind):
    """TEXTS as a file of a kind; of columns, half of a text in each of two."""
    path = folder / f"texts.{kind}"
    halves = [text.partition(" ")[::2] for text in TEXTS]
    if kind == "txt":
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(TEXTS).encode())
    elif kind == "txt.gz":
        path.write_bytes(gzip.compress("".join(f"{text}\n" for text in TEXTS).encode()))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"n": 1, "a": a, "b": b}) + "\n" for a, b in halves))
    elif kind == "csv":
        path.write_text("a,n,b\n" + "".join(f'"{a}",1,"{b}"\n' for a, b in halves))
    else:
        pq.write_table(pa.table({"b": [b for _, b in halves], "a": [a for a, _ in halves]}), path)
    return path


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "jsonl", "csv", "parquet"])
def test_texts_of_every_kind_of_file(place, kind, tmp_path, capsys):
    path, output = written(tmp_path, kind), tmp_path / "out.npy"
    encode.main(Flags(str(place / "toy.vec"), str(path), str(output), ("a", "b")), [])
    expected = embeddings.load(place / "toy.vec").encode(TEXTS)
    np.testing.assert_array_equal(np.load(output, mmap_mode="r"), expected)
    said = capsys.readouterr().out
    assert said == f"{output}: 4 vectors, 6 dimensions, {output.stat().st_size} bytes\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "out.npy"])


@pytest.mark.parametrize("kind", ["npy", "parquet", "jsonl"])
def test_vectors_in_every_kind_of_file(place, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "AT_ONCE", {"cpu": 3})
    output = tmp_path / f"out.{kind}"
    encode.main(Flags(str(place / "toy.vec"), str(written(tmp_path, "txt")), str(output)), [])
    expected = embeddings.load(place / "toy.vec").encode(TEXTS)
    if kind == "npy":
        got = np.load(output)
        assert got.dtype == np.float32
    else:
        lines = [] if kind == "parquet" else output.read_text().splitlines()
        rows = map(json.loads, lines) if lines else pq.read_table(output).to_pylist()
        numbers, got = zip(*((row["row"], row["vector"]) for row in rows), strict=True)
        assert numbers == (0, 1, 2, 3)
    np.testing.assert_array_equal(np.float32(got), expected)


def test_standard_input_and_what_is_said(place, tmp_path):
    long = "one two three four five " * 10
    done = run(place, f"--model={place / 'bert'}", "--input=-", f"--output={tmp_path / 'out.npy'}", "--layer=1",
               "--pooling=cls,max", "--normalize=true", "--truncate_dim=20", "--prompt_name=query",
               input=f"the bank\n{long}\n".encode())
    assert done.returncode == 0, done.stderr
    assert b"1 of 2 texts are longer than the model reads: their beginning was read" in done.stderr
    model = embeddings.load(place / "bert")
    with pytest.warns(UserWarning, match="1 of 2"):
        expected = model.encode(["the bank", long], layer=1, pooling=("cls", "max"), normalize=True, truncate_dim=20,
                                prompt_name="query")
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-6)


def test_blank_texts_and_windows(place, tmp_path):
    texts = ["the bank", " ", "one two three four five " * 10]
    (tmp_path / "in.txt").write_text("\n".join(texts))
    flags = Flags(str(place / "bert"), str(tmp_path / "in.txt"), str(tmp_path / "out.npy"), blank="zeros", windows=3)
    encode.main(flags, [])
    got, model = np.load(tmp_path / "out.npy"), embeddings.load(place / "bert")
    assert not got[1].any()
    np.testing.assert_allclose(got[[0, 2]], model.encode([texts[0], texts[2]], windows=3), atol=1e-6)


def test_a_killed_command_goes_on(place, tmp_path):
    """Killed after some part; the same command ends with the bytes of one that was not."""
    lines = [" ".join(np.random.default_rng(n).choice(small.TOKENS[5:], 1 + n % 15)) for n in range(200)]
    (tmp_path / "in.txt").write_text("\n".join(lines * 100))
    flags = [f"--model={place / 'bert'}", f"--input={tmp_path / 'in.txt'}"]
    output, note = tmp_path / "out.npy", tmp_path / "out.npy.rows.json"
    with subprocess.Popen(command(*flags, f"--output={output}"), env=environment(place), stderr=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as process:
        while not note.exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not output.exists()
    done = json.loads(note.read_text())["rows"]
    assert 0 < done < 20_000
    other = run(place, *flags, f"--output={output}", "--layer=0")
    assert other.returncode == 1 and b"was begun with another --layer: give the same one" in other.stderr
    with (tmp_path / "out.npy.rows").open("ab") as file:
        file.write(b"what a kill has left of a part")
    again = run(place, *flags, f"--output={output}")
    assert again.returncode == 0 and f"going on from text {done:,}".encode() in again.stderr, again.stderr
    whole = run(place, *flags, f"--output={tmp_path / 'whole.npy'}")
    assert whole.returncode == 0 and (tmp_path / "whole.npy").read_bytes() == output.read_bytes()
    assert np.load(output).shape == (20_000, 16) and not note.exists()


def test_another_input_is_not_gone_on_with(place, tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "AT_ONCE", {"cpu": 2})
    path = written(tmp_path, "txt")
    flags = Flags(str(place / "toy.vec"), str(path), str(tmp_path / "out.npy"))
    vectors, digest = embeddings.load(place / "toy.vec").encode(TEXTS[:2]), hashlib.sha256()
    digest.update("".join(f"{text}\n" for text in TEXTS[:2]).encode())
    about = {"settings": encode.settings(flags), "texts": digest.hexdigest()}
    with Growing(Path(flags.output)) as grown:  # as if it had been killed after two texts
        grown.add(vectors, about)
    original = path.read_bytes()
    path.write_text("the\n" * 9)
    with pytest.raises(Problem, match=r"out\.npy\.rows\.json: was begun with another --input: give the same one"):
        encode.main(flags, [])
    path.write_bytes(original)
    (tmp_path / "out.npy.rows").write_bytes(b"")
    with pytest.raises(Problem, match=r"rows\.json: cannot be gone on from \(fewer rows than it says\): delete it"):
        encode.main(flags, [])


@pytest.mark.parametrize(("name", "content", "says"), [
    ("in.txt", b"the king\n \n", r"in\.txt:2: an empty text: remove it, or give it zeros by --blank=zeros"),
    ("in.txt", b"the\nk\xff\n", r"in\.txt:2: not UTF-8 at byte 1 of the line"),
    ("in.txt", b"", "holds no texts"),
    ("in.gz", b"the king", "damaged or cut off"),
    ("in.jsonl", b'{"text": "a"}\n{"text": 3}\n', r"in\.jsonl:2: text is int, not text: mend or remove the row"),
    ("in.jsonl", b'{"text": "a"}\n{"text": \n', r"in\.jsonl:2: not a JSON record"),
    ("in.jsonl", b'{"title": "a"}\n', "no text in the record, which has title: name the columns with --field"),
    ("in.csv", b"title,body\na,b\n", "no column 'text', only title, body: name others with --field"),
    ("in.parquet", b"PAR1", "damaged"),
    ("absent.txt", None, "there is no such file; correct the path"),
])
def test_input_that_cannot_be_read(place, name, content, says, tmp_path):
    """Told before a model is opened."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Problem, match=says) as problem:
        encode.main(Flags("no model", str(tmp_path / name), str(tmp_path / "out.npy")), [])
    assert "\n" not in str(problem.value)
    assert [path.name for path in tmp_path.iterdir()] == [name] * (content is not None)


@pytest.mark.parametrize(("flags", "says"), [
    ({"layer": 1}, r"--layer means nothing to .*toy\.vec \(WordVectors\): leave it out"),
    ({"windows": 3}, "--windows means nothing to"),
])
def test_flags_that_mean_nothing_to_word_vectors(place, flags, says, tmp_path):
    with pytest.raises(UsageProblem, match=says):
        encode.main(Flags(str(place / "toy.vec"), str(written(tmp_path, "txt")), str(tmp_path / "o.npy"), **flags), [])


def test_word_vectors_cut_and_scaled(place, tmp_path, capsys):
    path = written(tmp_path, "txt")
    path.write_text("the king\nnothing known\n")
    encode.main(Flags(str(place / "toy.vec"), str(path), str(tmp_path / "o.npy"), normalize=True, truncate_dim=2), [])
    row = embeddings.load(place / "toy.vec").encode("the king")[0, :2]
    np.testing.assert_allclose(np.load(tmp_path / "o.npy"), [row / np.linalg.norm(row), [0, 0]], atol=1e-6)
    assert "1 of 2 texts have no known word: zeros" in capsys.readouterr().err


def test_the_output_is_refused_where_it_cannot_be_written(place, tmp_path):
    path = written(tmp_path, "txt")
    (tmp_path / "out.npy").write_text("mine")
    for output, says in (("out.npy", "is there already: choose another name, or add --overwrite"),
                         ("no/out.npy", "no such folder")):
        done = run(place, f"--model={place / 'toy.vec'}", f"--input={path}", f"--output={tmp_path / output}")
        assert done.returncode == 1 and done.stderr.decode().count("\n") == 1 and says in done.stderr.decode()
    assert (tmp_path / "out.npy").read_text() == "mine"
    with pytest.raises(UsageProblem, match=r"must end in one of \.npy, \.parquet, \.jsonl"):
        Flags("m", "i", "out.bin").validate()


def test_memory_does_not_grow_with_the_input(place, tmp_path):
    wide = [f"w{n} {' '.join(['0.5'] * 300)}\n" for n in range(10)]
    (tmp_path / "wide.vec").write_text("10 300\n" + "".join(wide))
    script = ("import resource, sys\nfrom embeddings import encode\n"
              "encode.main(encode.Flags(*sys.argv[1:4]), [])\n"
              "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)")
    peaks = []
    for lines in (2_000, 120_000):
        path = tmp_path / f"{lines}.txt"
        path.write_text("w1 w2 w3 of many\n" * lines)
        done = subprocess.run([sys.executable, "-c", script, tmp_path / "wide.vec", path, tmp_path / f"{lines}.npy"],
                              capture_output=True, text=True, timeout=200, env=environment(place))
        peaks.append(int(done.stdout.split()[-1]))
    assert (tmp_path / "120000.npy").stat().st_size > 144_000_000
    assert peaks[1] - peaks[0] < 40, f"{peaks} MiB"
