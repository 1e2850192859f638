"""Counts of words that stand together against a loop; their cache; memory below the size of the table."""
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from embeddings.corpus import cooccurrence, counting, writing
from embeddings.corpus.cooccurrence import Context, Cooccurrences
from embeddings.corpus.shards import TokenShards
from embeddings.problems import Problem

ROOT = Path(__file__).parents[2]
V = 30
CONTEXTS = [Context(), Context(1), Context(4, symmetric=False), Context(3, distance_weighting=False),
            Context(5, False, False), Context(22), Context(40)]


class Text(TokenShards):
    """A numbered corpus in memory; lines of 1 to 60 words."""

    def __init__(self, folder, tokens=4000, words=V, seed=0):
        rng = np.random.default_rng(seed)
        self.folder, self.tokens = folder / f"tokens-{tokens}-{words}-{seed}", tokens
        self.ids = np.minimum(rng.zipf(1.3, tokens) - 1, words - 1).astype(np.int32)
        self.lines = np.repeat(np.arange(tokens, dtype=np.int32), rng.integers(1, 60, tokens))[:tokens]

    def read(self, start, stop):
        return self.ids[start:stop], self.lines[start:stop] - (self.lines[start] if stop > start else 0)


def by_loop(text, context, words=V):
    """X, one place of one window after another."""
    counts = np.zeros((words, words))
    for i in range(text.tokens):
        for j in range(max(0, i - context.window), min(text.tokens, i + context.window + 1)):
            if i != j and text.lines[i] == text.lines[j] and (j < i or context.symmetric):
                counts[text.ids[i], text.ids[j]] += 1 / abs(i - j) if context.distance_weighting else 1
    return counts


@pytest.fixture
def small(monkeypatch):
    """Runs, merges and buckets of a few hundred: many of each in little text."""
    for name, size in (("BLOCK", 700), ("PART", 64), ("MERGED", 200), ("BUCKET", 50)):
        monkeypatch.setattr(counting, name, size)


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_counts_are_those_of_a_loop(tmp_path, small, context):
    text = Text(tmp_path)
    made = cooccurrence.prepare(text, V, context, tmp_path, workers=2)
    word, other, count = made.read(0, made.entries)
    found = np.zeros((V, V))
    np.add.at(found, (word, other), count)
    wanted = by_loop(text, context)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert made.entries == len(set(zip(word.tolist(), other.tolist(), strict=True))) == np.count_nonzero(wanted)
    assert count.dtype == np.float32 and count.min() > 0
    if context.symmetric:
        np.testing.assert_array_equal(found, found.T)


def test_the_bytes_are_the_same_on_any_number_of_cores_and_in_any_portions(tmp_path, monkeypatch):
    text, bytes_ = Text(tmp_path, tokens=20000, words=400), set()
    for number, (workers, block, part, merged, bucket) in enumerate([
        (1, 1 << 22, 1 << 15, 1 << 21, 1 << 17), (None, 1 << 22, 1 << 15, 1 << 21, 1 << 17),
        (1, 3000, 500, 999, 100), (3, 3000, 500, 999, 100), (2, 777, 64, 5000, 1 << 17),
    ]):
        for name, size in (("BLOCK", block), ("PART", part), ("MERGED", merged), ("BUCKET", bucket)):
            monkeypatch.setattr(counting, name, size)
        made = cooccurrence.prepare(text, 400, Context(10), tmp_path / str(number), workers=workers)
        assert made.entries > 20000
        bytes_.add((made.folder / "entries").read_bytes())
        assert sorted(path.name for path in made.folder.iterdir()) == ["entries", writing.MANIFEST]
    assert len(bytes_) == 1


def test_entries_stand_in_the_order_of_their_hash(tmp_path, small):
    made = cooccurrence.prepare(Text(tmp_path), V, Context(), tmp_path)
    entries = np.fromfile(made.folder / "entries", counting.ENTRY)
    hashes = counting.mixed(entries)
    assert (np.diff(hashes.astype(object)) > 0).all()
    for n in (0, 7, made.entries - 1):  # SplitMix64's finaliser, in whole numbers of any size
        x = int(entries["word"][n]) << 32 | int(entries["context"][n])
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            x = (x ^ x >> shift) * factor % 2**64
        assert int(hashes[n]) == x
    for read, name in zip(made.read(10, 20), ("word", "context", "count"), strict=True):
        assert read.tolist() == entries[name][10:20].tolist()


