"""Curves of pruning by masks, and the smaller models that give the same vectors."""
import json
import time
import types

import numpy as np
import pytest
from heads.conftest import UNEQUAL, texts, tiny

import embeddings
from embeddings.contextual import folder, removal
from embeddings.evaluation.sts import Pairs
from embeddings.heads import ablation, measures, parts, pruning
from embeddings.heads.measures import halves
from embeddings.problems import Problem, UsageProblem

GONE = ((0, 1), (0, 3), (1, 0), (2, 0), (2, 1), (2, 2))
EVERY = [(layer, head) for layer in range(3) for head in range(4)]


@pytest.fixture(scope="module")
def measure():
    some = texts(13)
    return measures.of_pairs(Pairs("toy", tuple(some[:-1]), tuple(some[1:]), np.arange(12.0) % 5))


def test_removed_heads_are_masked_ones(model):
    some, mask = texts(12), np.ones((3, 4), np.float32)
    for place in GONE:
        mask[place] = 0
    expected = model.encode(some, head_mask=mask)
    less = removal.removed(model, removal.kept(model, GONE))
    assert less.config.stack.kept == UNEQUAL
    np.testing.assert_allclose(less.encode(some), expected, atol=2e-6)
    one_head = 3 * (24 * 6 + 6) + 6 * 24  # W and b of query, key and value; W of the output
    assert removal.parameters(model) - removal.parameters(less) == len(GONE) * one_head
    again = removal.removed(less, removal.kept(less, [(1, 2)]))
    mask[1, 2] = 0
    np.testing.assert_allclose(again.encode(some), model.encode(some, head_mask=mask), atol=2e-6)


@pytest.mark.parametrize("gone", [[(0, 0), (1, 1), (2, 3)], [(1, h) for h in range(4)]])
def test_equal_numbers_of_heads_and_layers_without_any(model, gone):
    some, mask = texts(12), np.ones((3, 4), np.float32)
    mask[tuple(zip(*gone, strict=True))] = 0
    less = removal.removed(model, removal.kept(model, gone))
    assert less.config.stack.equal == (len(gone) == 3)
    np.testing.assert_allclose(less.encode(some), model.encode(some, head_mask=mask), atol=2e-6)


def test_filled_gives_zeros_for_what_was_removed():
    less, some = tiny("bert", UNEQUAL), texts(12)
    whole = removal.filled(less)
    assert not whole.config.stack.kept
    np.testing.assert_allclose(whole.encode(some), less.encode(some), atol=2e-6)


def test_a_smaller_model_is_saved_and_read(model, tmp_path):
    less = removal.removed(model, UNEQUAL)
    folder.write(tmp_path / "less", less)
    read = embeddings.load(tmp_path / "less")
    assert read.config.stack.kept == UNEQUAL and removal.parameters(read) == removal.parameters(less)
    np.testing.assert_allclose(read.encode(texts(5)), less.encode(texts(5)), atol=2e-6)
    (tmp_path / "less/heads.json").unlink()  # as other programs read it
    whole = embeddings.load(tmp_path / "less")
    assert not whole.config.stack.kept
    np.testing.assert_allclose(whole.encode(texts(5)), less.encode(texts(5)), atol=2e-6)


@pytest.mark.parametrize("text", [
    "", "{}", '{"kept": [[0]]}', '{"kept": [[0], [1], [7]]}', '{"kept": [[0], [1, 0], []]}',
])
def test_a_damaged_list_of_heads_is_refused(model, tmp_path, text):
    folder.write(tmp_path / "whole", model)
    assert not (tmp_path / "whole/heads.json").exists()
    (tmp_path / "whole/heads.json").write_text(text)
    with pytest.raises(Problem, match=r"heads\.json: no list of the heads that are left of each layer"):
        folder.read(tmp_path / "whole")


def test_heads_that_are_not_there_are_refused(model):
    for place in ((3, 0), (0, 4)):
        with pytest.raises(UsageProblem, match=r"no head \d.\d to prune: layers 0 to 2, heads 0 to 3"):
            removal.kept(model, [place])


def test_a_curve_masks_heads_in_their_order(model, measure):
    told = []
    curve = pruning.by_order(model, measure, EVERY, 3, told.append)
    assert [point.pruned for point in curve] == [0, 4, 8, 12] and told == pytest.approx([1 / 3, 2 / 3, 1])
    assert curve[0].score == measure.score(measure.items(model.encode(measure.texts)))
    mask = np.ones((3, 4), np.float32)
    mask[:2] = 0
    assert curve[2].score == measure.score(measure.items(model.encode(measure.texts, head_mask=mask)))
    assert curve[1].heads == tuple(EVERY[:4])


def test_orders_are_found_on_one_half_and_scored_on_the_other(model, measure, tmp_path, monkeypatch):
    given = types.SimpleNamespace(points=3, greedy=4, prune=0.25, model="tiny", resamples=20, seed=0)
    work = parts.Work(given, model, measure, EVERY, tmp_path, lambda *_: None, time.perf_counter)
    list(parts.heads(work))
    learned_on, others = halves(len(measure.items(model.encode(measure.texts))))
    assert not set(learned_on) & set(others)
    scored, score = [], pruning.score
    monkeypatch.setattr(pruning, "score", lambda *args: scored.append(args) or score(*args))
    shown = "".join(parts.pruning(work))
    curves = [args for args in scored if args[1] is measure]
    assert len(curves) == 3 * 4 and all(args[3] is not None and set(args[3]) == set(others) for args in curves)
    greedy = [args for args in scored if args[1] is not measure]
    assert greedy and all(set(args[1].texts) <= set(measure.part(learned_on).texts) for args in greedy)
    lines = (tmp_path / "pruning.csv").read_text().splitlines()
    order = [place for line in lines[5:9] for place in line.rpartition(",")[2].split()]
    without = ablation.swept(model, measure, EVERY, tmp_path, lambda *_: None).without()
    losses = [measure.score(without[tuple(map(int, place.split(".")))], learned_on) for place in order]
    assert losses == sorted(losses, reverse=True) and len(order) == 12
    assert "scores are of the others" in shown and "3 heads removed" in shown


def test_greedy_takes_the_best_at_each_step(model, measure):
    curve = pruning.greedy(model, measure, 12, lambda _: None, until=0.25)
    assert [point.pruned for point in curve] == [0, 1, 2, 3]
    gone = []
    for point in curve[1:]:
        left = [place for place in EVERY if place not in gone]
        scores = {place: pruning.score(model, measure, [*gone, place]) for place in left}
        # vectors of both ways differ by rounding, which may exchange the ranks of a pair
        assert scores[point.heads[0]] >= max(scores.values()) - 0.01
        gone += point.heads


def test_models_that_lost_heads_already_are_refused(measure):
    with pytest.raises(Problem, match="has lost heads already"):
        pruning.score(tiny("bert", UNEQUAL), measure, [])


@pytest.mark.reference
def test_transformers_opens_it_with_equal_outputs(model, tmp_path):
    import torch
    import transformers

    less = removal.removed(model, UNEQUAL)
    folder.write(tmp_path / "less", less)
    opened = transformers.AutoModel.from_pretrained(tmp_path / "less").eval()
    text = texts(1)[0]
    with torch.no_grad():
        states = opened(torch.tensor(model.read([text]).ids[None].astype(np.int64))).last_hidden_state[0].numpy()
    np.testing.assert_allclose(states, less.tokens(text).vectors, atol=1e-5)
    assert json.loads((tmp_path / "less/config.json").read_text())["num_attention_heads"] == 4
