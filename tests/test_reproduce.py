"""Rows of tables, from flag files to pages: made once, recorded, checked; and the committed ones."""
import dataclasses
import functools
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
from embeddings import flags, reproduce
from embeddings.evaluation import perplexity
from embeddings.evaluation.tasks.words import PYTHON_DOCS
from embeddings.experiment import Experiment
from embeddings.heads import inside
from embeddings.problems import Problem, UsageProblem
from embeddings.reproduce import Flags
from embeddings.reproduction import records, references, rows
from embeddings.reproduction.records import Made
from embeddings.training import architectures, mesh

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
SMALL = """--vocabulary.min_count=1
--word2vec.width=8
--word2vec.block=16
--word2vec.chunk=32
--train.batch=1000
--train.steps=3
--evaluate.tasks=python_docs
--row.table=A paper, table 1
--row.scores=python_docs/3CosAdd/total
--row.published=12.5
--row.source=the paper
--row.seeds=0,1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of experiments with one row that was run, and one whose text is not there."""
    folder = tmp_path_factory.mktemp("reproduce")
    draw = np.random.default_rng(0)
    words = sorted({word for line in PYTHON_DOCS.read_text().splitlines()[:40] if line[:1].isalpha()
                    for word in line.split()})
    (folder / "text.txt").write_text("\n".join(" ".join(draw.choice(words, 8)) for _ in range(300)))
    table = folder / "experiments" / "paper"
    table.mkdir(parents=True)
    (table / "first.flags").write_text(f"{SMALL}--corpus={folder / 'text.txt'}\n--row.name=first\n")
    (table / "second.flags").write_text(f"{SMALL}--corpus={folder / 'none.txt'}\n--row.name=second\n"
                                        "--row.fetch=the text of the paper\n")
    done = commands.run(
        [sys.executable, "-m", "embeddings.reproduce", str(table), f"--runs={folder / 'runs'}"], capture_output=True,
        text=True)
    return folder, table, done


def test_rows_are_run_and_stand_beside_the_paper(place):
    folder, table, done = place
    assert done.returncode == 1  # one row could not be run
    assert done.stderr.splitlines()[-1].startswith("reproduce: 1 of 2 rows were not run: second: see above")
    assert "second.flags: not run: " in done.stderr and "; fetch the text of the paper" in done.stderr
    record = json.loads((table / "records" / "first.json").read_text())
    assert [*record["ours"]] == ["0", "1"]
    scores = [100 * made["scores"]["python_docs/3CosAdd/total"] for made in record["ours"].values()]
    page = (table / "table.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("| first |"))
    mean, spread = np.mean(scores), np.std(scores, ddof=1)
    assert f" 12.50 | - | {mean:.2f} ± {spread:.2f} | {mean - 12.5:+.2f} |" in line
    assert "| second | python_docs/3CosAdd/total | 12.50 | - | not run |" in page
    assert (folder / "experiments" / "RESULTS.md").read_text().endswith(page)
    assert len((table / "table.csv").read_text().splitlines()) == 3


def test_what_is_done_is_not_done_again(place, capsys):
    folder, table, _ = place
    before = (table / "records" / "first.json").read_text()
    reproduce.main(Flags(str(folder / "nowhere")), [str(table / "first.flags")])
    assert (table / "records" / "first.json").read_text() == before and not (folder / "nowhere").exists()
    reproduce.main(Flags(dry_run=True), [str(table)])
    shown = capsys.readouterr().out
    assert "first.flags: first: done\n" in shown
    assert "second.flags: second: seeds 0, 1; fetch: the text of the paper\n" in shown


def test_numbers_that_were_typed_are_found(place, capsys):
    folder, table, _ = place
    check = Flags(str(folder / "runs"), check=True)
    reproduce.main(check, [str(table)])
    assert "2 rows agree" in (said := capsys.readouterr().out) and "of 2 runs were made again" in said
    page, record = folder / "experiments" / "RESULTS.md", table / "records" / "first.json"
    for file, old, new in ((page, "12.50", "12.51"), (record, '"python_docs/3CosAdd/total": ', "\\g<0>1")):
        before = file.read_text()
        file.write_text(before.replace(old, new, 1) if file == page else before.replace(old, old + "9", 1))
        with pytest.raises(Problem, match=file.name):
            reproduce.main(check, [str(table)])
        file.write_text(before)
    flag_file = table / "first.flags"
    before = flag_file.read_text()
    flag_file.write_text(before.replace("width=8", "width=12"))
    with pytest.raises(Problem, match="was made with other flags"):
        reproduce.main(check, [str(table)])
    flag_file.write_text(before)


def test_the_reference_is_trained_with_each_seed_too(place, tmp_path, monkeypatch, capsys):
    _, table, _ = place
    (tmp_path / "row.flags").write_text((table / "first.flags").read_text() + "--row.reference=gensim\n")
    (tmp_path / "measured.flags").write_text("--row.name=x\n--row.scores=a\n--row.model=m\n--row.seeds=3,4\n"
                                             "--row.reference=sentence_transformers\n")
    measured, row = rows.find([tmp_path])
    assert (measured.reference_seeds, row.reference_seeds) == ((3,), (0, 1))
    made = {seed: Made({"python_docs/3CosAdd/total": (1 + seed) / 10}, 1.0, "c", f"machine {seed}", {})
            for seed in (0, 1)}
    monkeypatch.setattr(reproduce, "ours", lambda flags, row, seed: made[seed])
    monkeypatch.setattr(reproduce, "reference", lambda flags, row, seed: made[seed])
    reproduce.main(Flags(), [str(row.file)])
    assert re.search(r" 12\.50 +15\.00 ± 7\.07 +15\.00 ± 7\.07 +\+2\.50 +0, 1 +machine 0, machine 1 ",
                     capsys.readouterr().out)
    assert records.read(row).reference == made


def test_perplexity_is_shown_as_it_is(tmp_path, monkeypatch, capsys):
    """Of a text that is named from the folder of data sets, by a model that was loaded."""
    small.saved(tmp_path / "gpt2", "gpt2")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "some.txt").write_text("the bank of the river and the money of a bank\n" * 3)
    (tmp_path / "row.flags").write_text(
        "--row.name=x\n--row.model=gpt2\n--row.scores=perplexity/some.txt perplexity by words stride 4\n"
        "--row.published=20\n--evaluate.tasks=perplexity\n--evaluate.text=texts/some.txt\n--evaluate.stride=4\n")
    monkeypatch.setenv("EMBEDDINGS_DATA", str(tmp_path))
    reproduce.main(Flags(models=str(tmp_path)), [str(tmp_path / "row.flags")])
    text = perplexity.read(tmp_path / "texts" / "some.txt")
    expected = perplexity.evaluate(embeddings.load(tmp_path / "gpt2"), text, 4).value("some.txt", "perplexity by words")
    assert expected > 10
    assert f" {expected:.2f} " in capsys.readouterr().out


