"""What bad input gets: an exit code, one line that says what to do, and nothing left behind.

Each case runs the real command in a process of its own, in a folder of its own, and looks at what a person would see.
"""
import contextlib
import fcntl
import gzip
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pytest

from embeddings.training import checkpoint, run_folder

ROOT = Path(__file__).parent.parent
SMALL = [
    "--vocabulary.min_count=1", "--word2vec.width=16", "--word2vec.block=16", "--word2vec.chunk=256",
    "--word2vec.shared_negatives=16", "--word2vec.window=25", "--train.batch=1000", "--train.epochs=2",
    "--optimizer.learning_rate=0.02", "--checkpoint.seconds=0",
]
NOTES = re.compile(r"(checking|reading|numbering|collecting) [^:]*: .*|[\d,]+ of [\d,]+ words of text, .*|batch .*")
"""Lines that tell how far a run is: not the line that the cases are about."""
PREPARED = re.compile(
    r"(cache|disk)/compiled(/.*)?|cache(/tokens-[0-9a-f]{32}(/(ids|lines)-\d+|/manifest\.json|/vocabulary\.tsv)?)?"
)
"""What a prepared corpus and a compiled step leave in the cache, whatever happens afterwards."""


def slow(*case):
    """A case that goes much the way of another one: not for the plain command."""
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def text():
    """4,000 words by Zipf's law, 20 a line."""
    words = [f"w{n}" for n in np.minimum(np.random.default_rng(0).zipf(1.3, 4000), 200)]
    return "".join(" ".join(words[n : n + 20]) + "\n" for n in range(0, 4000, 20))


