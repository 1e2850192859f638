"""Models of sentences through the real command: trained, exported, opened; and what is refused before training."""
import dataclasses
import itertools
import json
import os
import re
import sys
from pathlib import Path

import commands
import jax
import numpy as np
import pytest
import small

import embeddings
from embeddings import flags, levels, session
from embeddings.contextual import folder as folders
from embeddings.evaluation import tasks
from embeddings.evaluation.tasks.task import Options
from embeddings.experiment import Experiment
from embeddings.formats.sentence_transformers import Dense
from embeddings.heads import tasks as heads
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen
from embeddings.training import mesh

TINY = """--architecture=sentence_bert --sentence_bert.layers=1 --sentence_bert.width=16 --sentence_bert.heads=2
--sentence_bert.feed_forward=32 --sentence_bert.length=16 --sentence_bert.positions=16 --pieces.size=120
--optimizer.name=adamw --optimizer.learning_rate=0.005""".split()
WORDS = [f"{a}{b}" for a in "bcdfghjk" for b in "aeiou"]
JOINED = "--sentence_bert.joined=true --sentence_bert.loss=softmax --sentence_bert.parts=u".split()
FINE = [f"{a} {b},{b} {a},1" for a, b in itertools.pairwise(WORDS)] + [f"{a},{a} {a},1" for a in WORDS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs of texts that have a word in common, and a text to make a tokenizer of."""
    folder, draw = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    rows = [[*draw.choice(WORDS, 4, replace=False)] for _ in range(400)]
    (folder / "text.txt").write_text("\n".join(map(" ".join, rows)))
    examples = [{"text1": " ".join(row[:2]), "text2": f"{row[1]} {row[2]}", "score": n % 5 / 4, "class": "ab"[n % 2]}
                for n, row in enumerate(rows)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, examples)))
    return folder


def command(folder, *more, tiny=TINY):
    return [f"--corpus={folder / 'text.txt'}", f"--examples.sets={folder / 'pairs.jsonl'}", "--train.batch=40",
            *tiny, *more]


def test_a_run_is_trained_exported_and_opened(folder):
    run, out = folder / "run", folder / "model"
    done = commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", *command(folder), f"--run={run}", f"--export={out}",
         "--train.epochs=8", "--sentence_bert.dense=12", "--sentence_bert.normalize=true"],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"] and rows[-1]["probability"] > rows[0]["probability"]
    texts = ["ba ce", "ce di fo", "gu"]
    model = embeddings.load(run)
    vectors = model.encode(texts)
    assert vectors.shape == (3, 12) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert not hasattr(model, "classify")
    for there in (run, out):
        with pytest.raises(UsageProblem, match="are for word vectors; this model has a tokenizer"):
            embeddings.load(there, tokenizer="whitespace")
    np.testing.assert_allclose(embeddings.load(out).encode(texts), vectors, atol=1e-6)
    card = (out / "README.md").read_text()
    assert "pairs.jsonl (400)" in card and "--sentence_bert.dense=12" in card and "| loss |" in card
    assert "Loss: in_batch" in card and card.startswith("---\nlibrary_name: sentence-transformers\n")


def test_heads_are_ablated_on_the_way(folder):
    task, run = folder / "task.tsv", folder / "ablated"
    task.write_text("".join(f"{a} {b}\t{b} {a} {a}\t{n % 4}\n" for n, (a, b) in enumerate(itertools.pairwise(WORDS))))
    done = commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", *command(folder), f"--run={run}", "--train.steps=4",
         f"--ablate.task={task}", "--ablate.every=2", "--ablate.resamples=20"],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [row for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "heads/score" in row]
    assert [row["step"] for row in rows] == [2, 4] and "heads/without 0.1" in rows[0]
    model, measure = heads.find(str(task), "", None).ready(embeddings.load(run), "the run")
    scores = [measure.score(measure.items(model.encode(measure.texts, head_mask=np.array([mask], np.float32))))
              for mask in ((1, 1), (1, 0))]
    assert rows[1]["heads/score"] == pytest.approx(scores[0], abs=0.01)
    assert rows[1]["heads/without 0.1"] == pytest.approx(scores[1] - scores[0], abs=0.02)


@pytest.mark.parametrize(("more", "says"), [
    (["--ablate.every=2"], "--ablate.every: on what? Name it with --ablate.task"),
    (["--architecture=bert", "--ablate.task=masked-lm"], "name a file of lines with --ablate.text"),
    (["--architecture=word2vec", "--ablate.task=sts-b"], "--architecture=word2vec has no attention heads"),
])
def test_an_ablation_that_cannot_be_is_refused(more, says):
    with pytest.raises(UsageProblem, match=re.escape(says)):
        flags.parse(more, Experiment)


@pytest.mark.parametrize(("more", "line", "says"), [
    (JOINED, "a\tb\t1\nc\td\t2\n", "needs an encoder of texts, which --architecture=sentence_bert does not make"),
    ((), "a\tb\tyes\nc\td\tno\n", "needs classes of its own, which --sentence_bert.loss=softmax trains, which"),
])
def test_an_ablation_by_what_is_not_trained_is_refused(folder, tmp_path, more, line, says):
    (tmp_path / "task.tsv").write_text(line)
    settings, _, _ = flags.parse(command(folder, *more, f"--ablate.task={tmp_path / 'task.tsv'}"), Experiment)
    with pytest.raises(UsageProblem, match=f"--ablate.task={tmp_path / 'task.tsv'} {says}"):
        session.ablation(settings, levels.Place(None, folder / "cache", lambda: 0.0, (0,), (0,)))


def prepared(folder, *more, tiny=TINY):
    settings, _, _ = flags.parse(command(folder, *more, tiny=tiny), Experiment)
    place = levels.Place(None, folder / "cache", lambda: 0.0, (0,), (0,))
    screen = Screen(sys.stderr)
    level = levels.of(settings)
    return level.prepare(settings, level.find(settings, place, screen), place, screen).job(mesh.make(settings.mesh))


def broken(folder, name, *rows, header="text1,text2,score"):
    (folder / name).write_text("\n".join([header, *rows]))
    return f"--examples.sets={folder / name}"


@pytest.mark.parametrize(("rows", "more", "says"), [
    (["a,b,1"], ["--examples.columns=text1,reply"], "no column 'reply', only text1, text2, score: name others with"),
    (["ba,ce,1", "ba, ,1"], [], ".csv:2: text2 is empty: correct it, or leave such rows out with"),
    (["ba,ce,1", "ba,1"], [], ".csv:2: 2 columns where the first line names 3"),
    (["ba,ce,1", "ba,ce,7"], ["--sentence_bert.loss=cosine", "--examples.label=score"],
     "example 2: the score 7 is not from -1 to 1"),
    (["ba,ce,1", "ba,ce,x"], ["--sentence_bert.loss=cosine", "--examples.label=score"], "the score 'x' is no number"),
    (["ba,ce,1", "ba,ce,3"], ["--sentence_bert.loss=softmax", "--examples.label=score", "--examples.classes=1,2"],
     "example 2: '3' is none of the classes 1, 2"),
    (["ba,ce,1", "ba,ce,1"], ["--sentence_bert.loss=softmax"], "needs a class: name its column with --examples.label"),
    (["ba,ce,1"] * 2, [], "2 examples, fewer than --train.batch=40 holds: lower it"),
    ([f"ba,{word},1" for word in WORDS], [], "all but one have a text in common"),
    (["ba,ce,1"], ["--sentence_bert.temperature=0"], "--sentence_bert.temperature"),
    (FINE, ["--sentence_bert.matryoshka=8,17"], "matryoshka=17 is above the width"),
    (["ba,ce,1"], ["--sentence_bert.loss=triplet"], "its examples have 2 texts, loss triplet needs 3"),
    ([f"{row}{n % 3}" for n, row in enumerate(FINE)], ["--sentence_bert.loss=contrastive", "--examples.label=score"],
     "the contrastive loss takes two"),
    (FINE, ["--sentence_bert.heads=3"], "--sentence_bert.heads=3"),
    (FINE, ["--sentence_bert.joined=true"], "add --sentence_bert.loss=softmax or regression, and --sentence_bert.part"),
    (FINE, ["--sentence_bert.joined=true", "--sentence_bert.loss=softmax", "--examples.label=score"], "parts=u"),
    (FINE, [*JOINED, "--examples.label=score", "--sentence_bert.matryoshka=8"],
     "--sentence_bert.matryoshka is for vectors of single texts, which --sentence_bert.joined=true does not make"),
    (FINE, ["--sentence_bert.both_orders=true"], "for two texts that are read as one: add --sentence_bert.joined=true"),
    (FINE, [*JOINED, "--sentence_bert.both_orders=true", "--examples.label=score", "--export=out"],
     "--export=out: others' folders cannot say that pairs are read in both orders: leave it out"),
    (FINE, [*JOINED, "--examples.label=score", "--examples.columns=text1"],
     "its examples have 1 texts, loss softmax needs 2"),
    (FINE, [*JOINED, "--examples.label=score", "--export=out"],
     "BertForSequenceClassification has pooling cls and one tanh layer of width 16: train with --sentence_bert."),
])
def test_what_cannot_be_trained_on_is_refused(folder, rows, more, says):
    with pytest.raises(Problem) as refused:
        prepared(folder, broken(folder, f"{abs(hash((*rows, *more)))}.csv", *rows), *more)
    assert says in str(refused.value)


def test_broken_rows_are_counted_where_they_may_be_left_out(folder, capsys):
    name = broken(folder, "some.csv", *FINE[:20], "ba,", "ba,,1", *FINE[20:])
    prepared(folder, name, "--examples.broken=skip")
    said = capsys.readouterr().err
    assert f"{Path(name.partition('=')[2])}: 2 broken rows were left out, the first" in said and "some.csv:21" in said


def slow(*values):
    """Goes much the way of others, or stands in the invariance suite: not for the plain command."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(("loss", "more"), [
    slow("in_batch", ["--sentence_bert.matryoshka=4,16"]), slow("simcse", ["--examples.columns=text1"]),
    slow("softmax", ["--examples.label=class"]), slow("cosine", ["--examples.label=score"]),
    slow("contrastive", ["--examples.label=class"]),
])
def test_each_loss_goes_down(folder, loss, more):
    job = prepared(folder, f"--sentence_bert.loss={loss}", *more, "--train.epochs=4", "--sentence_bert.dropout=0.01")
    state, losses = job.start(0), []
    for n in range(job.steps):
        state, sums = job.step(state, job.place(n).arrays)
        losses.append(float(sums["loss"][0] / sums["loss"][1]))
    assert np.mean(losses[-8:]) < np.mean(losses[:8])


