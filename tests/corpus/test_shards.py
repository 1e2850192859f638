"""Token shards against a loop over lines and words; their cache, its races, and memory."""
import gzip
import multiprocessing
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from embeddings import experiment
from embeddings.corpus import documents, shards, streams, vocabulary, writing
from embeddings.corpus.documents import Source
from embeddings.problems import Problem
from embeddings.tokenizers.words import Words

CONFIG = experiment.Vocabulary(min_count=5)
TEXT = experiment.Text()
ROOT = Path(__file__).parents[2]


def corpus(folder: Path, lines: int = 3000, seed: int = 0, files: int = 3) -> Source:
    """Files of lines of 0 to 11 words, one of them compressed."""
    draw = random.Random(seed)
    folder.mkdir(exist_ok=True)
    names = [f"w{n}" if n % 3 else f"é{n}" for n in range(1000)]
    weights = [1 / (n + 1) for n in range(1000)]
    for number in range(files):
        text = "\n".join(" ".join(draw.choices(names, weights, k=draw.randrange(12))) for _ in range(lines // files))
        if number % 2:
            (folder / f"{number}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{number}.txt").write_text(text)
    return documents.find(str(folder), text=TEXT, data=None, cache=folder)


def by_loop(source: Source, words: list[str]) -> tuple[list[int], list[int]]:
    """Ids and line numbers of the words that are in the vocabulary, by one loop."""
    index = {word: number for number, word in enumerate(words)}
    ids, lines = [], []
    for file in source.files:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for line in content.decode().split("\n"):
            kept = [index[word] for word in line.split() if word in index]
            number = lines[-1] + 1 if lines else 0
            ids += kept
            lines += [number] * len(kept)
    return ids, lines


@pytest.fixture
def small(monkeypatch):
    """Pieces of 1 kB, shards of 500 ids: many of both in little text."""
    monkeypatch.setattr(streams, "PIECE", 1024)
    monkeypatch.setattr(writing, "SHARD", 500)
    monkeypatch.setattr(shards, "_HASHED", 3000)


@pytest.mark.parametrize("workers", [1, 3])
def test_ids_and_lines_are_those_of_a_loop(tmp_path, small, workers):
    source = corpus(tmp_path / "text")
    words, made = shards.prepare(source, TEXT, CONFIG, tmp_path, workers=workers)
    ids, lines = by_loop(source, list(words.words))
    assert len(list(made.folder.glob("ids-*"))) > 5
    assert (made.tokens, made.lines, made.words) == (len(ids), lines[-1] + 1, words.total)
    read_ids, read_lines = made.read(0, made.tokens)
    assert read_ids.tolist() == ids and read_lines.tolist() == lines
    assert np.bincount(read_ids).tolist() == words.counts.tolist()


def test_reading_from_anywhere(tmp_path, small):
    made = shards.prepare(corpus(tmp_path / "text"), TEXT, CONFIG, tmp_path)[1]
    ids, lines = made.read(0, made.tokens)
    draw = random.Random(0)
    for _ in range(300):
        start = draw.randrange(made.tokens + 1)
        stop = min(made.tokens, start + draw.choice([0, 1, 2, 50, 600, 5000]))
        some_ids, some_lines = made.read(start, stop)
        assert np.array_equal(some_ids, ids[start:stop])
        assert np.array_equal(some_lines, lines[start:stop] - (lines[start] if stop > start else 0))
    for start, stop in ((-1, 3), (3, 2), (0, made.tokens + 1)):
        with pytest.raises(IndexError):
            made.read(start, stop)


def test_build_with_a_given_vocabulary_gives_the_same_ids(tmp_path, small):
    source = corpus(tmp_path / "text")
    words, made = shards.prepare(source, TEXT, CONFIG, tmp_path)
    counted = vocabulary.count(documents.blocks(source), Words(), CONFIG)
    assert counted.words == words.words and counted.counts.tolist() == words.counts.tolist()
    built = shards.build(source, Words(), counted, tmp_path)
    assert built.folder != made.folder
    for one, other in zip(built.read(0, built.tokens), made.read(0, made.tokens), strict=True):
        assert np.array_equal(one, other)
    two = vocabulary.Vocabulary(words.words[1:3], words.counts[1:3], words.total)
    few = shards.build(source, Words(), two, tmp_path)
    assert few.tokens == words.counts[1:3].sum()


def test_a_second_call_reads_no_text(tmp_path, monkeypatch):
    source = corpus(tmp_path / "text")
    words, made = shards.prepare(source, TEXT, CONFIG, tmp_path / "cache")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    monkeypatch.setattr(documents, "blocks", lambda source: pytest.fail("the text is read again"))
    again, found = shards.prepare(source, TEXT, CONFIG, tmp_path / "cache")
    assert again.words == words.words and again.counts.tolist() == words.counts.tolist() and again.total == words.total
    assert found.folder == made.folder
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}


def test_the_name_is_of_content_and_settings_not_of_place(tmp_path):
    source = corpus(tmp_path / "text")
    here = shards.prepare(source, TEXT, CONFIG, tmp_path / "cache")[1]
    (tmp_path / "text").rename(tmp_path / "moved")
    moved = documents.find(str(tmp_path / "moved"), text=TEXT, data=None, cache=tmp_path)
    assert shards.prepare(moved, TEXT, CONFIG, tmp_path / "cache")[1].folder == here.folder
    others = {
        shards.prepare(moved, experiment.Text(lower=False), CONFIG, tmp_path / "cache")[1].folder,
        shards.prepare(moved, experiment.Text(tokenizer="whitespace"), CONFIG, tmp_path / "cache")[1].folder,
        shards.prepare(moved, TEXT, experiment.Vocabulary(min_count=6), tmp_path / "cache")[1].folder,
        shards.prepare(moved, TEXT, experiment.Vocabulary(max_size=9), tmp_path / "cache")[1].folder,
    }
    with moved.files[0].open("a") as file:
        file.write(" w1")
    others.add(shards.prepare(moved, TEXT, CONFIG, tmp_path / "cache")[1].folder)
    assert len(others | {here.folder}) == 6


def test_what_was_replaced_is_counted_once_and_kept(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 one one two two \xff\n" * 10)
    text = experiment.Text(invalid_utf8="replace")
    source = documents.find(str(tmp_path / "a.txt"), text=text, data=None, cache=tmp_path)
    for _ in range(2):
        assert shards.prepare(source, text, CONFIG, tmp_path)[1].replaced == 20


def test_progress_reaches_the_end(tmp_path, small):
    told = []
    source = corpus(tmp_path / "text")
    shards.prepare(source, TEXT, CONFIG, tmp_path, lambda *told_now: told.append(told_now))
    total = sum(file.stat().st_size for file in source.files)
    for what in ("checking the corpus", "reading the corpus", "numbering the words"):
        done = [amount for name, amount, _ in told if name == what]
        assert len(done) > 2 and done == sorted(done) and done[-1] == total, what


def test_a_failure_leaves_nothing(tmp_path, small):
    source = corpus(tmp_path / "text")
    (tmp_path / "text" / "9.txt").write_bytes(b"fine\n" * 5000 + b"caf\xe9")
    bad = documents.find(str(tmp_path / "text"), text=TEXT, data=None, cache=tmp_path)
    cache = tmp_path / "cache"
    with pytest.raises(Problem, match=r"9\.txt: not UTF-8 at byte 25003"):
        shards.prepare(bad, TEXT, CONFIG, cache)
    with pytest.raises(Problem, match="lower --vocabulary"):
        shards.prepare(source, TEXT, experiment.Vocabulary(min_count=100_000), cache)
    assert list(cache.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    """A limit on the size of files stands in for a full disk."""
    corpus(tmp_path / "text", lines=30_000)
    code = f"""
    import resource, signal
    from pathlib import Path
    from embeddings import experiment
    from embeddings.corpus import documents, shards
    from embeddings.problems import Problem
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    cache = Path({str(tmp_path / "cache")!r})
    source = documents.find({str(tmp_path / "text")!r}, text=experiment.Text(), data=None, cache=cache)
    try:
        shards.prepare(source, experiment.Text(), experiment.Vocabulary(), cache)
    except Problem as problem:
        print(problem)
    """
    said = python(code)
    assert len(said.splitlines()) == 1 and str(tmp_path / "cache") in said and "cannot be written" in said
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_made(tmp_path):
    source = corpus(tmp_path / "text")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(Problem, match="cache/below: cannot be written") as caught:
        shards.prepare(source, TEXT, CONFIG, tmp_path / "cache" / "below")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["manifest.json", "ids-00000", "lines-00000", "vocabulary.tsv"])
def test_a_damaged_folder_says_what_to_delete(tmp_path, name):
    source = corpus(tmp_path / "text")
    folder = shards.prepare(source, TEXT, CONFIG, tmp_path)[1].folder
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(Problem, match=str(folder)) as caught:
        shards.prepare(source, TEXT, CONFIG, tmp_path)
    assert "delete this folder" in str(caught.value) and "\n" not in str(caught.value)


def test_what_a_killed_process_left_is_removed(tmp_path):
    cache = tmp_path / "cache"
    for name, age in ((".cooccurrences-a-1.part", 100), (".tokens-b-2.part", 0)):
        (cache / name).mkdir(parents=True)
        (cache / name / "lock").touch()
        now = (cache / name / "lock").stat().st_mtime
        os.utime(cache / name / "lock", (now - age, now - age))
    made = shards.prepare(corpus(tmp_path / "text"), TEXT, CONFIG, cache)[1]
    assert {path.name for path in cache.iterdir()} == {".tokens-b-2.part", made.folder.name}


def _prepare_when_told(folder: Path, barrier, results) -> None:
    source = documents.find(str(folder / "text"), text=TEXT, data=None, cache=folder)
    barrier.wait(60)
    words, made = shards.prepare(source, TEXT, CONFIG, folder / "cache", workers=1)
    ids, _ = made.read(0, made.tokens)
    results.put((len(words.words), int(ids.astype(np.int64).sum())))


def test_two_processes_at_once_make_one_folder(tmp_path):
    corpus(tmp_path / "text", lines=20_000)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_prepare_when_told, args=(tmp_path, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    made = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert made[0] == made[1]
    assert [path.name[:7] for path in (tmp_path / "cache").iterdir()] == ["tokens-"]


def test_the_loser_of_a_race_takes_the_winners_folder(tmp_path):
    folder = tmp_path / "tokens-x"
    with writing.written(folder) as part:
        (part / "mine").touch()
        folder.mkdir()
        (folder / writing.MANIFEST).write_text("{}")
    assert [path.name for path in folder.iterdir()] == [writing.MANIFEST]
    assert [path.name for path in tmp_path.iterdir()] == ["tokens-x"]


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Eight times the text, in smaller pieces than usual so that both are many pieces long."""
    draw = random.Random(0)
    words = [f"lengthy{int(draw.paretovariate(0.7)) % 30_000}" for _ in range(400_000)]
    small = "\n".join(" ".join(words[n : n + 20]) for n in range(0, len(words), 20)) * 3
    peaks = []
    for name, times in (("small", 1), ("large", 8)):
        with (tmp_path / f"{name}.txt").open("w") as file:
            for _ in range(times):
                file.write(small)
        code = f"""
        import resource
        from pathlib import Path
        from embeddings import experiment
        from embeddings.corpus import documents, records, shards, streams, vocabulary, writing
        streams.PIECE, writing.SHARD, vocabulary.MERGED = 1 << 18, 1 << 20, 1 << 17
        folder = Path({str(tmp_path)!r})
        source = documents.find(str(folder / "{name}.txt"), text=experiment.Text(), data=None, cache=folder)
        words, made = shards.prepare(source, experiment.Text(), experiment.Vocabulary(), folder / "cache", workers=2)
        print(made.tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        """
        tokens, peak = map(int, python(code).split())
        assert tokens > 1_000_000 * times
        peaks.append(peak / 1024)
    size = [(tmp_path / f"{name}.txt").stat().st_size / 2**20 for name in ("small", "large")]
    assert size[1] - size[0] > 40
    assert peaks[1] - peaks[0] < 25, f"{peaks} MB at the most for {size} MB of text"


def test_the_wikipedia_sample(data, tmp_path):
    source = documents.find("enwiki-sample", text=TEXT, data=data, cache=tmp_path)
    words, made = shards.prepare(source, TEXT, CONFIG, tmp_path)
    assert words.total == made.words == 9_629_342
    assert made.tokens == words.counts.sum()
    _, lines = made.read(1_000_000, 1_100_000)
    assert lines[0] == 0 and set(np.diff(lines)) == {0, 1}
