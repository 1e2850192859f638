"""Perplexity beside sums over the definition in numpy, and beside transformers."""
import sys

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from embeddings.contextual import folder as folders
from embeddings.evaluation import perplexity
from embeddings.evaluation.perplexity import Text
from embeddings.formats.families import FAMILIES
from embeddings.problems import Problem, UsageProblem

LINES = ["the bank of the river , and money", "one two three four five", "é walked"]
TEXT = Text("text", "\n".join(LINES * 3))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {family: small.contextual(tmp_path_factory.mktemp("t"), family) for family in ("gpt2", "bert")}


def log_p(model, ids, place, target):
    """log p of a word by the state at a place of a text."""
    rows = np.ones((4, 1, len(ids)), np.int32)
    rows[:, 0] = ids, np.ones(len(ids)), np.arange(len(ids)), np.zeros(len(ids))
    module, params = FAMILIES[model.family].model, jax.tree.map(jnp.asarray, model.params)
    hidden = apply(params, model.config, module, rows)
    s = np.asarray(module.logits(params, model.config, hidden[0, place][None]), np.float64)[0]
    return s[target] - s.max() - np.log(np.exp(s - s.max()).sum())


def apply(params, config, module, rows):
    """Padded to one length, or each would be compiled anew."""
    from embeddings.inputs.sequences import Tokens

    padded = np.pad(rows, ((0, 0), (0, 0), (0, small.LONGEST - rows.shape[2])))
    key = (module.__name__,)
    if key not in _COMPILED:
        _COMPILED[key] = jax.jit(lambda params, rows: module.apply(params, config, Tokens(*rows)).hidden)
    return _COMPILED[key](params, jnp.asarray(padded))


_COMPILED = {}


@pytest.mark.parametrize("stride", [None, 5, small.LONGEST])
def test_a_causal_model_predicts_each_token_once(models, stride):
    model = models["gpt2"]
    begin, L = model.tokenizer.begin, model.longest
    ids = [begin, *model.tokenizer.encode([TEXT.text], special=False).ids]
    step, loss = stride or L // 2, 0.0
    for t in range(1, len(ids)):
        first = next(start for start in range(0, len(ids), step) if t < start + L)
        loss -= log_p(model, ids[first : first + L], t - 1 - first, ids[t])
    got = perplexity.evaluate(model, TEXT, stride)
    words = sum(len(line.split()) for line in LINES) * 3
    assert got.value("text", "perplexity by words") == pytest.approx(np.exp(loss / words), rel=1e-4)
    assert got.value("text", "perplexity by tokens") == pytest.approx(np.exp(loss / (len(ids) - 1)), rel=1e-4)
    bits = loss / np.log(2) / len(TEXT.text.encode())
    assert got.value("text", "bits a byte") == pytest.approx(bits, rel=1e-4)
    assert got.measured[0].covered == len(ids) - 1 and got.method == f"stride {step}"


def test_a_masked_model_predicts_each_token_from_all_others(models):
    model = models["bert"]
    loss = number = 0
    for line in LINES:
        ids = model.tokenizer.encode([line]).ids
        for place in range(1, len(ids) - 1):
            hidden = ids.copy()
            hidden[place] = model.tokenizer.mask
            loss, number = loss - log_p(model, hidden, place, ids[place]), number + 1
    got = perplexity.evaluate(model, Text("text", "\n".join(LINES) + "\n\n"))
    words = sum(len(line.split()) for line in LINES)
    assert got.value("text", "perplexity by words") == pytest.approx(np.exp(loss / words), rel=1e-4)
    assert got.measured[1].total == number and got.method == "pseudo"


def test_lines_longer_than_a_masked_model_are_cut(models):
    rows = list(perplexity.masked_rows(models["bert"], "the " * 50))
    assert [len(row.ids) for row in rows] == [24] * 44 + [8] * 6
    assert all(row.ids[row.places[0]] == 4 and row.targets[0] == 5 for row in rows)
    assert {int(row.places[0]) for row in rows} == set(range(1, 23))


def test_what_is_refused(models, tmp_path):
    with pytest.raises(UsageProblem, match="--stride=25: the model reads 24 tokens: choose fewer"):
        perplexity.evaluate(models["gpt2"], TEXT, 25)
    with pytest.raises(UsageProblem, match="--stride is for causal models"):
        perplexity.evaluate(models["bert"], TEXT, 5)
    with pytest.raises(Problem, match="this model predicts no words: name one that was saved with"):
        perplexity.evaluate(small.contextual(tmp_path / "t", "mpnet"), TEXT)
    (tmp_path / "blank").write_text(" \n")
    for name, says in (("blank", "blank: holds no words"), ("absent", "absent: no file of text")):
        with pytest.raises(Problem, match=says):
            perplexity.read(tmp_path / name)


def test_the_command(tmp_path):
    small.saved(tmp_path / "model", "gpt2")
    (tmp_path / "text").write_text(TEXT.text)
    command = [sys.executable, "-m", "embeddings.evaluate", f"--model={tmp_path / 'model'}", "--task=perplexity"]
    done = commands.run([*command, f"--text={tmp_path / 'text'}", "--stride=6"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if "perplexity by words" in line)
    expected = perplexity.evaluate(folders.read(tmp_path / "model"), Text("text", TEXT.text), 6)
    assert "stride 6" in row and f"{expected.value('text', 'perplexity by words'):.1f}" in row
    done = commands.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith("no text is named: name a file with --text\n")


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_equal_to_transformers(tmp_path):
    """Their loss of GPT-2 in windows, as their guide to perplexity of fixed-length models sums it up."""
    import torch
    from transformers import GPT2LMHeadModel

    folder = small.saved(tmp_path / "model", "gpt2")
    theirs, ours = GPT2LMHeadModel.from_pretrained(folder).eval(), folders.read(folder)
    ids = torch.tensor([[ours.tokenizer.begin, *ours.tokenizer.encode([TEXT.text], special=False).ids]]).long()
    stride, before, loss = 8, 1, 0.0
    for first in range(0, ids.shape[1], stride):
        last = min(first + ours.longest, ids.shape[1])
        window, new = ids[:, first:last], last - before
        target = window.clone()
        target[:, :-new] = -100
        with torch.no_grad():
            loss += theirs(window, labels=target).loss.item() * new
        before = last
        if last == ids.shape[1]:
            break
    got = perplexity.evaluate(ours, TEXT, stride).value("text", "perplexity by tokens")
    assert got == pytest.approx(np.exp(loss / (ids.shape[1] - 1)), rel=1e-5)
