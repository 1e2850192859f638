"""Runs of each architecture but word2vec (test_train.py) through every command that reads a run's folder."""
import os
import sys

import commands
import numpy as np
import pytest

import embeddings
from embeddings import evaluate, export, neighbours
from embeddings.formats import fasttext_binary

TOPICS = [[f"{topic}{n}" for n in range(8)] for topic in ("fruit", "tool", "river")]
SETTINGS = {
    "fasttext": ["--fasttext.block=16", "--fasttext.chunk=16", "--fasttext.shared_negatives=16",
                 "--fasttext.subsample=0", "--fasttext.buckets=500", "--fasttext.width=24",
                 "--optimizer.learning_rate=0.02", "--train.epochs=20"],
    "glove": ["--glove.width=24", "--glove.window=5", "--glove.x_max=10", "--glove.chunk=64",
              "--optimizer.name=adagrad", "--optimizer.learning_rate=0.3", "--train.epochs=30"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Lines of six words, each line of one topic but for one word in five: GloVe sees only what stands together."""
    folder, draw = tmp_path_factory.mktemp("topics"), np.random.default_rng(0)
    lines = (" ".join(draw.choice(TOPICS[n % 3 if draw.random() < 0.8 else draw.integers(3)]) for _ in range(6))
             for n in range(1500))
    (folder / "topics.txt").write_text("\n".join(lines))
    return folder


def train(folder, architecture, name, *more):
    commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", f"--architecture={architecture}",
         f"--corpus={folder / 'topics.txt'}", f"--run={folder / name}", "--vocabulary.min_count=2",
         "--train.batch=2000", *SETTINGS[architecture], *more],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, text=True, check=True,
    )
    return folder / name


@pytest.fixture(scope="module", params=SETTINGS)
def run(folder, request):
    """A finished run, and its architecture."""
    return train(folder, request.param, request.param), request.param


def test_words_of_a_topic_are_neighbours(run, capsys):
    model = embeddings.load(run[0])
    for topic in TOPICS:
        for word in topic:
            assert {near for near, _ in model.most_similar(word, k=7)} == set(topic) - {word}
    neighbours.main(neighbours.Flags(str(run[0]), k=7), ["fruit1"])
    lines = capsys.readouterr().out.split("\n")
    assert {line.split()[1] for line in lines[3:10]} == set(TOPICS[0]) - {"fruit1"}


def test_words_that_are_not_known(run):
    model = embeddings.load(run[0])
    assert ("fruit99" in model) == (run[1] == "fasttext")
    if run[1] == "fasttext":
        assert model.most_similar("fruit99", k=1)[0][0] in TOPICS[0]
    assert np.isfinite(model.encode(["fruit1 tool2", "river3"], pooling="sif")).all()


def test_it_is_evaluated(run, capsys):
    evaluate.main(evaluate.Flags(str(run[0]), task=("python_docs",)), [])
    out = capsys.readouterr().out
    assert f"{run[0]}: 24 words, 24 dimensions" in out and "Python documentation analogies" in out


@pytest.mark.parametrize("name", ["a.vec", "a.txt.gz", "a.bin", "a.fasttext"])
def test_it_is_exported(run, name, tmp_path):
    form = {"a.fasttext": "fasttext_binary", "a.txt.gz": "glove"}.get(name, "")
    export.main(export.Flags(str(run[0]), str(tmp_path / name), form), [])
    ours, found = embeddings.load(run[0]), embeddings.load(tmp_path / name)
    assert found.words == ours.words
    np.testing.assert_allclose(found.vectors, ours.vectors, rtol=1e-5, atol=1e-6)
    if form == "fasttext_binary":
        arguments = fasttext_binary.read(tmp_path / name).arguments
        assert (arguments.bucket, arguments.maxn) == ((500, 6) if run[1] == "fasttext" else (0, 0))
        assert ("fruit99" in found) == (run[1] == "fasttext")
        if run[1] == "fasttext":
            np.testing.assert_allclose(found["fruit99"], ours["fruit99"], rtol=1e-6)


def test_a_run_may_start_from_another(run, folder):
    """GloVe's two rows of a word add up to what it starts from; fastText's own row of it is that."""
    again = train(folder, run[1], f"{run[1]} again", f"--start_from={run[0]}", "--train.steps=1",
                  "--optimizer.learning_rate=1e-9")
    ours, found = embeddings.load(run[0]), embeddings.load(again)
    if run[1] == "glove":
        np.testing.assert_allclose(found.vectors, ours.vectors, rtol=1e-4, atol=1e-5)
    else:
        whole = export.read(again)[0]
        own = fasttext_binary.Model.of(whole, None).rows
        np.testing.assert_allclose(own, ours.vectors, rtol=1e-3, atol=1e-4)
