"""A run from text to vectors through the real command, and what can be done with it from Python."""
import gzip
import json
import os
import subprocess
import sys

import commands
import numpy as np
import pytest

import embeddings
from embeddings import flags
from embeddings.evaluation.pair_classification import MRPC
from embeddings.experiment import Experiment
from embeddings.training import run_folder

SMALL = """--vocabulary.min_count=2 --word2vec.width=24 --word2vec.block=16 --word2vec.chunk=32 --train.batch=2000
--word2vec.shared_negatives=16 --word2vec.subsample=0 --train.epochs=20 --optimizer.learning_rate=0.1""".split()
TOPICS = [[f"{topic}{n}" for n in range(8)] for topic in ("fruit", "tool", "river")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Lines of six words, each line of one topic."""
    folder, draw = tmp_path_factory.mktemp("topics"), np.random.default_rng(0)
    lines = (" ".join(draw.choice(TOPICS[n % 3], 6)) for n in range(1500))
    (folder / "topics.txt").write_text("\n".join(lines))
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = "1\t1\t2\tfruit1 fruit2\tfruit3\n0\t3\t4\tfruit1\ttool1 tool2\n1\t5\t6\triver3\triver4\n"
    for path in MRPC:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(gzip.compress((header + rows).encode()))
    return folder


def train(folder, *more):
    return commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", f"--corpus={folder / 'topics.txt'}", *SMALL, *more],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache"), "EMBEDDINGS_DATA": str(folder)},
        capture_output=True, text=True, check=True,
    )


@pytest.fixture(scope="module")
def run(folder):
    """A finished run that was evaluated on its way."""
    done = train(folder, f"--run={folder / 'run'}", "--evaluate.tasks=python_docs,pairs", "--evaluate.every=50",
                 "--evaluate.neighbours=fruit1,unheard", "--log.tensorboard", "--log.metrics=30")
    return folder / "run", done


def test_words_of_a_topic_are_neighbours(run):
    model = embeddings.load(run[0])
    for topic in TOPICS:
        for word in topic:
            assert {near for near, _ in model.most_similar(word, k=7)} == set(topic) - {word}


def test_a_text_is_the_mean_of_its_words(run):
    model = embeddings.load(run[0])
    np.testing.assert_allclose(
        model.encode(["Fruit1, fruit2!", "river3"]),
        [(model["fruit1"] + model["fruit2"]) / 2, model["river3"]], rtol=1e-6,
    )
    assert model.analogy("fruit1", "fruit2", "tool1")[0][0] not in ("fruit1", "fruit2", "tool1")


def test_the_folder_holds_all_that_the_run_was(run):
    path, done = run
    settings = flags.load(path / run_folder.FLAGS, Experiment)
    assert settings.word2vec.width == 24
    facts = json.loads((path / run_folder.PROVENANCE).read_text())
    assert facts["corpus"]["words"] == 9000
    assert facts["versions"]["jax"]
    assert "Nearest words" in done.stdout
    assert "fruit1" in done.stdout
    assert "unheard" not in done.stdout
    assert "words/s" in done.stdout
    assert list((path / "tensorboard").iterdir())


def test_losses_fall_and_evaluations_stand_between_them(run):
    rows = [json.loads(line) for line in (run[0] / run_folder.METRICS).read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert [row["step"] for row in rows if "loss" in row] == [30, 60, 90, 100]
    scores = [row for row in rows if "pairs/MRPC AP mean" in row]
    assert [row["step"] for row in scores] == [50, 100] and scores[-1]["pairs/MRPC AP mean"] == 1
    assert "Pair classification\n" in run[1].stdout


def test_the_same_command_ends_with_the_same_bytes(run, folder):
    train(folder, f"--run={folder / 'again'}", "--evaluate.tasks=python_docs,pairs", "--evaluate.every=50",
          "--log.metrics=30")
    np.testing.assert_array_equal(embeddings.load(run[0]).vectors, embeddings.load(folder / "again").vectors)
    assert (run[0] / run_folder.METRICS).read_bytes() == (folder / "again" / run_folder.METRICS).read_bytes()


def test_the_best_parameters_are_left_and_training_ends_when_none_better_come(folder):
    path, metric = folder / "best", "pairs/MRPC AP mean"
    flags = [f"--run={path}", "--evaluate.tasks=pairs", "--evaluate.every=10", f"--train.best={metric}",
             "--train.patience=2"]
    done = train(folder, *flags)
    found = {row["step"]: row[metric] for row in map(json.loads, (path / run_folder.METRICS).read_text().splitlines())
             if metric in row}
    best = max(found, key=lambda step: (found[step], -step))
    assert [*found] == list(range(0, best + 21, 10)) and best + 20 < 100
    assert f"{metric} is highest, {found[best]:.4f}, at batch {best} of 100" in done.stderr
    step, params = run_folder.read_params(path)
    assert step == best
    np.testing.assert_array_equal(embeddings.load(path).vectors, params["input"])
    before = (path / run_folder.METRICS).read_bytes()
    again = train(folder, *flags)
    assert (path / run_folder.METRICS).read_bytes() == before and "0 words in" in again.stdout


def test_a_score_that_nothing_gives_is_refused_before_the_first_step(folder):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        train(folder, f"--run={folder / 'none'}", "--evaluate.tasks=pairs", "--evaluate.every=10", "--train.best=pairs")
    assert failed.value.returncode == 2
    assert failed.value.stderr.splitlines()[-1].startswith("train: --train.best=pairs: nothing is measured under this")
    assert not (folder / "none").exists()


def test_a_run_may_start_from_another(run, folder):
    train(folder, f"--run={folder / 'next'}", f"--start_from={run[0]}", "--train.epochs=1",
          "--optimizer.learning_rate=1e-9")
    np.testing.assert_allclose(
        embeddings.load(folder / "next").vectors, embeddings.load(run[0]).vectors, rtol=1e-4, atol=1e-5
    )
