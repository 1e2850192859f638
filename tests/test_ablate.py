"""The command that takes Transformers apart."""
import itertools
import os
import subprocess
import sys

import commands
import jax
import pytest
from heads.conftest import headed, texts, tiny

import embeddings
from embeddings import ablate
from embeddings.contextual import folder
from embeddings.problems import Problem, UsageProblem


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model's folder and a file of pairs."""
    place = tmp_path_factory.mktemp("ablate")
    folder.write(place / "tiny", tiny())
    some = texts(13)
    (place / "pairs.tsv").write_text("".join(f"{a}\t{b}\t{n % 5}\n" for n, (a, b) in enumerate(
        itertools.pairwise(some))))
    (place / "words.vec").write_text("2 3\na 1 0 0\nb 0 1 0\n")
    sentence = [("the", 2, "det"), ("dog", 3, "nsubj"), ("sees", 0, "root"), ("fish", 3, "obj")]
    (place / "some.conllu").write_text("\n".join("".join(
        f"{n}\t{word}\t_\t_\t_\t_\t{head}\t{how}\t_\t_\n" for n, (word, head, how) in enumerate(sentence, 1))
        for _ in range(30)))
    return place


def test_it_writes_csv_table_page_and_picture(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jax.local_devices", lambda: jax.devices()[:1])
    flags = ablate.Flags(str(place / "tiny"), str(tmp_path / "out"), str(place / "pairs.tsv"), resamples=50)
    ablate.main(flags, [])
    shown = capsys.readouterr()
    assert shown.out.startswith("pairs: Spearman's rho ") and "ablating heads: " in shown.err
    assert len((tmp_path / "out/heads.csv").read_text().splitlines()) == 1 + 12
    assert {"heads.csv", "heads.html", "heads.md", "parts"} <= set(os.listdir(tmp_path / "out"))
    before = (tmp_path / "out/heads.csv").read_bytes()
    ablate.main(flags, [])
    assert (tmp_path / "out/heads.csv").read_bytes() == before
    assert "ablating" not in capsys.readouterr().err, "all of it was known"


@pytest.mark.slow  # every part of the command
def test_the_other_parts_write_their_files(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jax.local_devices", lambda: jax.devices()[:1])
    out = tmp_path / "out"
    flags = ablate.Flags(str(place / "tiny"), str(out), str(place / "pairs.tsv"), steps=2, points=3, greedy=6,
                         clusters=2, part=("patterns", "pruning", "gates", "layers"),
                         sentence="the old dog", head=("1.2",))
    ablate.main(flags, [])
    shown = capsys.readouterr().out
    assert "layer 1, head 2\n" in shown and "Clusters of heads" in shown and "of 12 heads closed" in shown
    assert "6 heads removed" in shown and "pooled" in shown
    names = {f"{name}.{kind}" for name in ("patterns", "pruning", "gates", "layers") for kind in ("csv", "md")}
    assert names | {"attention.html", "pruned", "gated"} == set(os.listdir(out)) - {"pruning.png"}
    assert len((out / "pruning.csv").read_text().splitlines()) == 1 + 2 * 4, "by gradient and greedily"
    assert sum(map(len, embeddings.load(out / "pruned").config.stack.kept)) == 6


@pytest.mark.slow  # every part of the command
def test_a_cross_encoder_is_taken_apart_by_its_own_classes(place, tmp_path, capsys, monkeypatch):
    """A folder as transformers saves it; its smaller models are such folders again."""
    monkeypatch.setattr("jax.local_devices", lambda: jax.devices()[:1])
    model, out, some = headed(("no", "yes"), True), tmp_path / "out", texts(13)
    folder.write(tmp_path / "cross", model)
    (tmp_path / "mine.tsv").write_text("".join(f"{a}\t{b}\t{('no', 'yes')[n % 2]}\n" for n, (a, b) in enumerate(
        itertools.pairwise(some))))
    ablate.main(ablate.Flags(
        str(tmp_path / "cross"), str(out), str(tmp_path / "mine.tsv"), steps=2, points=3, greedy=6, clusters=2,
        part=("heads", "patterns", "pruning", "gates", "layers"), sentence="the old dog\ta cat", resamples=20), [])
    shown = capsys.readouterr().out
    pairs = [*itertools.pairwise(some)]
    right = sum(a == b for a, b in zip(model.classify(pairs).labels, ("no", "yes") * 6, strict=True)) / 12
    assert f"mine: accuracy {right:.4f}" in shown and "6 heads removed; accuracy" in shown
    assert len((out / "pruning.csv").read_text().splitlines()) == 1 + 3 * 4, "by gradient, ablation and greedily"
    less = embeddings.load(out / "pruned")
    assert sum(map(len, less.config.stack.kept)) == 6 and less.classify(pairs).probabilities.shape == (12, 2)


def test_dependencies_need_a_treebank_and_no_task(place, tmp_path):
    """Nor the folder of data sets; through the command itself."""
    out = tmp_path / "out"
    done = commands.run(
        [sys.executable, "-m", "embeddings.ablate", f"--model={place / 'tiny'}", "--part=dependencies",
         f"--text={place / 'some.conllu'}", f"--output={out}", "--head=1.2,2.0"],
        env={name: value for name, value in os.environ.items() if name != "EMBEDDINGS_DATA"}, capture_output=True,
        text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Dependencies: some.conllu\nrelation  words  LAYER.HEAD  direction") and (
        "\nall         120  " in done.stdout and "\ndet" not in done.stdout and "The best of 2 heads" in done.stdout)
    lines = (out / "dependencies.csv").read_text().splitlines()
    assert lines[0] == "layer,head,relation,direction,accuracy,words,offset,baseline"
    assert len(lines) == 1 + 2 * 2 * 4 and lines[1].startswith("1,2,all,dependent to head,")
    assert lines[3].startswith("1,2,det,dependent to head,") and lines[3].endswith(",30,1,1.0")
    assert "| det | 30 |" in (out / "dependencies.md").read_text() and len(os.listdir(out)) == 2


@pytest.mark.parametrize(("part", "more", "says"), [
    ((), {}, "--part is empty: choose heads, patterns, dependencies, pruning, gates or layers"),
    (("dependencies",), {}, "--part=dependencies: name a treebank, in CoNLL-U or CoNLL-X, with --text"),
    (("heads", "dependencies"), {"text": "a", "task": "masked-lm"}, "--part=dependencies takes --text too, which"),
    (("heads",), {"text": "a"}, "--task=sts-b: leave out --text"),
    (("heads",), {"task": "perplexity"}, "--task=perplexity: name a file of lines with --text"),
])
def test_flags_that_do_not_go_together_are_refused(part, more, says):
    with pytest.raises(UsageProblem, match=f"^{says}"):
        ablate.Flags("m", "o", part=part, **more).validate()


@pytest.mark.parametrize(("flags", "kind", "says"), [
    ({"head": ("3.0",)}, UsageProblem, "--head=3.0: no such head: write LAYER.HEAD, layers 0 to 2, heads 0 to 3"),
    ({"model": "words.vec"}, Problem, "words.vec: WordVectors has no attention heads: name a Transformer"),
    ({"task": "stsb"}, UsageProblem, "--task=stsb: choose sts-b"),
    ({"output": "pairs.tsv"}, Problem, "pairs.tsv: is a file: name a folder"),
    ({"data": "nowhere"}, Problem, "nowhere: no such folder"),
    ({"part": ("dependencies",), "text": "none.conllu"}, Problem, "none.conllu: no file of dependencies (FileNotFound"),
    ({"part": ("dependencies",), "text": "pairs.tsv"}, Problem, "pairs.tsv:1: 3 columns where CoNLL-U and CoNLL-X"),
])
def test_bad_input_is_one_line(place, tmp_path, monkeypatch, flags, kind, says):
    monkeypatch.chdir(place)
    given = {"model": "tiny", "output": str(tmp_path / "out"), "task": "pairs.tsv", **flags}
    with pytest.raises(kind) as raised:
        ablate.main(ablate.Flags(**given), [])
    assert says in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_help_answers_at_once():
    done = subprocess.run([sys.executable, "-m", "embeddings.ablate", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--head" in done.stdout and "sts-b" in done.stdout