@pytest.fixture
def folder(tmp_path, text):
    """A folder to work in, with a good corpus."""
    (tmp_path / "good.txt").write_text(text)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, text):
    """A run with checkpoints 6 and 8."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "good.txt").write_text(text)
    assert run(folder, *train("--checkpoint.steps=3", "--train.steps=8")).returncode == 0
    assert checkpoint.steps(folder / "run/checkpoints") == [8, 6]
    return folder / "run"


@pytest.fixture
def old(folder, trained):
    """A copy of the run, to be spoilt."""
    return shutil.copytree(trained, folder / "old")


@pytest.fixture(scope="module")
def disk():
    """A command in a name space of its own, where a folder is a small disk; what is on it at the end goes to `left`."""
    script = """disk=$0 options=$1; shift; mount -t tmpfs -o "$options" tmpfs "$disk" || exit 99
    "$@"; code=$?; find "$disk" -mindepth 1 -printf '%P\\n' > left; exit $code"""

    def on(options, command):
        return ["unshare", "-rm", "sh", "-c", script, "disk", options, *command]

    try:
        trial = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    except FileNotFoundError:
        trial = None
    if trial is None or trial.returncode:
        pytest.skip("this machine lets no test mount a disk of its own (unshare -rm)")
    return on


def train(*flags, corpus="good.txt", run="run"):
    return [sys.executable, "-m", "embeddings.train", f"--corpus={corpus}", f"--run={run}", *SMALL, *flags]


def reading(command, *arguments):
    return [sys.executable, "-m", f"embeddings.{command}", *arguments]


def environment(folder, **more):
    own = {"PYTHONPATH": str(ROOT), "HOME": str(folder / "home"), "EMBEDDINGS_CACHE": str(folder / "cache"),
           "EMBEDDINGS_DATA": "", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    return os.environ | own | more


def run(folder, *command, **more):
    start = commands.run if command[0] == sys.executable else subprocess.run
    return start(command, cwd=folder, env=environment(folder, **more), capture_output=True, text=True, timeout=120)


def tree(folder):
    """Everything in a folder but a prepared corpus."""
    paths = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return {path for path in paths if not PREPARED.fullmatch(path)}


def only_line(done):
    """The line that a command left with, after nothing but notes of how far it was."""
    *notes, line = done.stderr.splitlines()
    assert [note for note in notes if not NOTES.fullmatch(note)] == []
    assert "Traceback" not in line
    return line


def refused(folder, command, *says, code=1, **more):
    """Runs a command that must leave with this code and a line that has all of `says` in it, and leave nothing new."""
    before = tree(folder)
    done = run(folder, *command, **more)
    assert done.returncode == code, done.stderr
    line = only_line(done)
    assert re.match(r"(train|evaluate|neighbours): ", line)
    assert [part for part in says if part not in line] == [], line
    assert done.stdout == ""
    assert tree(folder) == before
    return line


# Text

NOISE = np.random.default_rng(1).bytes(5000)
CORPORA = {  # name of the file: what is in it, what the line says
    "empty.txt": (b"", "no words in it"),
    "blank.txt": (b"\n\n  \t \n", "no words in it"),
    "noise.txt": (NOISE, "not UTF-8 at byte"),
    "noise.gz": (NOISE, "fetch or write it again"),
    "noise.xz": (NOISE, "fetch or write it again"),
    "noise.zst": (NOISE, "fetch or write it again"),
    "noise.parquet": (NOISE, "fetch or write it again"),
    "noise.jsonl": (NOISE, "not UTF-8 at byte"),
    "cut.gz": (gzip.compress(bytes(range(32, 127)) * 99)[:-20], "fetch or write it again"),
    "one_word.txt": (b"hello\n", "give more text by --corpus"),
    "one_word_often.txt": (b"yes yes yes\nyes yes\n", "give more text by --corpus"),
    "broken.jsonl": (b'{"text": "a b a b"}\n{"text": \n', ":2: not a JSON record"),
    "one_a_line.txt": (b"a\nb\nc\na\n", "no word has a neighbour in its line"),
    "notes.pdf": (b"%PDF-1.7", "unpack or convert it"),
}
PLAIN = ("empty.txt", "noise.txt", "noise.gz", "noise.parquet", "one_word.txt", "broken.jsonl", "one_a_line.txt")


@pytest.mark.parametrize("name", [name if name in PLAIN else slow(name) for name in CORPORA])
def test_a_text_that_nothing_can_be_learnt_from(name, folder):
    content, says = CORPORA[name]
    (folder / name).write_bytes(content)
    refused(folder, train(corpus=name), name, says)


@pytest.mark.parametrize(("flags", "says"), [
    slow(["--vocabulary.min_count=5000"], "lower --vocabulary.min_count=5000"),
    (["--vocabulary.min_count=800"], "lower --vocabulary.min_count=800"),
    slow(["--vocabulary.max_size=1"], "raise --vocabulary.max_size=1"),
], ids=str)
def test_a_vocabulary_of_fewer_than_two_words(flags, says, folder):
    refused(folder, train(*flags), "good.txt", says)


@pytest.mark.slow
def test_words_that_lost_their_neighbours_to_the_minimum_count(folder):
    (folder / "rare.txt").write_text("".join(f"{'ab'[n % 2]} rare{n}\n" for n in range(8)))
    refused(folder, train("--vocabulary.min_count=2", corpus="rare.txt"), "lower --vocabulary.min_count=2")


@pytest.mark.parametrize(("corpus", "code", "says"), [
    ("missing.txt", 1, "correct the path"),
    slow("missing/*.txt", 1, "correct it"),
    ("enwik", 2, "did you mean enwik9?"),
    slow("", 2, "--corpus is empty"),
])
def test_a_corpus_that_is_not_there(corpus, code, says, folder):
    refused(folder, train(corpus=corpus), "--corpus", says, code=code)


def test_a_window_longer_than_every_line_is_no_fault(trained, text):
    window = run_folder.read_experiment(trained).word2vec.window
    assert window > max(len(line.split()) for line in text.splitlines())
    assert np.isfinite(run_folder.read_tables(trained)[2].words).all()


# Flags

@pytest.mark.parametrize(("line", "says"), [
    ("--word2vec.widht=5", "bad.flags:2: there is no flag --word2vec.widht; did you mean --word2vec.width?"),
    ("word2vec.width=5", "bad.flags:2: a line is --flag=value"),
    ("--word2vec.width=5 # small", "bad.flags:2: a comment needs a line of its own"),
    ("--word2vec.width=five", "bad.flags:2: --word2vec.width=five: a whole number"),
])
def test_a_line_of_a_flag_file(line, says, folder):
    (folder / "bad.flags").write_text(f"# A comment.\n{line}\n")
    refused(folder, reading("train", "--flagfile=bad.flags", "--run=run"), says, code=2)


@pytest.mark.parametrize(("flags", "says"), [
    (["--run="], "--run=FOLDER is missing"),
    (["--optimizer.name=adam"], "choose sgd or adagrad"),
    (["--processes.count=2", "--processes.coordinator=localhost"], "write HOST:PORT"),
    (["--flagfile=missing.flags"], "there is no flag file missing.flags"),
], ids=str)
def test_flags_that_do_not_go_together(flags, says, folder):
    refused(folder, train(*flags), says, code=2)


@pytest.mark.parametrize(("flags", "devices", "says"), [
    (["--mesh.data=3"], 1, "--mesh.data=3 --mesh.fsdp=1 --mesh.tensor=1 do not multiply to the 1 devices here"),
    (["--mesh.tensor=8", "--word2vec.width=17"], 8, "--word2vec.width=17 cannot be split over 8 devices"),
], ids=str)
def test_devices_that_do_not_fit(flags, devices, says, folder):
    fake = f"--xla_force_host_platform_device_count={devices}"
    refused(folder, train(*flags), says, code=2, XLA_FLAGS=fake)


def test_nobody_at_the_address_of_the_other_processes(folder):
    with socket.socket() as bound:  # and not listening
        bound.bind(("localhost", 0))
        address = f"localhost:{bound.getsockname()[1]}"
        refused(folder, train(f"--processes.coordinator={address}", "--processes.count=2", "--processes.index=1",
                              "--processes.seconds=1"), address, "--processes.seconds")


@contextlib.contextmanager
def two_processes(folder, *arguments, **more):
    """Both processes of one run."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"--processes.coordinator=localhost:{free.getsockname()[1]}"
    both = [
        subprocess.Popen(train(address, "--processes.count=2", f"--processes.index={index}", *arguments, **more),
                         cwd=folder, env=environment(folder), stderr=subprocess.PIPE, text=True)
        for index in (0, 1)
    ]
    try:
        yield both
    finally:
        for process in both:
            process.kill()
            process.wait()


