"""The same run on one device, on eight, split otherwise, in two processes, killed and resumed: the same parameters.

Every architecture and objective goes through the real command. The largest deviation of a parameter from the run on
one device, as a share of the largest parameter, is printed as a matrix at the end. The plain test command runs one
topology, and one kill, of the cases that are least alike; the whole matrix:

    python -m pytest tests/test_invariance.py -m ""

and by itself what an NVIDIA GPU makes of every case, beside the processor:

    XLA_PYTHON_CLIENT_PREALLOCATE=false python -m pytest tests/test_invariance.py -m gpu
"""
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import commands
import jax
import numpy as np
import pytest
import small
from cases import CASES, CHUNKED, KILLED, PLAIN, contextual, dense, examples, sized

from embeddings import flags
from embeddings.corpus import documents, shards
from embeddings.experiment import Experiment
from embeddings.training import architectures, checkpoint, job, mesh, run_folder
from embeddings.training.step import rows_body

SMALL = """--train.batch=1500 --train.steps=24 --log.metrics=1 --checkpoint.steps=4
--checkpoint.seconds=0 --seed=3""".split()
SIZES = {"width": 16, "block": 16, "chunk": 256, "shared_negatives": 16}
TOPOLOGIES = {
    "8 devices": ["--mesh.data=8"],
    "2 x 4 (fsdp, tensor)": ["--mesh.fsdp=2", "--mesh.tensor=4"],
    "2 x 2 x 2": ["--mesh.data=2", "--mesh.fsdp=2", "--mesh.tensor=2"],
}
ALL = [(case, topology) for case in CASES for topology in TOPOLOGIES]
TOLERANCE = 1e-4
"""Largest deviation across topologies: sums are taken in another order, through dozens of dependent updates. On the
same topology it is 0."""


def plain(cases, those):
    """Cases as parameters, all but some for a longer run."""
    return [case if case in those else pytest.param(case, marks=pytest.mark.slow) for case in cases]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """12,000 words by Zipf's law in lines of uneven length, so that the last batch is odd."""
    draw = np.random.default_rng(0)
    words = [f"w{n}" for n in np.minimum(draw.zipf(1.3, 12000), 400)]
    lines = np.split(np.array(words), np.sort(draw.choice(12000, 700, replace=False)))
    path = tmp_path_factory.mktemp("text") / "zipf.txt"
    path.write_text("\n".join(" ".join(line) for line in lines))
    pairs = [line[:24] for line in lines if len(line) > 3]
    path.with_suffix(".jsonl").write_text("\n".join(
        json.dumps({"text1": " ".join(pair[::2]), "text2": " ".join(pair[1::2]), "class": "no" if n % 3 else "yes"})
        for n, pair in enumerate(pairs)
    ))
    path.with_suffix(".conll").write_text("\n\n".join(
        "\n".join(f"{word}\t{'B-x' if len(word) == 2 else 'O'}" for word in pair) for pair in pairs
    ))
    questions = [{"context": " ".join(pair), "qas": [{"id": str(n), "question": pair[1], "answers": [
        {"text": pair[0], "answer_start": 0}][: n % 3]}]} for n, pair in enumerate(pairs)]
    path.with_suffix(".json").write_text(json.dumps({"data": [{"paragraphs": questions}]}))
    small.saved_elmo(path.parent / "elmo")
    return path


def command(text, run, case, *flags):
    small = [*SMALL, *sized(case, **SIZES)]
    if examples(case):
        small += [f"--examples.sets={text.with_suffix(examples(case))}", "--train.batch=45"]
    return [sys.executable, "-m", "embeddings.train", f"--corpus={text}", f"--run={run}", *small, *flags]


def environment(text, devices=1):
    fake = f" --xla_force_host_platform_device_count={devices}" if devices > 1 else ""
    own = {"XLA_FLAGS": os.environ["XLA_FLAGS"] + fake, "EMBEDDINGS_CACHE": str(text.parent / "cache")}
    return os.environ | own | {"JAX_PLATFORMS": "cpu"}


def trained(text, run, case, *flags, devices=1, platform="cpu"):
    own = environment(text, devices) | {"JAX_PLATFORMS": platform}
    done = commands.run(
        command(text, run, case, *flags), env=own, capture_output=True, text=True, timeout=300, cwd=text.parent,
    )
    assert done.returncode == 0, done.stderr
    return run


def state(run):
    """All arrays of a run's last checkpoint by name."""
    folder = run / run_folder.CHECKPOINTS
    step = folder / str(checkpoint.newest(folder))
    arrays = {item: checkpoint.read_item(step / item) for item in ("params", "rest")}
    assert len(jax.tree.leaves(arrays)) >= 3
    return named(arrays)


def named(tree):
    """Arrays by the path to them, such as params/input."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in paths}


def deviation(one, other):
    """Largest difference of a parameter as a share of the largest parameter.

    A key's bias adds the same to all scores of a query, so nothing depends on it: its gradient is rounding, which Adam
    scales up. So does the bias of a reader's last norm to all tokens that an answer may begin or end with.
    """
    assert one.keys() == other.keys()
    names = [name for name in one if name.startswith("params/") and not name.endswith("attention/key/bias")]
    reader = "params/objective/kernel" in one and "params/objective/bias" not in one
    last = "params/model/model/transformer/layers/feed_forward_norm/bias" if reader else ""
    return max(np.abs(a - b).max() / np.abs(a).max() for name in names
               for a, b in [(one[name][:-1], other[name][:-1]) if name == last else (one[name], other[name])])


def losses(run):
    return [json.loads(line)["loss"] for line in (run / run_folder.METRICS).read_text().splitlines()]


@pytest.fixture(scope="module")
def one_device(text, tmp_path_factory):
    """Each case on one device, run when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("one"), {}

    def get(case):
        if case not in made:
            made[case] = trained(text, folder / str(len(made)), case)
        return made[case]

    return get


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_trains_the_same(case, text, one_device, tmp_path, matrix):
    run = trained(text, tmp_path / "run", case, platform="cuda")
    found = deviation(state(one_device(case)), state(run))
    matrix(case, "a GPU", found)
    assert found < TOLERANCE
    np.testing.assert_allclose(losses(one_device(case)), losses(run), rtol=1e-3)


