"""Ablations end to end: equal to the obvious loop, resumed where they were cut off."""
import os

import numpy as np
import pytest
from heads.conftest import texts, tiny

from embeddings.evaluation.sts import Pairs
from embeddings.heads import ablation, drawing, measures
from embeddings.heads.pruning import Point
from embeddings.problems import Problem, UsageProblem

EVERY = tuple((layer, head) for layer in range(3) for head in range(4))


@pytest.fixture(scope="module")
def measure():
    some = texts(21)
    return measures.of_pairs(Pairs("toy", tuple(some[:-1]), tuple(some[1:]), np.arange(20.0) % 6))


@pytest.fixture(scope="module")
def done(model, measure, tmp_path_factory):
    return ablation.run(model, measure, EVERY, tmp_path_factory.mktemp("ablation"), lambda *_: None, resamples=100)


def test_scores_are_those_of_the_obvious_loop(model, measure, done):
    assert [(head.layer, head.head) for head in done.heads] == list(EVERY)
    assert done.score == pytest.approx(measure.score(measure.items(model.encode(measure.texts))))
    for head in done.heads:
        for value, mask in ((head.without, 1 - np.eye(4)[head.head]), (head.alone, np.eye(4)[head.head])):
            whole = np.ones((3, 4), np.float32)
            whole[head.layer] = mask
            vectors = model.encode(measure.texts, head_mask=whole)
            assert value == pytest.approx(measure.score(measure.items(vectors)), abs=0.01), "cosines nearly equal"
        assert head.change.value == pytest.approx(head.without - done.score)
        assert head.change.low <= head.change.high
    for layer in range(3):
        assert sum(head.importance**2 for head in done.heads if head.layer == layer) == pytest.approx(1)


def test_what_was_cut_off_goes_on(model, measure, done, tmp_path):
    class Cut(Exception):
        pass

    def cut(what, share):
        if what == "ablating heads" and share > 0.6:
            raise Cut

    with pytest.raises(Cut):
        ablation.run(model, measure, EVERY, tmp_path, cut, resamples=100)
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("*.npz")}
    assert {path.stem for path in there} == {"base", "layer_00"}
    assert ablation.run(model, measure, EVERY, tmp_path, lambda *_: None, resamples=100) == done
    assert all(path.stat().st_mtime_ns == then for path, then in there.items())
    (tmp_path / "parts" / "layer_01.npz").write_bytes(b"half a fi")
    assert ablation.run(model, measure, EVERY, tmp_path, lambda *_: None, resamples=100) == done
    with pytest.raises(Problem, match="holds the ablation of another model, task or choice"):
        ablation.run(model, measure, EVERY[:2], tmp_path, lambda *_: None)
    assert not [name for name in os.listdir(tmp_path / "parts") if name.endswith(".part")]


def test_heads_by_name():
    heads = ((0, 1, 2), (1, 3))
    assert ablation.chosen(heads, ()) == ((0, 0), (0, 1), (0, 2), (1, 1), (1, 3))
    assert ablation.chosen(heads, ("1.3", "0.0", "1.3")) == ((1, 3), (0, 0))
    for bad in ("2.0", "1.2", "0", "a.b", "-1.0", ""):
        with pytest.raises(UsageProblem, match=r"no such head: write LAYER.HEAD, layers 0 to 1, heads 0 to 3"):
            ablation.chosen(heads, (bad,))


@pytest.mark.slow  # sweeps a model of its own
def test_heads_of_a_pruned_model_keep_their_numbers(measure, tmp_path):
    model = tiny("bert", ((0, 2), (1, 2, 3), (3,)))
    assert ablation.heads_of(model, "") == ((0, 2), (1, 2, 3), (3,))
    done = ablation.run(model, measure, ((1, 3), (2, 3)), tmp_path, lambda *_: None, resamples=10)
    whole = (np.ones(2, np.float32), np.array([1, 1, 0], np.float32), np.ones(1, np.float32))
    vectors = model.encode(measure.texts, head_mask=whole)
    assert done.heads[0].without == pytest.approx(measure.score(measure.items(vectors)), abs=0.01)
    assert done.heads[1].importance == pytest.approx(1), "alone in its layer"


def test_models_without_heads_are_refused():
    with pytest.raises(Problem, match=r"--model=my.vec: WordVectors has no attention heads: name a Transformer"):
        ablation.heads_of(type("WordVectors", (), {})(), "my.vec")


def test_files(done):
    rows = [dict(zip(drawing.COLUMNS, row, strict=True)) for row in drawing.rows(done)]
    assert len(rows) == 12 and tuple(rows[0]) == drawing.COLUMNS
    assert rows[5]["without"] == done.heads[5].without and (rows[5]["layer"], rows[5]["head"]) == (1, 1)
    least = min(done.heads, key=lambda head: head.change.value)
    assert drawing.table(done).rows[0][:2] == (least.layer, least.head)
    assert len(drawing.table(done, 3).rows) == 3
    page = drawing.page(done, "a <model>")
    assert "a &lt;model&gt;" in page and page.count('title="layer') == 3 * 12
    assert "http" not in page and "<script" not in page and "src=" not in page
    np.testing.assert_allclose(drawing.grid(done, "alone")[2, 3], done.heads[11].alone)
    assert drawing.colour(-1.0, -1.0, 1.0, True) != drawing.colour(1.0, -1.0, 1.0, True)
    assert drawing.colour(float("nan"), 0.0, 1.0, False) == "#fff"
    assert drawing.colour(0.0, 0.0, 1.0, False) == "rgb(255,255,255)"
    pytest.importorskip("matplotlib")
    assert drawing.picture(done).startswith(b"\x89PNG")
    points = [Point(0, 0.5, ()), Point(1, 0.4, ((0, 1),))]
    assert drawing.curves("a curve", {"some order": points}).startswith(b"\x89PNG")
