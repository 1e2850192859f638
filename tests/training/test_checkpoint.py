"""A checkpoint is whole or it is passed over."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings import experiment
from embeddings.problems import Problem
from embeddings.training import checkpoint, mesh
from embeddings.training.step import state_shardings


def state(step: int) -> dict:
    table = jnp.arange(24.0).reshape(6, 4) + step
    return {"params": {"input": table, "output": -table}, "optimizer": (), "step": jnp.int32(step)}


def like(tree):
    here = mesh.make(experiment.Mesh(), jax.devices()[:1])
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, state_shardings(here, tree)
    )


@pytest.fixture
def saved(tmp_path):
    saver = checkpoint.Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (1, 2, 3):
        saver.save(step, state(step))
    saver.close()
    return tmp_path / "checkpoints"


def test_what_was_saved_comes_back(saved):
    saver = checkpoint.Checkpoints(saved, keep=2)
    step, found = saver.restore(like(state(0)))
    saver.close()
    assert step == 3
    jax.tree.map(np.testing.assert_array_equal, found, state(3))


def test_only_the_newest_are_kept(saved):
    assert checkpoint.steps(saved) == [3, 2]


def test_a_changed_byte_sends_the_reader_to_the_one_before(saved):
    victim = max((p for p in (saved / "3").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    assert checkpoint.newest(saved) == 2
    step, params = checkpoint.read_params(saved)
    assert step == 2
    np.testing.assert_array_equal(params["input"], state(2)["params"]["input"])


def test_a_half_deleted_and_an_unsealed_one_are_passed_over(saved):
    (saved / "3" / checkpoint.MANIFEST).unlink()
    assert checkpoint.newest(saved) == 2
    next(p for p in (saved / "2").rglob("*") if p.is_file() and p.name != checkpoint.MANIFEST).unlink()
    assert checkpoint.newest(saved) is None
    with pytest.raises(Problem, match="no whole checkpoint"):
        checkpoint.read_params(saved)


def test_a_broken_step_is_written_again(saved):
    (saved / "3" / checkpoint.MANIFEST).unlink()
    saver = checkpoint.Checkpoints(saved, keep=2)
    assert saver.restore(like(state(0)))[0] == 2
    saver.save(3, state(3))
    saver.close()
    assert checkpoint.newest(saved) == 3


def test_an_empty_folder_restores_nothing(tmp_path):
    saver = checkpoint.Checkpoints(tmp_path / "checkpoints", keep=1)
    assert saver.restore(like(state(0))) is None
    saver.close()