AVERAGING = """--architecture=universal_sentence_encoder --universal_sentence_encoder.encoder=averaging
--universal_sentence_encoder.width=12 --universal_sentence_encoder.length=16 --universal_sentence_encoder.positions=16
--universal_sentence_encoder.buckets=0 --universal_sentence_encoder.dense=""".split()


def test_words_begin_as_long_as_they_are_rare(folder):
    job, plain = (prepared(folder, f"--universal_sentence_encoder.idf={idf}", tiny=[*AVERAGING, "--pieces.size=120"])
                  for idf in ("true", "false"))
    words, before = (np.asarray(one.start(0)["params"]["model"]["model"]["words"]) for one in (job, plain))
    ids, _, starts, _ = job.batches.sets[0].read(np.arange(400))
    texts = [set(ids[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    assert len(texts) == 800
    for token in range(len(words)):
        length = np.log(801 / (sum(token in text for text in texts) + 1))
        np.testing.assert_allclose(words[token], before[token] * length, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("more", "says"), [
    (["--universal_sentence_encoder.encoder=transformer"], "add --universal_sentence_encoder.encoder=averaging"),
    (["--start_from=runs/mine"], "words that start at random: leave it out"),
])
@pytest.mark.parametrize("flag", ["idf", "sublinear"])
def test_what_is_for_averages_is_refused_elsewhere(flag, more, says):
    with pytest.raises(UsageProblem, match=re.escape(f"--universal_sentence_encoder.{flag} is for averages of")) as no:
        flags.parse([*AVERAGING, f"--universal_sentence_encoder.{flag}=true", *more], Experiment)
    assert says in str(no.value)


@pytest.mark.reference
def test_sentence_transformers_opens_what_was_exported(folder):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    run, out = folder / "reference", folder / "reference-model"
    commands.run(
        [sys.executable, "-m", "embeddings.train", *command(folder), f"--run={run}", f"--export={out}",
         "--train.steps=3", "--sentence_bert.dense=12", "--sentence_bert.pooling=mean,max"],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, check=True,
    )
    texts = ["ba ce", "ce di fo", "gu"]
    theirs = sentence_transformers.SentenceTransformer(str(out), device="cpu").encode(texts)
    np.testing.assert_allclose(embeddings.load(run).encode(texts), theirs, atol=1e-6)


@pytest.mark.parametrize("texts", [1, slow(2)])
def test_classes_are_told_by_what_was_trained(folder, texts):
    draw, rows = np.random.default_rng(1), []
    for n in range(300):
        words = draw.choice(WORDS, 3)
        rows.append(f"{' '.join(words)} {'ba' if n % 2 else 'gu'},{words[0]},{'high' if n % 2 else 'low'}")
    name = broken(folder, "classes.csv", *rows, header="text1,text2,class")
    run = folder / f"classes{texts}"
    done = commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", *command(folder), name, f"--run={run}",
         "--sentence_bert.loss=softmax", f"--sentence_bert.parts={'u' if texts == 1 else 'u,v'}",
         f"--examples.columns={'text1' if texts == 1 else 'text1,text2'}", "--examples.label=class",
         "--train.steps=5"],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    model = embeddings.load(run)
    asked = ["ce di ba", "ce di gu", "fo fo ba"]
    found = model.classify(asked if texts == 1 else [(text, "ce") for text in asked])
    u, v = model.encode(asked), model.encode(["ce"] * 3)
    x = u if texts == 1 else np.concatenate([u, v], axis=1)
    scores = np.exp(x @ model.head.params["kernel"] + model.head.params["bias"])
    np.testing.assert_allclose(found.probabilities, scores / scores.sum(axis=1, keepdims=True), rtol=1e-4)
    assert model.head.classes == ("high", "low")
    assert found.labels == tuple(model.head.classes[n] for n in scores.argmax(axis=1))
    with pytest.raises(Problem, match="text 0 \\(from 0\\): this model reads"):
        model.classify([("a", "b", "c")])


def test_a_pair_is_read_as_one(folder):
    """The class is whether both texts have a word in common, which no text tells alone."""
    draw, rows = np.random.default_rng(1), []
    for n in range(300):
        first, second = draw.choice(WORDS, (2, 3), replace=False)
        rows.append(f"{' '.join(first)},{first[0] if n % 2 else second[0]} {second[1]},{'yes' if n % 2 else 'no'}")
    name = broken(folder, "joined.csv", *rows, header="text1,text2,class")
    run, out, task = folder / "joined", folder / "joined-model", folder / "joined.tsv"
    task.write_text("".join(row.replace(",", "\t") + "\n" for row in rows[:40]))
    done = commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", *command(folder), name, *JOINED, f"--run={run}",
         "--examples.label=class", "--sentence_bert.pooling=cls", "--sentence_bert.dense=16", "--train.steps=4",
         f"--export={out}", f"--ablate.task={task}", "--ablate.resamples=20"],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    assert '.classify([("a text", "another one")])' in done.stdout
    model, exported = embeddings.load(run), embeddings.load(out)
    asked = [("ba ce di", "ba fo"), ("ba ce di", "gu fo"), ("gu fo", "ba ce di")]
    found = model.classify(asked)
    assert model.head.classes == ("no", "yes") and len({*found.probabilities[:, 0].tolist()}) == 3
    np.testing.assert_allclose(exported.classify(asked).probabilities, found.probabilities, atol=1e-6)
    told = dict(line.rsplit("\t", 1) for line in task.read_text().splitlines())
    right = [a == b for a, b in zip(model.classify([pair.split("\t") for pair in told]).labels, told.values(),
                                    strict=True)]
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["heads/score"] == pytest.approx(np.mean(right))
    assert {"heads/without 0.1", "heads/best alone 0"} <= {*last}
    both = model.tokenizer.encode(*map(list, zip(*asked, strict=True)))
    read = model.tokens(asked)
    assert [len(one.ids) for one in read] == both.lengths.tolist() and both.types.any()
    x = np.tanh(np.stack([one.vectors[0] for one in read]) @ model.pipeline.steps[0].kernel)
    np.testing.assert_allclose(model.encode(asked), x, atol=0.05)  # a bias of four steps
    with pytest.raises(Problem, match="text 0 \\(from 0\\): pairs are read, not single texts"):
        model.encode("ba")
    with pytest.raises(Problem, match="pair 1 \\(from 0\\) is tuple, not two strings"):
        model.classify([("ba", "ce"), ("ba", "ce", "di")])
    with pytest.raises(Problem, match="pairs are read without a prompt and in one window"):
        model.encode(asked, windows=2)
    (task,) = tasks.tasks(["documentation"], None, Options(cache=folder / "cache"))
    assert task.lacking(model) == "needs an encoder of texts, and the model reads pairs of texts as one"


@pytest.mark.parametrize("loss", ["softmax", "regression"])
def test_a_pair_is_read_in_both_orders(folder, loss):
    """The class, or number, is whether both texts have a word in common."""
    draw, rows = np.random.default_rng(1), []
    for n in range(40):
        first, second = draw.choice(WORDS, (2, 3), replace=False)
        rows.append(f"{' '.join(first)},{first[0] if n % 2 else second[0]} {second[1]},{n % 2}")
    name = broken(folder, "orders.csv", *rows, header="text1,text2,class")
    run, dry = folder / f"orders-{loss}", ["--sentence_bert.dropout=0", "--sentence_bert.attention_dropout=0"]
    more = [*JOINED, *dry, name, f"--sentence_bert.loss={loss}", "--sentence_bert.both_orders=true",
            "--examples.label=class", "--sentence_bert.pooling=lasttoken", "--sentence_bert.dense=12"]
    done = commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", *command(folder, *more), f"--run={run}",
         "--train.steps=4"],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    model = embeddings.load(run)
    pairs = [tuple(row.split(",")[:2]) for row in rows]
    turned = [pair[::-1] for pair in pairs]
    s = (model.encode(pairs) + model.encode(turned)) @ model.head.params["kernel"] + model.head.params["bias"]
    for asked in (pairs, turned):
        if loss == "softmax":
            found = model.classify(asked).probabilities
            np.testing.assert_allclose(found, np.exp(s) / np.exp(s).sum(axis=1, keepdims=True), atol=1e-5)
        else:
            np.testing.assert_allclose(model.predict(asked), s[:, 0], atol=1e-5)

    job, wanted = prepared(folder, *more), np.array([n % 2 for n in range(40)])
    state = job.start(0)
    params = jax.device_get(state["params"])
    _, sums = job.step(state, job.place(0).arrays)
    head = dataclasses.replace(model.head, params=params["objective"])
    steps = tuple(Dense(*weights, "tanh") for weights in params["model"]["steps"])
    began = dataclasses.replace(
        model, params=params["model"]["model"], head=head, pipeline=dataclasses.replace(model.pipeline, steps=steps))
    if loss == "softmax":
        each = -np.log(began.classify(pairs).probabilities[np.arange(40), wanted])
        assert '.classify([("a text", "another one")])' in done.stdout
    else:
        each = (began.predict(pairs) - wanted) ** 2
    np.testing.assert_allclose(float(sums["loss"][0] / sums["loss"][1]), each.mean(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["pooler", "step"])
def test_what_a_model_has_of_the_steps_is_what_they_begin_as(folder, tmp_path, kind):
    """BERT's pooler, or the map of a model that was trained as this one is; the encoder then has no second one."""
    source = small.saved(tmp_path / "bert")
    pooler = small.params("bert")["pooler"]
    if kind == "step":
        model = folders.with_pooler_as_step(embeddings.load(source))
        folders.write(tmp_path / "step", model)
        source = tmp_path / "step"
    more = [*JOINED, "--sentence_bert.length=16", f"--start_from={source}", "--sentence_bert.pooling=cls",
            "--examples.label=class"]
    job = prepared(folder, *more, "--sentence_bert.dense=16,4", tiny=[TINY[0], TINY[-2], TINY[-1]])
    params = job.start(0)["params"]["model"]
    assert "pooler" not in params["model"]
    np.testing.assert_array_equal(params["steps"][0][0], pooler["kernel"])
    np.testing.assert_array_equal(params["steps"][0][1], pooler["bias"])
    assert params["steps"][1][0].shape == (16, 4)
    other = prepared(folder, *more, "--sentence_bert.dense=4", tiny=[TINY[0], TINY[-2], TINY[-1]])
    assert other.start(0)["params"]["model"]["steps"][0][0].shape == (16, 4)