@pytest.mark.parametrize(("case", "topology"), [
    both if both[0] in PLAIN and both[1] == "2 x 2 x 2" else pytest.param(*both, marks=pytest.mark.slow)
    for both in ALL
])
def test_other_topologies_train_the_same(case, topology, text, one_device, tmp_path, matrix):
    run = trained(text, tmp_path / "run", case, *TOPOLOGIES[topology], devices=8)
    found = deviation(state(one_device(case)), state(run))
    matrix(case, topology, found)
    assert found < TOLERANCE
    np.testing.assert_allclose(losses(one_device(case)), losses(run), rtol=1e-4)


@pytest.mark.parametrize("case", [
    case if case == "skip-gram, negative sampling, sgd" else pytest.param(case, marks=pytest.mark.slow)
    for case in CASES
])
def test_two_processes_train_the_same(case, text, one_device, tmp_path, matrix):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    run = tmp_path / "run"
    both = [
        subprocess.Popen(
            command(
                text, run, case, f"--processes.coordinator={coordinator}", "--processes.count=2",
                f"--processes.index={index}",
            ),
            env=environment(text), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=text.parent,
        )
        for index in range(2)
    ]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    found = deviation(state(one_device(case)), state(run))
    matrix(case, "2 processes", found)
    assert found < TOLERANCE
    np.testing.assert_allclose(losses(one_device(case)), losses(run), rtol=1e-4)


@pytest.mark.parametrize("case", plain([case for case in CASES if contextual(case)], CHUNKED))
def test_in_chunks_the_gradient_is_the_batchs(case, text, one_device, tmp_path, matrix):
    batch = "--train.batch=48" if examples(case) else "--train.batch=1408"  # as many rows as four chunks hold
    run = trained(text, tmp_path / "run", case, "--train.chunks=4", batch)
    whole = trained(text, tmp_path / "whole", case, batch)
    found = deviation(state(whole), state(run))
    matrix(case, "in 4 chunks", found)
    assert found < TOLERANCE
    np.testing.assert_allclose(losses(whole), losses(run), rtol=1e-4)


@pytest.mark.parametrize("case", plain(CASES, KILLED))
def test_killed_and_resumed_is_the_same_bytes(case, text, one_device, tmp_path, matrix):
    run, seconds = tmp_path / "run", random.Random(case)
    for _ in range(1 if case in KILLED else 2):
        process = subprocess.Popen(
            command(text, run, case), env=environment(text), stderr=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=text.parent,
        )
        while process.poll() is None and not checkpoint.steps(run / run_folder.CHECKPOINTS):
            time.sleep(0.01)
        time.sleep(seconds.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    trained(text, run, case)
    want, found = state(one_device(case)), state(run)
    matrix(case, "killed, resumed", deviation(want, found))
    assert want.keys() == found.keys()
    for name in want:
        assert want[name].tobytes() == found[name].tobytes(), name
    assert (run / run_folder.METRICS).read_bytes() == (one_device(case) / run_folder.METRICS).read_bytes()


@pytest.mark.parametrize("case", [
    case if case == "skip-gram, negative sampling, sgd" else pytest.param(case, marks=pytest.mark.slow)
    for case in CASES if not dense(case)
])
def test_pmap_trains_the_same(case, text, one_device, matrix):
    settings, _, _ = flags.parse([f"--corpus={text}", *SMALL, *sized(case, **SIZES)], Experiment)
    source = documents.find(settings.corpus, text=settings.text, data=None, cache=text.parent)
    vocabulary, tokens = shards.prepare(source, settings.text, settings.vocabulary, text.parent)
    corpus = job.Corpus(vocabulary.words, vocabulary.counts, tokens, text.parent)
    architecture = architectures.of(settings)
    material = architecture.prepare(settings, corpus)
    one = architecture.build(settings, material, mesh.make(settings.mesh, jax.devices()[:1]))
    axes = type(one.batches(0))(*(1 if np.ndim(array) else None for array in one.batches(0)))
    body = jax.pmap(
        rows_body(settings.optimizer.name == "adagrad", data="devices"),
        axis_name="devices", in_axes=(None, axes, None), out_axes=None, devices=jax.devices()[:8],
    )
    found = jax.device_get(one.start(settings.seed))
    for n in range(one.steps):
        batch = one.batches(n)
        split = (a.reshape(a.shape[0], 8, -1, *a.shape[2:]) if np.ndim(a) else a for a in batch)
        found, _ = body(found, type(batch)(*split), one.step.constants)
    want, tables = state(one_device(case)), named({"params": found["params"]})
    worst = max(np.abs(want[name] - table).max() / np.abs(table).max() for name, table in tables.items())
    matrix(case, "8 devices by pmap", worst)
    assert worst < TOLERANCE