def test_every_process_of_a_run_says_what_is_wrong_with_the_text(folder):
    (folder / "blank.txt").write_text("\n")
    with two_processes(folder, corpus="blank.txt") as both:
        for process in both:
            _, errors = process.communicate(timeout=100)
            assert process.returncode == 1
            assert errors.splitlines()[-1].startswith("train: blank.txt: no words in it")


def test_a_signal_to_one_process_saves_on_all(folder):
    with two_processes(folder, "--train.steps=100000", "--log.seconds=0") as both:
        for line in both[0].stderr:
            if line.startswith("batch "):
                break
        both[1].send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=100)[1].splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [75, 75], said
    step = checkpoint.newest(folder / "run/checkpoints")
    assert said == 2 * [f"train: stopped at step {step} of 100000, saved: the same command goes on from there"]


@pytest.mark.parametrize(("flags", "code", "says"), [
    (["--start_from=missing"], 1, "--start_from=missing: no such run"),
    (["--start_from=old", "--word2vec.width=32"], 2, "set --word2vec.width=16"),
    (["--evaluate.tasks=analogies"], 1, "EMBEDDINGS_DATA"),
], ids=str)
def test_what_a_run_starts_from_and_is_measured_by(flags, code, says, folder, old):
    refused(folder, train(*flags), says, code=code)