def test_what_heads_of_a_loaded_model_find_is_a_row(tmp_path, monkeypatch, capsys):
    """By a treebank that is named from the folder of data sets; without it the row says what is missing."""
    small.saved(tmp_path / "bert")
    row = tmp_path / "row.flags"
    row.write_text("--row.name=x\n--row.model=bert\n--row.scores=dependencies/all,dependencies/baseline amod\n"
                   "--row.published=20,30\n--row.fetch=the trees\n--ablate.task=dependencies\n"
                   "--ablate.text=trees/some.conllx\n")
    monkeypatch.setenv("EMBEDDINGS_DATA", str(tmp_path))
    with pytest.raises(Problem, match="1 of 1 rows were not run"):
        reproduce.main(Flags(models=str(tmp_path)), [str(row)])
    assert "some.conllx: no file of dependencies (FileNotFoundError): copy it again; fetch the trees" in (
        capsys.readouterr().err)
    (tmp_path / "trees").mkdir()
    (tmp_path / "trees" / "some.conllx").write_text("".join(
        f"{n}\t{word}\t_\t_\t_\t_\t{head}\t{how}\t_\t_\n" for n, word, head, how in (
            (1, "money", 3, "nsubj"), (2, "banks", 1, "amod"), (3, "walk", 0, "root"))))
    reproduce.main(Flags(models=str(tmp_path)), [str(row)])
    found = inside.ablation_of("dependencies", "trees/some.conllx", tmp_path, 1).scores(
        embeddings.load(tmp_path / "bert"))
    assert found["baseline amod"] == 1 and 0 < found["all"] <= 2 / 3
    assert re.search(rf"dependencies/all +20\.00 +- +{100 * found['all']:.2f} .*\n.*amod +30\.00 +- +100\.00 +\+70\.",
                     capsys.readouterr().out)


def test_a_row_pools_the_model_that_it_measures(tmp_path):
    small.saved(tmp_path / "bert")
    said = "--row.name=x\n--row.scores=a\n--row.model=bert\n"
    (tmp_path / "mean.flags").write_text(said + "--row.table=t\n")
    (tmp_path / "cls.flags").write_text(said + "--row.pooling=cls\n")
    cls, mean = rows.find([tmp_path])
    assert cls.key != mean.key
    model, texts = embeddings.load(tmp_path / "bert"), ["money banks walk", "river"]
    pooled, whole = (reproduce.pooled(model, row).encode(texts) for row in (cls, mean))
    np.testing.assert_allclose(pooled, model.encode(texts, pooling="cls"), atol=1e-6)
    np.testing.assert_array_equal(whole, model.encode(texts))
    assert np.abs(pooled - whole).max() > 1e-3
    words = embeddings.encoder.WordVectors(("a",), np.ones((1, 2), np.float32))
    with pytest.raises(Problem, match=r"cls\.flags: --row\.pooling=cls: --row\.model has no states to pool: leave"):
        reproduce.pooled(words, cls)
    (tmp_path / "cls.flags").write_text("--row.name=x\n--row.scores=a\n--row.pooling=cls\n")
    with pytest.raises(UsageProblem, match=r"--row\.pooling=cls is of --row\.model: name one"):
        rows.find([tmp_path])


