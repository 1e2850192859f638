"""Tensors by name, whichever of a folder's files they are in."""
import json
import struct

import numpy as np
import pytest

from embeddings.formats import tensors
from embeddings.problems import Problem

A, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, -2], np.int64)


@pytest.fixture
def whole(tmp_path):
    tensors.write(tmp_path, {"a": A, "b": B})
    return tmp_path


def by_hand(path, **named):
    """A .safetensors file, after its definition: length of the header, header, numbers."""
    header, data = {}, b""
    for name, (kind, shape, content) in named.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    said = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(said)) + said + data)


def test_tensors_come_back(whole):
    found = tensors.Tensors(whole)
    assert set(found) == {"a", "b"} and len(found) == 2 and "c" not in found
    assert found.shape("a") == (2, 3) and found.file("b") == whole / tensors.WHOLE
    np.testing.assert_array_equal(found["a"], A)
    np.testing.assert_array_equal(found["b"], B)
    assert found["b"].dtype == np.int64, "whole numbers stay"


def test_a_view_is_written_as_it_reads(tmp_path):
    tensors.write(tmp_path, {"turned": A.T})
    np.testing.assert_array_equal(tensors.Tensors(tmp_path)["turned"], A.T)


def test_shorter_numbers_become_float32(tmp_path):
    values = np.array([1.5, -0.25, 3e4], np.float32)
    upper = (values.view(np.uint32) >> 16).astype("<u2")
    by_hand(tmp_path / tensors.WHOLE, bf=("BF16", [3], upper.tobytes()),
            f2=("F16", [3], values.astype("<f2").tobytes()), f8=("F64", [3], values.astype("<f8").tobytes()))
    found = tensors.Tensors(tmp_path)
    np.testing.assert_array_equal(found["bf"], (upper.astype(np.uint32) << 16).view(np.float32))
    np.testing.assert_array_equal(found["f2"], values.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(found["f8"], values)
    assert {found[name].dtype for name in found} == {np.dtype(np.float32)}


def test_tensors_of_several_files(tmp_path):
    for name, file in (("a", "model-1.safetensors"), ("b", "model-2.safetensors")):
        by_hand(tmp_path / file, **{name: ("F32", [1], np.float32(ord(name)).tobytes())})
    index = {"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / tensors.INDEX).write_text(json.dumps(index))
    found = tensors.Tensors(tmp_path)
    assert {name: found[name].item() for name in found} == {"a": ord("a"), "b": ord("b")}
    assert found.file("b").name == "model-2.safetensors"
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(Problem, match=r"model-2\.safetensors: no such file: copy"):
        tensors.Tensors(tmp_path)


@pytest.mark.parametrize("cut", [3, 30, -1, 0])
def test_a_file_that_was_cut_off(whole, cut):
    path = whole / tensors.WHOLE
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(Problem, match=r"model\.safetensors: damaged or cut off .*: copy it again") as problem:
        tensors.Tensors(whole)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 3}', "{}"])
def test_an_index_that_is_none(whole, content):
    (whole / tensors.INDEX).write_text(content)
    with pytest.raises(Problem, match=r"index\.json: no index of tensors .*: copy it again"):
        tensors.Tensors(whole)


def test_pickles_are_not_opened(tmp_path):
    with pytest.raises(Problem, match=r"model\.safetensors: no such file"):
        tensors.Tensors(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"whatever")
    with pytest.raises(Problem, match=r"pytorch_model\.bin: only safetensors .*save_pretrained\('NEW'\)"):
        tensors.Tensors(tmp_path)
