"""Taggers, readers and numbers through the real command: trained, loaded, used; and what is refused before training."""
import dataclasses
import functools
import json
import operator
import os
import re
import sys
from pathlib import Path

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import embeddings
from embeddings import experiment, export, flags, levels, session
from embeddings.contextual import tokens as marking
from embeddings.experiment import Experiment
from embeddings.problems import Problem, UsageProblem
from embeddings.screen import Screen
from embeddings.tokenizers.words import Words
from embeddings.training import mesh, run_folder

SIZES = {"layers": 1, "width": 16, "heads": 2, "feed_forward": 32, "length": 32, "positions": 32, "dropout": 0,
         "attention_dropout": 0}
NAMES = ["Bu Gado", "Kofi", "Defu"]
PLACES = ["Jaba", "Ho Kuda"]
PLAIN = "ba ce di fo gu".split()


def sized(architecture, **more):
    sizes = [f"--{architecture}.{name}={value}" for name, value in (SIZES | more).items()]
    return [f"--architecture={architecture}", *sizes, "--pieces.size=120", "--optimizer.name=adamw",
            "--optimizer.learning_rate=0.01", "--train.batch=20"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sentences with names and places, tagged; the same with a question for each kind, some without an answer."""
    folder, draw = tmp_path_factory.mktemp("tokens"), np.random.default_rng(0)
    conll, questions, lines, pairs = [], [], [], []
    for number in range(160):
        words, tags, spans = [], [], {}
        for kind, some in (("person", NAMES), ("place", PLACES)):
            for word in draw.choice(PLAIN, draw.integers(1, 3)):
                words, tags = [*words, str(word)], [*tags, "O"]
            if draw.random() < 0.7:
                entity = str(draw.choice(some))
                spans[kind] = " ".join([*words, ""]), entity
                words += entity.split()
                tags += [f"B-{kind}"] + [f"I-{kind}"] * (len(entity.split()) - 1)
        text = " ".join(words)
        lines.append(text)
        conll += [*(f"{word}\t{tag}" for word, tag in zip(words, tags, strict=True)), ""]
        asked = [{"id": f"{number}-{kind}", "question": question, "answers": [
            {"answer_start": len(spans[kind][0]), "text": spans[kind][1]}] if kind in spans else []}
            for kind, question in (("person", "fo ?"), ("place", "gu ?"))]
        questions.append({"context": text, "qas": asked})
        pairs.append({"text1": text, "text2": words[0], "number": 10.0 * (words[0] == "ba")})
    (folder / "some.conll").write_text("\n".join(conll))
    (folder / "some.json").write_text(json.dumps({"data": [{"paragraphs": questions}]}))
    (folder / "some.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    (folder / "text.txt").write_text("\n".join([*lines, "? fo gu"] * 2))
    return folder


def trained(folder, run, *more):
    done = commands.run(
        [sys.executable, "-W", "error", "-m", "embeddings.train", f"--corpus={folder / 'text.txt'}", f"--run={run}",
         *more],
        env=os.environ | {"EMBEDDINGS_CACHE": str(folder / "cache")}, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return embeddings.load(run), [row for row in rows if "loss" in row]


def test_a_tagger_is_trained_and_tags(folder):
    model, rows = trained(folder, folder / "tagger", *sized("tagger"), f"--examples.sets={folder / 'some.conll'}",
                          "--train.steps=120", f"--export={folder / 'exported-tagger'}")
    assert rows[-1]["loss"] < 0.2 * rows[0]["loss"] and rows[-1]["accuracy"] > 0.95
    asked = [["ba", "Bu", "Gado", "di", "Jaba"], [], ["ce", "fo"]]
    assert model.tag(asked) == [("O", "B-person", "I-person", "O", "B-place"), (), ("O", "O")]
    again = embeddings.load(folder / "exported-tagger")
    assert again.tag(asked) == model.tag(asked) and again.longest == model.longest
    np.testing.assert_array_equal(again.encode(["ba Bu"]), model.encode(["ba Bu"]))
    card = (folder / "exported-tagger" / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card and "B-person, B-place, I-person, I-place, O." in card
    assert "some.conll (160)" in card and "--train.steps=120" in card and "| accuracy |" in card
    assert model.encode(["ba ce"]).shape == (1, 16) and not hasattr(model, "answer") and not hasattr(model, "classify")


def test_a_reader_is_trained_and_answers(folder):
    model, rows = trained(folder, folder / "reader", *sized("reader", overlap=4), "--pieces.lower=false",
                          f"--examples.sets={folder / 'some.json'}", "--train.steps=250")
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]
    found = model.answer([("fo ?", "ba Kofi ce Jaba"), ("gu ?", "ba Kofi ce Jaba"), ("gu ?", "ba Kofi ce ce")])
    assert [answer.text for answer in found] == ["Kofi", "Jaba", ""]
    assert (found[0].start, found[0].end) == (3, 7) and found[0].score > 0 > found[2].score
    assert not hasattr(model, "tag")
    out = folder / "exported-reader"
    export.main(export.Flags(str(folder / "reader"), str(out)), [])
    again, asked = embeddings.load(out), [("fo ?", "ba Kofi ce Jaba"), ("gu ?", "ba ce di fo gu " * 9 + "Jaba")]
    assert again.answer(asked) == model.answer(asked)
    assert (again.head.overlap, again.head.longest_answer, again.head.may_be_empty) == (4, 30, True)
    card = (out / "README.md").read_text()
    assert "pipeline_tag: question-answering" in card and "It may answer nothing" in card and "some.json" in card


def test_numbers_are_trained_and_told(folder):
    model, rows = trained(
        folder, folder / "numbers", *sized("sentence_bert"), f"--examples.sets={folder / 'some.jsonl'}",
        "--sentence_bert.loss=regression", "--examples.label=number", "--train.steps=120")
    assert rows[-1]["loss"] < 0.2 * rows[0]["loss"]
    low, high = model.predict([("ce fo Defu", "ce"), ("ba fo Defu", "ba")])
    assert high - low > 5 and not hasattr(model, "classify")


def test_what_is_frozen_stays(folder):
    start = embeddings.load(folder / "tagger") if (folder / "tagger").exists() else trained(
        folder, folder / "tagger", *sized("tagger"), f"--examples.sets={folder / 'some.conll'}", "--train.steps=2")[0]
    model, _ = trained(folder, folder / "frozen", *sized("tagger"), f"--examples.sets={folder / 'some.conll'}",
                       f"--start_from={folder / 'tagger'}", "--tune.layers=0", "--train.steps=5")
    texts = ["ba Bu Gado di Jaba"]
    np.testing.assert_array_equal(model.encode(texts), start.encode(texts))
    assert not np.array_equal(model.head.params["kernel"], start.head.params["kernel"])


@pytest.mark.parametrize("frozen", [True, False])
def test_word_vectors_are_started_from(folder, frozen):
    draw, vectors = np.random.default_rng(3), folder / "some.vec"
    words = sorted({*PLAIN, *" ".join([*NAMES, *PLACES]).split()})
    vectors.write_text(f"{len(words)} 16\n" + "".join(
        f"{word} {' '.join(f'{x:.3f}' for x in draw.normal(size=16))}\n" for word in words))
    run = folder / f"of-words-{frozen}"
    model, rows = trained(
        folder, run, "--architecture=tagger", f"--examples.sets={folder / 'some.conll'}", f"--start_from={vectors}",
        "--tagger.length=32", f"--tune.layers={-1 + frozen}", "--optimizer.name=adamw",
        "--optimizer.learning_rate=0.03", "--train.batch=20", "--train.steps=120")
    assert rows[-1]["accuracy"] > 0.9 and rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert model.tag([["ba", "Kofi", "unknown"]])[0][:2] == ("O", "B-person")
    there = embeddings.load(vectors)
    same = np.allclose(model.tokens("ba Kofi").vectors[1:], [there["ba"], there["Kofi"]], atol=1e-6)
    assert same == frozen
    one, other = model.encode(["ba, Kofi!"])[0], there.encode(["ba, Kofi!"])[0]
    if frozen:
        np.testing.assert_allclose(one * 3, other * 2, atol=1e-5)  # of three tokens one begins the text


@pytest.fixture(scope="module")
def elmo(folder):
    return small.saved_elmo(folder / "elmo")


def of_elmo(architecture, elmo, *more, length=32):
    return [f"--architecture={architecture}", f"--start_from={elmo}", f"--{architecture}.length={length}",
            f"--{architecture}.dropout=0", "--optimizer.name=adamw", "--optimizer.learning_rate=0.03",
            "--train.batch=20", *more]


def arrays(run):
    """The parameters that a run left, by path, those of its encoder below `encoder`."""
    _, params = run_folder.read_params(run)
    model = params["model"]["model"] | {"steps": params["model"].get("steps", [])}
    leaves = jax.tree_util.tree_leaves_with_path({"encoder": model, "head": params["objective"]})
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}


@pytest.mark.parametrize("fixed", [True, False])
def test_a_tagger_is_trained_on_elmo(folder, elmo, fixed):
    run, start = folder / f"on-elmo-{fixed}", embeddings.load(elmo)
    model, rows = trained(folder, run, *of_elmo("tagger", elmo, f"--tune.layers={fixed - 1}", "--train.steps=120"),
                          f"--examples.sets={folder / 'some.conll'}")
    assert rows[-1]["accuracy"] > (0.6 if fixed else 0.95)  # twelve numbers at random do not part ten words
    assert rows[-1]["loss"] < (0.65 if fixed else 0.1) * rows[0]["loss"]
    left, began = arrays(run), jax.tree_util.tree_leaves_with_path(start.params)
    for path, leaf in began:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert np.array_equal(left[f"encoder/{name}"], leaf) == fixed, name
    assert np.abs(left["encoder/mix/weights"]).min() > 0.01 and abs(left["encoder/mix/scale"] - 1) > 0.01
    np.testing.assert_array_equal(model.mixture.weights, left["encoder/mix/weights"])
    sentences = [["ba", "Kofi", "never-seen", "Jaba"], [], ["wholly", "unknown", "words", "..."]]
    found = model.tag(sentences)
    assert [len(tags) for tags in found] == [4, 0, 4] and found[0][0] == "O"
    if not fixed:
        assert found[0][1] == "B-person" and found[0][3] == "B-place"
    s = np.exp(left["encoder/mix/weights"]) / np.exp(left["encoder/mix/weights"]).sum()
    layers = list(dataclasses.replace(model, mixture=None).states(sentences))
    for tags, states in zip(found, layers, strict=True):
        mixed = np.tensordot(left["encoder/mix/scale"] * s, states, 1)
        scores = mixed @ left["head/kernel"] + left["head/bias"]
        assert tags == tuple(model.head.classes[best] for best in scores.argmax(axis=1))


@pytest.mark.parametrize("fixed", [True, False])
def test_words_are_tagged_by_one_layer_of_elmo(folder, elmo, fixed):
    """By parts of speech; what the head reads are the layer's states, and the mixture stays at the layer."""
    lines = (folder / "some.conll").read_text().replace("\tO", "\tPLAIN").replace("\tB-", "\t")
    (folder / "speech.conll").write_text(lines.replace("\tI-", "\tMORE-"))
    run, layer = folder / f"on-a-layer-{fixed}", 1
    model, rows = trained(
        folder, run, *of_elmo("tagger", elmo, f"--tune.layers={fixed - 1}", f"--tune.elmo_layer={layer}",
                              "--optimizer.weight_decay=0.1", "--train.steps=60"),
        f"--examples.sets={folder / 'speech.conll'}")
    assert rows[-1]["loss"] < (0.9 if fixed else 0.3) * rows[0]["loss"]
    left, start = arrays(run), embeddings.load(elmo)
    np.testing.assert_array_equal(left["encoder/mix/weights"], [-1e9, 0, -1e9])
    assert left["encoder/mix/scale"] == 1
    for path, leaf in jax.tree_util.tree_leaves_with_path(start.params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert np.array_equal(left[f"encoder/{name}"], leaf) == fixed, name
    sentences = [["ba", "Kofi", "never-seen", "Jaba"], ["wholly", "unknown", "words", "..."]]
    tokenizer, longest, states = model.for_tokens(map(" ".join, sentences))
    read = marking.sentences(tokenizer, sentences, longest)
    own = embeddings.load(elmo) if fixed else dataclasses.replace(model, mixture=None)
    for found, layers, tags in zip(states(read), own.states(sentences), model.tag(sentences), strict=True):
        np.testing.assert_allclose(found[1:-1], layers[layer], atol=1e-5)
        scores = layers[layer] @ left["head/kernel"] + left["head/bias"]
        assert tags == tuple(model.head.classes[n] for n in scores.argmax(axis=1))
    assert model.head.classes == ("MORE-person", "MORE-place", "O", "PLAIN", "person", "place")


def test_a_trained_elmo_is_gone_on_from(folder, elmo):
    run = folder / "on-elmo-True"
    if not run.exists():
        trained(folder, run, *of_elmo("tagger", elmo, "--tune.layers=0", "--train.steps=20"),
                f"--examples.sets={folder / 'some.conll'}")
    before = embeddings.load(run)
    model, _ = trained(folder, folder / "again", *of_elmo("sentence_bert", run, "--tune.layers=0", "--train.steps=1"),
                       "--sentence_bert.loss=regression", "--examples.label=number", "--optimizer.learning_rate=1e-6",
                       f"--examples.sets={folder / 'some.jsonl'}")
    np.testing.assert_allclose(model.mixture.weights, before.mixture.weights, atol=1e-5)
    assert model.tokenizer == before.tokenizer == Words("whitespace", lower=False)


def test_a_reader_is_trained_on_elmo(folder, elmo):
    model, rows = trained(folder, folder / "reads-elmo", *of_elmo("reader", elmo, "--train.steps=400"),
                          "--reader.overlap=4", f"--examples.sets={folder / 'some.json'}")
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    found, = model.answer([("fo ?", "ba Kofi ce unheard-of")])
    assert found.text == "Kofi" and (found.start, found.end) == (3, 7)


def test_sentences_are_trained_on_elmo(folder, elmo):
    flags = of_elmo("sentence_bert", elmo, "--train.steps=100", "--examples.label=number",
                    f"--examples.sets={folder / 'some.jsonl'}")
    model, rows = trained(folder, folder / "numbers-of-elmo", *flags, "--sentence_bert.loss=regression",
                          "--sentence_bert.dense=8", "--sentence_bert.normalize=true")
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"] and model.encode(["ba unheard-of"]).shape == (1, 8)
    np.testing.assert_allclose(np.linalg.norm(model.encode(["ba ce"]), axis=1), 1, atol=1e-6)
    low, high = model.predict([("ce fo Defu", "ce"), ("ba fo Defu", "ba")])
    assert high - low > 4
    model, rows = trained(folder, folder / "classes-of-elmo", *flags, "--sentence_bert.loss=softmax",
                          "--tune.layers=0", "--sentence_bert.pooling=cls,max")
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert model.classify([("ba fo Defu", "ba"), ("never seen", "ce")]).labels == ("10.0", "0.0")


def test_what_a_head_on_elmo_is_trained_by_is_that_of_differences(folder, elmo):
    """The gradient of the loss by the mixture and the head, through the step, beside differences of the loss."""
    made = prepared(folder, *of_elmo("tagger", elmo, "--tune.layers=0", "--optimizer.name=sgd", "--train.steps=3",
                                     "--optimizer.schedule=constant", "--optimizer.learning_rate=1"),
                    f"--examples.sets={folder / 'some.conll'}")
    job = made.job(mesh.make(experiment.Mesh(data=1), jax.devices()[:1]))
    batch = job.place(0).arrays

    def after(params):
        """The next parameters, and the loss."""
        given = job.step.shapes(job.make, jax.random.key(0), *job.initial)
        state = jax.tree.map(jnp.zeros_like, given) | {"params": jax.tree.map(jnp.array, params)}
        state, sums = job.step(state, batch)
        return state["params"], float(sums["loss"][0] / sums["loss"][1])

    params = jax.device_get(job.make(jax.random.key(0), *job.initial))
    moved, _ = after(params)
    moved = jax.device_get(moved)
    for names in (("model", "model", "mix", "weights"), ("model", "model", "mix", "scale"), ("objective", "kernel")):
        leaf, new = (functools.reduce(operator.getitem, names, tree) for tree in (params, moved))
        way = np.random.default_rng(8).normal(size=leaf.shape).astype(np.float32)

        def loss(step, names=names, way=way):
            changed = jax.tree.map(np.array, params)
            at = functools.reduce(operator.getitem, names[:-1], changed)
            at[names[-1]] = at[names[-1]] + step * way
            return after(changed)[1]

        slope = (loss(0.03) - loss(-0.03)) / 0.06
        np.testing.assert_allclose(np.sum((leaf - new) * way), slope, rtol=1e-2, atol=1e-4)
    for name in ("characters", "lstm"):
        for old, new in zip(*map(jax.tree.leaves, (params["model"]["model"][name], moved["model"]["model"][name])),
                            strict=True):
            np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("more", "says"), [
    (["--export=there"], "--export=there is for Transformers, which --start_from="),
    (["--ablate.task=sts-b"], "--ablate.task=sts-b is for Transformers"),
    (["--tune.layers=1"], "--tune.layers=1 is for Transformers"),
    (["--tune.only=norms"], "--tune.only=norms is for Transformers"),
    (["--tune.decay=0.5"], "--tune.decay=0.5 is for Transformers"),
    (["--pieces.path=there"], "--pieces.path=there is for Transformers"),
    (["--tune.elmo_layer=3"], "has 0 (the words' own vectors) to 2: lower it"),
    (["--sentence_bert.width=36"], "--sentence_bert.width=36, but --start_from="),
    (["--sentence_bert.length=1100", "--sentence_bert.positions=1100"], "reads 1024 tokens at most: lower it"),
    (["--sentence_bert.joined=true", "--sentence_bert.loss=regression", "--sentence_bert.parts=u",
      "--examples.label=number"], "--sentence_bert.joined=true: --start_from="),
])
def test_what_elmo_cannot_is_refused(folder, elmo, more, says):
    with pytest.raises(UsageProblem, match=re.escape(says)):
        prepared(folder, "--architecture=sentence_bert", f"--examples.sets={folder / 'some.jsonl'}",
                 f"--start_from={elmo}", *more)


@pytest.mark.parametrize("more", [["--export=there"], ["--ablate.task=sts-b"]])
def test_of_word_vectors_no_transformer_is_made(folder, tmp_path, more):
    vectors = tmp_path / "some.vec"
    vectors.write_text("2 2\nba 1 2\nce 2 1\n")
    with pytest.raises(Problem, match=r"is for Transformers, which --start_from=.* is not: leave it out"):
        prepared(folder, "--architecture=sentence_bert", f"--examples.sets={folder / 'some.jsonl'}",
                 f"--start_from={vectors}", *more)


@pytest.mark.parametrize("architecture", ["tagger", "reader", "sentence_bert"])
def test_one_layer_is_for_elmo(folder, tmp_path, architecture):
    file = {"tagger": "some.conll", "reader": "some.json"}.get(architecture, "some.jsonl")
    for start, says in ((small.saved(tmp_path / "bert"), "--tune.elmo_layer=1 is for ELMo, which --start_from="),
                        ("", "--tune.elmo_layer=1 is for a head on ELMo, which --start_from of an architecture of")):
        with pytest.raises(UsageProblem, match=re.escape(says)):
            prepared(folder, f"--architecture={architecture}", f"--examples.sets={folder / file}",
                     "--tune.elmo_layer=1", f"--start_from={start}", f"--{architecture}.length=24", "--train.batch=20")
    with pytest.raises(UsageProblem, match="is for a head on ELMo"):
        flags.parse(["--architecture=bert", "--tune.elmo_layer=1", "--start_from=there"], Experiment)
    with pytest.raises(UsageProblem, match="must be at least -1"):
        flags.parse(["--architecture=tagger", "--tune.elmo_layer=-2", "--start_from=there"], Experiment)


def prepared(folder, *more):
    settings, _, _ = flags.parse([f"--corpus={folder / 'text.txt'}", *more], Experiment)
    place = levels.Place(None, folder / "cache", lambda: 0.0, (0,), (0,))
    screen, level = Screen(sys.stderr), levels.of(settings)
    return level.prepare(settings, level.find(settings, place, screen), place, screen)


@pytest.mark.parametrize(("architecture", "file", "more", "says"), [
    ("tagger", "ba\tO\nce\n", [], ".conll:2: expected a word, a tab and its tag (of entities O, B-TYPE or I-TYPE)"),
    ("tagger", "\n\n", [], "holds no sentences"),
    ("tagger", "ba\tO\n", [], "1 texts, fewer than --train.batch=20 holds: lower it"),
    ("tagger", None, [],
     "no such file, and none of wnut17, conll2003, ptb-pos; did you mean conll2003?; a file has a word"),
    ("tagger", "ba\tO\n" * 9, ["--examples.columns=a,b"], "--examples.columns is for examples of whole texts"),
    ("reader", "{", [], ".json:1: not JSON"),
    ("reader", '{"data": [{"paragraphs": [{"context": "ba", "qas": [{"id": "7", "question": "?", "answers": '
               '[{"answer_start": 1, "text": "ba"}]}]}]}]}', [], "question 7: 'ba' does not stand at 1"),
    ("reader", '{"data": [{"paragraphs": [{"context": "ba", "qas": [{"id": "7", "question": "?", "answers": []}]}]}]}',
     ["--reader.overlap=40"], "lower the overlap"),
    ("reader", None, [], "none of subjqa, xquad, squad, squad2"),
])
def test_what_cannot_be_trained_on_is_refused(folder, tmp_path, architecture, file, more, says):
    path = tmp_path / ("some.conll" if architecture == "tagger" else "some.json")
    if file is not None:
        path.write_text(file)
    with pytest.raises(Problem, match=re.escape(says)):
        prepared(folder, *sized(architecture), f"--examples.sets={path}", *more)


@pytest.mark.parametrize(("more", "task"), [
    (["--architecture=tagger"], "answers"), (["--architecture=reader"], "tags"), (["--architecture=bert"], "tags"),
    (["--architecture=sentence_bert"], "classes"), (["--architecture=sentence_bert"], "regression"),
])
def test_what_a_model_will_not_tell_is_not_measured(more, task):
    data = os.environ.get("EMBEDDINGS_DATA")
    if not data:
        pytest.skip("needs EMBEDDINGS_DATA")
    settings, _, _ = flags.parse([*more, f"--evaluate.tasks={task}"], Experiment)
    place = levels.Place(Path(data), Path("cache"), lambda: 0.0, (0,), (0,))
    with pytest.raises(Problem, match=f"--evaluate.tasks={task} needs .*, which --architecture="):
        session.chosen(settings, place)