def test_a_task_that_what_is_trained_cannot_do(folder):
    command = reading("train", "--corpus=good.txt", "--run=run", "--architecture=bert", "--evaluate.tasks=python_docs")
    says = "--evaluate.tasks=python_docs needs a table of word vectors, which --architecture=bert does not make"
    refused(folder, command, says, code=2)


# Folders

def test_a_folder_that_holds_a_run_with_other_settings(folder, old):
    refused(folder, train("--seed=5", "--train.steps=8", run="old"), "old: holds", "--seed=0 instead of 5")


@pytest.mark.parametrize(("name", "says"), [
    ("foreign", "foreign: is neither empty nor a run's folder"),
    slow("good.txt", "good.txt: is a file"),
    ("good.txt/run", "good.txt: is a file"),
])
def test_a_folder_that_is_no_run(name, says, folder):
    (folder / "foreign").mkdir()
    (folder / "foreign/letter.txt").write_text("Dear")
    refused(folder, train(run=name), says, "--run")


def test_a_text_that_has_changed_since_the_run_began(folder, old):
    (folder / "good.txt").write_text("another text\n" * 500)
    refused(folder, train("--checkpoint.steps=3", "--train.steps=8", run="old"), "old: the text of --corpus=good.txt",
            "has changed", "put it back")