def test_a_table_is_made_once_and_found_again_by_what_it_is_made_of(tmp_path):
    text, told = Text(tmp_path), []
    first = cooccurrence.prepare(text, V, Context(), tmp_path, progress=lambda *amount: told.append(amount))
    assert {what for what, _, _ in told} == {"counting pairs", "merging counts", "shuffling counts"}
    assert all(0 < done <= whole for _, done, whole in told)
    told.clear()
    again = cooccurrence.prepare(text, V, Context(), tmp_path, progress=lambda *amount: told.append(amount))
    assert again.folder == first.folder and not told
    others = {cooccurrence.prepare(*what, tmp_path).folder for what in (
        (text, V, Context(14)), (text, V, Context(symmetric=False)), (text, V, Context(distance_weighting=False)),
        (text, V + 1, Context()), (Text(tmp_path, seed=1), V, Context()),
    )}
    assert len(others) == 5 and first.folder not in others
    assert json.loads((first.folder / writing.MANIFEST).read_text())["entries"] == first.entries


@pytest.mark.parametrize("name", ["entries", writing.MANIFEST])
def test_a_damaged_folder_says_what_to_delete(tmp_path, name):
    folder = cooccurrence.prepare(Text(tmp_path), V, Context(), tmp_path).folder
    content = (folder / name).read_bytes()
    for broken in (content[:-5], None):
        if broken is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(broken)
        with pytest.raises(Problem, match=f"{folder}: damaged .*delete this folder") as caught:
            Cooccurrences(folder)
        assert "\n" not in str(caught.value)


def test_a_text_of_lone_words_has_no_pairs(tmp_path):
    text = Text(tmp_path, tokens=50)
    text.lines = np.arange(50, dtype=np.int32)
    made = cooccurrence.prepare(text, V, Context(), tmp_path)
    assert made.entries == 0 and [len(a) for a in made.read(0, 0)] == [0, 0, 0]


def test_memory_stays_below_the_size_of_the_table(tmp_path):
    """Runs are spilled, merged and shuffled by a process that never holds as much as it writes."""
    code = textwrap.dedent(f"""
        from pathlib import Path
        import numpy as np
        from embeddings.corpus import cooccurrence, counting, shards

        class Text(shards.TokenShards):
            def __init__(self):
                pass
            folder, tokens = Path("tokens-uniform"), 420_000
            ids = np.random.default_rng(0).integers(0, 40_000, tokens).astype(np.int32)
            def read(self, start, stop):
                return self.ids[start:stop], np.arange(start, stop, dtype=np.int32) // 1000 - start // 1000

        counting.BLOCK, counting.PART, counting.MERGED, counting.BUCKET = 1 << 16, 1 << 12, 1 << 16, 1 << 15
        made = cooccurrence.prepare(Text(), 40_000, cooccurrence.Context(15), Path({str(tmp_path)!r}), workers=2)
        peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
        print(1024 * int(peak), made.folder)
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    peak, folder = done.stdout.split()
    made = Cooccurrences(Path(folder))
    size = made.entries * counting.ENTRY.itemsize
    assert int(peak) < size, f"{int(peak) / 2**20:.0f} MiB for a table of {size / 2**20:.0f}"
    ids = np.random.default_rng(0).integers(0, 40_000, 420_000)
    line, keys, counts = np.arange(420_000) // 1000, [], []
    for distance in range(1, 16):
        near = np.flatnonzero(line[distance:] == line[:-distance])
        first, second = ids[near], ids[near + distance]
        keys += [first * 40_000 + second, second * 40_000 + first]
        counts += [np.full(2 * len(near), 1 / distance)]
    sums = np.bincount(*reversed(_numbered(np.concatenate(keys), np.concatenate(counts))))
    word, context, count = made.read(0, made.entries)
    order = np.argsort(word.astype(np.int64) * 40_000 + context)
    np.testing.assert_allclose(count[order], sums, rtol=1e-6)


def _numbered(keys, counts):
    """Counts, and which of the different keys in order each belongs to."""
    return counts, np.unique(keys, return_inverse=True)[1]
