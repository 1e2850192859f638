"""Taggers, readers and numbers through the real command: trained, loaded, used; and what is refused before training."""
import json
import os
import re
import sys
from pathlib import Path

import commands
import numpy as np
import pytest

import embeddings
from embeddings import export, flags, levels, session
from embeddings.experiment import Experiment
from embeddings.problems import Problem
from embeddings.screen import Screen

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


@pytest.mark.parametrize("more", [["--export=there"], ["--ablate.task=sts-b"]])
def test_of_word_vectors_no_transformer_is_made(folder, tmp_path, more):
    vectors = tmp_path / "some.vec"
    vectors.write_text("2 2\nba 1 2\nce 2 1\n")
    with pytest.raises(Problem, match=r"is for Transformers, which --start_from=.* is not: leave it out"):
        prepared(folder, "--architecture=sentence_bert", f"--examples.sets={folder / 'some.jsonl'}",
                 f"--start_from={vectors}", *more)


def prepared(folder, *more):
    settings, _, _ = flags.parse([f"--corpus={folder / 'text.txt'}", *more], Experiment)
    place = levels.Place(None, folder / "cache", lambda: 0.0, (0,), (0,))
    screen, level = Screen(sys.stderr), levels.of(settings)
    return level.prepare(settings, level.find(settings, place, screen), place, screen)


@pytest.mark.parametrize(("architecture", "file", "more", "says"), [
    ("tagger", "ba\tO\nce\n", [], ".conll:2: expected a word, a tab and O, B-TYPE or I-TYPE"),
    ("tagger", "\n\n", [], "holds no sentences"),
    ("tagger", "ba\tO\n", [], "1 texts, fewer than --train.batch=20 holds: lower it"),
    ("tagger", None, [], "no such file, and none of wnut17, conll2003; did you mean conll2003?; a file has a word"),
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
