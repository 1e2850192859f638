"""metrics.jsonl starts again behind a checkpoint; TensorBoard gets the same numbers."""
import json
import sys

import pytest

from embeddings.problems import UsageProblem
from embeddings.training.metrics import Lines, TensorBoard


def test_lines_after_the_step_and_half_lines_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = Lines(path, 0)
    for step in (10, 20, 30):
        lines.write(step, {"loss": 1 / step})
    lines.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 40, "lo')
    again = Lines(path, 20)
    again.write(30, {"loss": 1 / 30})
    again.close()
    assert path.read_bytes() == whole
    assert [json.loads(line) for line in whole.splitlines()][1] == {"step": 20, "loss": 0.05}


def test_tensorboard_is_a_copy(tmp_path):
    pytest.importorskip("tensorboardX")
    sink = TensorBoard(tmp_path / "tensorboard", 0)
    sink.write(7, {"loss": 0.25})
    sink.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"loss" in events.read_bytes()


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UsageProblem, match=r"--log.tensorboard needs tensorboardX: pip install 'embeddings\[tensor"):
        TensorBoard(tmp_path, 0)