@pytest.mark.parametrize("content", ["", "[]", '{"key": 1}', '{"key": KEY, "ours": {}, "reference": null}'])
def test_a_damaged_record_is_one_line(place, tmp_path, content):
    _, table, _ = place
    (tmp_path / "row.flags").write_text((table / "first.flags").read_text())
    row, = rows.find([tmp_path])
    row.record.parent.mkdir()
    row.record.write_text(content.replace("KEY", json.dumps(row.key)))
    if content == '{"key": 1}':
        assert records.read(row) == records.Record(row.key), "it is of other flags"
    else:
        with pytest.raises(Problem, match=r"row\.json: no record .*: delete it, it is made again"):
            records.read(row)


@pytest.mark.reference
@pytest.mark.parametrize("architecture", ["word2vec", "fasttext"])
@pytest.mark.parametrize("reference", ["gensim", "fasttext"])
def test_a_reference_has_a_vector_for_each_of_our_words(tmp_path, reference, architecture):
    (tmp_path / "text.txt").write_text("the bank of the river\nthe money of the bank\n" * 50)
    settings, _, _ = flags.parse(
        [f"--corpus={tmp_path / 'text.txt'}", f"--architecture={architecture}", f"--{architecture}.width=8",
         f"--row.reference={reference}", "--train.epochs=1", "--vocabulary.min_count=1"], Experiment)
    found = references.model(settings, "", None, tmp_path / "cache", 1)
    assert set(found.words) == {"the", "bank", "of", "river", "money"}
    assert found.vectors.shape == (5, 8)


@pytest.mark.reference
def test_cheap_rows_are_made_again(tmp_path, capsys, monkeypatch):
    """The committed numbers, but for what another processor rounds otherwise."""
    if "EMBEDDINGS_DATA" not in os.environ:
        pytest.skip("needs EMBEDDINGS_DATA")
    monkeypatch.setenv("XLA_FLAGS", "")  # as users have it: optimised
    check = Flags(str(tmp_path / "runs"), check=True, again=0.01, tolerance=0.5)
    reproduce.main(check, [str(EXPERIMENTS / "word2vec" / "brown_skipgram.flags")])
    assert "the numbers of 2 runs were made again" in capsys.readouterr().out


@pytest.mark.parametrize(("lines", "says"), [
    ("--row.name=x\n", "--row.name=x: no metric: name what is compared with --row.scores"),
    ("--row.name=x\n--row.scores=a,b\n--row.published=1\n", "--row.published has 1 values for 2 --row.scores"),
    ("--seed=1\n", "no row of a table there"),
])
def test_rows_that_cannot_be_are_refused(tmp_path, lines, says):
    (tmp_path / "a.flags").write_text(lines)
    with pytest.raises(UsageProblem, match=says):
        rows.find([tmp_path])


def test_two_rows_of_one_name_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.flags").write_text("--row.name=x\n--row.scores=a\n")
    with pytest.raises(Problem, match=r"b.flags: a second row 'x' of '', after .*a.flags: name one of them otherwise"):
        rows.find([tmp_path])


def test_a_score_that_is_not_measured_is_named(place, capsys):
    folder, table, _ = place
    wrong = folder / "wrong.flags"
    wrong.write_text((table / "first.flags").read_text().replace("3CosAdd/total", "3CosAdd/sum"))
    with pytest.raises(Problem, match="1 of 1 rows were not run"):
        reproduce.main(Flags(str(folder / "runs")), [str(wrong)])
    assert "nothing is measured as python_docs/3CosAdd/sum, only python_docs/3CosAdd/" in capsys.readouterr().err


def test_the_committed_pages_are_what_the_records_say():
    found = rows.find([EXPERIMENTS])
    assert len(found) > 20
    for row in found:
        assert not row.record.exists() or records.read(row).ours, f"{row.record} was made with other flags"
    for page, text in reproduce.pages({EXPERIMENTS}).items():
        assert page.read_text() == text, f"{page}: python -m embeddings.reproduce writes it"


@pytest.mark.parametrize("file", sorted(EXPERIMENTS.rglob("*.flags")), ids=lambda f: str(f.relative_to(EXPERIMENTS)))
def test_every_committed_experiment_is_built_at_full_size(file):
    assert parameters(signature(flags.load(file, Experiment))) > 1e5


def signature(settings):
    """The experiment without what changes no shape: rows of a table differ in little else, and building takes long."""
    usual = Experiment()
    same = {name: getattr(usual, name) for name in ("row", "evaluate", "ablate", "corpus", "text", "run", "export")}
    if settings.contextual:
        same["start_from"] = ""  # what it starts from gives the sizes, and is not here
        same["examples"] = dataclasses.replace(settings.examples, sets=usual.examples.sets)
    rate = {"learning_rate": 0.1, "warmup": 0.0, "final_learning_rate": 0.0}
    return dataclasses.replace(settings, **same, optimizer=dataclasses.replace(settings.optimizer, **rate))


@functools.cache
def parameters(settings):
    """How many an experiment's model has, built at full size."""
    job = architectures.planned(settings, 50000, mesh.make(settings.mesh, jax.devices()[:1]))
    return sum(leaf.size for leaf in jax.tree.leaves(job.like()["params"]))