def test_a_folder_that_another_process_writes(folder, old):
    with (old / run_folder.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(folder, train("--train.steps=8", "--checkpoint.steps=3", run="old"), "old: another process is writing")


def test_a_read_only_parent_of_the_run(folder, disk):
    (folder / "disk").mkdir()
    (folder / "left").touch()
    refused(folder, disk("ro", train(run="disk/run")), "disk: may not be written to", "--run")
    assert (folder / "left").read_text() == ""


@pytest.mark.parametrize(("options", "says"), [("ro", "Read-only file"), ("size=16k", "No space left on device")])
def test_a_cache_that_takes_nothing(options, says, folder, disk):
    (folder / "disk").mkdir()
    (folder / "left").touch()
    refused(folder, disk(options, train()), "disk", says, "EMBEDDINGS_CACHE", EMBEDDINGS_CACHE=str(folder / "disk"))
    assert (folder / "left").read_text() == ""


def test_a_disk_that_is_full_before_the_first_step(folder, disk):
    (folder / "disk").mkdir()
    (folder / "left").touch()
    refused(folder, disk("size=8k", train(run="disk/new/run")), "disk/new/run/", "No space left on device; free some")
    assert (folder / "left").read_text() == ""


def test_a_disk_that_fills_up_while_a_checkpoint_is_written(folder, disk):
    (folder / "disk").mkdir()
    (folder / "left").touch()
    refused(folder, disk("size=160k", train("--checkpoint.steps=1", run="disk/run")), "disk/run/checkpoints",
            "No space left on device; free some space")
    left = (folder / "left").read_text().splitlines()
    assert "run/checkpoints/1/manifest.json" in left, "what was saved before is there to go on from"
    whole = {str(Path(path).parent) for path in left if path.endswith("manifest.json")}
    assert {path for path in left if re.fullmatch(r"run/checkpoints/\d+", path)} == whole
    assert not [path for path in left if path.endswith(".part")]


# What goes wrong on the way

def test_numbers_that_are_none(folder):
    done = run(folder, *train("--optimizer.learning_rate=1000", "--optimizer.warmup=1", "--train.steps=40",
                              "--checkpoint.steps=1"))
    assert done.returncode == 1
    found = re.fullmatch(r"train: .* at step (\d+); the last good checkpoint is step (\d+): "
                         r"lower --optimizer\.learning_rate .*", only_line(done))
    assert found, done.stderr
    assert int(found[2]) < int(found[1])
    assert checkpoint.newest(folder / "run/checkpoints") == int(found[2])


def spoil(run, step=8):
    """Changes a byte of the largest file of a checkpoint."""
    victim = max((p for p in (run / f"checkpoints/{step}").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)


def unseal(run):
    """Leaves the checkpoints as a kill in their first moments does."""
    for seal in run.glob("checkpoints/*/manifest.json"):
        seal.unlink()


@pytest.mark.parametrize(("spoilt", "says"), [
    (spoil, "old/checkpoints: 8: cut off or damaged: left out, going on from 6"),
    slow(unseal, "old/checkpoints: 6, 8: cut off or damaged: left out, beginning again"),
])
def test_a_damaged_checkpoint_is_left_out(spoilt, says, folder, old, trained):
    spoilt(old)
    done = run(folder, *train("--checkpoint.steps=3", "--train.steps=8", run="old"))
    assert done.returncode == 0, done.stderr
    assert says in done.stderr.splitlines()
    assert checkpoint.newest(old / "checkpoints") == 8
    assert (old / run_folder.METRICS).read_bytes() == (trained / run_folder.METRICS).read_bytes()


def test_nothing_is_deleted_where_every_checkpoint_is_damaged(folder, old):
    spoil(old, 6)
    spoil(old, 8)
    refused(folder, train("--checkpoint.steps=3", "--train.steps=8", run="old"), "old/checkpoints: 6, 8: damaged, and")


@contextlib.contextmanager
def started(folder, command, sign):
    """A process that has just written a line with `sign` to standard error."""
    with subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        for line in process.stderr:
            if sign in line:
                break
        else:
            pytest.fail(f"no {sign}")
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_in_the_loop_saves(number, folder):
    command = train("--train.steps=1000", "--log.seconds=0")
    with started(folder, command, "batch ") as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    found = re.fullmatch(r"train: stopped at step (\d+) of 1000, saved: the same command goes on from there",
                         errors.splitlines()[-1])
    assert found, errors
    assert checkpoint.newest(folder / "run/checkpoints") == int(found[1])
    if number == signal.SIGTERM:
        done = run(folder, *command)
        assert done.returncode == 0, done.stderr
        assert f"1,000 batches, from {int(found[1]):,} on" in done.stderr
        assert checkpoint.newest(folder / "run/checkpoints") == 1000


@pytest.mark.parametrize(("number", "code", "line"), [
    (signal.SIGTERM, 75, ["train: told to stop (SIGTERM): run the same command again"]), slow(signal.SIGINT, 130, []),
], ids=["SIGTERM", "SIGINT"])
def test_a_signal_while_the_text_is_prepared_leaves_nothing(number, code, line, folder, text):
    with (folder / "large.txt").open("w") as file:
        for _ in range(4000):
            file.write(text)
    before = tree(folder)
    with started(folder, train(corpus="large.txt"), "reading the corpus") as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert [seen for seen in errors.splitlines() if not NOTES.fullmatch(seen)] == line
    assert tree(folder) == before
    assert list((folder / "cache").iterdir()) == []


def test_on_a_terminal_the_line_stands_on_its_own(folder):
    (folder / "blank.txt").write_text("\n")
    ours, theirs = pty.openpty()
    done = subprocess.run(train(corpus="blank.txt"), cwd=folder, env=environment(folder), stdout=subprocess.PIPE,
                          stderr=theirs, timeout=120)
    os.close(theirs)
    seen = os.read(ours, 10000).decode()
    os.close(ours)
    assert done.returncode == 1
    assert re.fullmatch(r"train: blank\.txt: no words in it.*", seen.rstrip().rpartition("\n")[2])


# Reading what was trained

def without_checkpoints(old):
    shutil.rmtree(old / "checkpoints")


def without_a_word(old):
    lines = (old / run_folder.VOCABULARY).read_text().splitlines(keepends=True)
    (old / run_folder.VOCABULARY).write_text("".join(lines[:-1]))


def cut_off_in_a_word(old):
    (old / run_folder.VOCABULARY).write_text((old / run_folder.VOCABULARY).read_text()[:-3])


@pytest.mark.parametrize(("change", "says"), [
    (without_checkpoints, ["old/checkpoints: no whole checkpoint yet"]),
    (without_a_word, ["old/vocabulary.tsv", "copy the file again"]),
    slow(cut_off_in_a_word, ["old/vocabulary.tsv", "copy the file again"]),
    slow(lambda old: (old / run_folder.FLAGS).unlink(), ["old: no experiment.flags"]),
], ids=["no checkpoint", "a word less", "cut off", "no flags"])
def test_a_run_that_is_not_whole(change, says, folder, old):
    change(old)
    refused(folder, reading("neighbours", "--model=old", "w1"), *says)


MODEL = b"3 2\nking \x01\x02\x03\x04\x05\x06\x07\x08\nqueen "
VECTORS = {  # name of the file: what is in it, what the line says
    "cut.bin": (MODEL + b"\x01", "cut.bin: byte 0: announces 3 vectors of 2 numbers, 34 bytes at least"),
    "fasttext.bin": (b"\xba\x16\x4f\x2f\x0c\x00\x00\x00" + bytes(20), "fasttext.bin: byte 8: expected fastText's arg"),
    "lies.vec": (b"3 2\nking 1 2\nqueen 1 2\n", "lies.vec:1: the first line announces 3 words, the file has 2"),
    "huge.vec": (b"26214400 100\nking 1 2\n", "huge.vec:1: announces 26,214,400 vectors of 100 numbers"),
    "ragged.txt": (b"king 1 2\nqueen 1 2\nman 1\n", "ragged.txt:3: expected a word and 2 numbers"),
    "nan.vec": (b"2 2\nking 1 2\nqueen nan 2\n", "nan.vec:3: the vector of 'queen' has a number that is not finite"),
}


@pytest.mark.parametrize("name", [name if name in ("cut.bin", "lies.vec") else slow(name) for name in VECTORS])
def test_vectors_that_are_not_as_they_should_be(name, folder):
    content, says = VECTORS[name]
    (folder / name).write_bytes(content)
    refused(folder, reading("neighbours", f"--model={name}", "king"), says)


def test_vectors_that_are_odd_are_read(folder):
    """A word twice (said), a word with a blank, bytes that are no UTF-8."""
    (folder / "odd.vec").write_bytes(b"4 2\nnew york 1 0\nking 1 1\nking 0 9\ncaf\xe9 1 .1\n")
    done = run(folder, *reading("neighbours", "--model=odd.vec", "king"))
    assert done.returncode == 0, done.stderr
    assert "1 vectors are of words that have one already ('king' is the first)" in done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[3:5]] == ["caf\\xe9", "new"]


@pytest.mark.parametrize(("command", "arguments", "code", "says"), [
    ("neighbours", ["--model=./missing", "w1"], 1, "missing: no such "),
    ("neighbours", ["--model=old", "w1", "nosuch"], 1, "'nosuch' is not among the"),
    slow("neighbours", ["--model=good.txt", "w1"], 1, "good.txt:1: "),
    ("neighbours", ["--model=old"], 2, "name a word"),
    ("neighbours", ["w1"], 2, "--model is needed"),
    ("evaluate", ["--model=./missing"], 1, "missing: no such "),
    slow("evaluate", ["--model=old", "--task=analogies"], 1, "EMBEDDINGS_DATA"),
    ("evaluate", ["--model=old", "--output=missing/x.csv"], 1, "no such folder: missing"),
], ids=str)
def test_questions_without_an_answer(command, arguments, code, says, folder, old):
    refused(folder, reading(command, *arguments), says, code=code)
