"""Named tensors of a model's folder: .safetensors files, one or several with an index."""
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.formats.streams import written
from embeddings.problems import Problem

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


class Tensors(Mapping[str, np.ndarray]):
    """The tensors of a folder by name, read when asked for: floating-point ones as float32.

    Raises Problem where the folder has none, only pickled ones (which run code when they are opened), or damaged files.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._files = {name: file for file in _files(folder) for name in _opened(file).keys()}  # noqa: SIM118
        self._open = {file: _opened(file) for file in set(self._files.values())}

    def __getitem__(self, name: str) -> np.ndarray:
        file = self._open[self._files[name]]
        if file.get_slice(name).get_dtype() != "BF16":
            found = file.get_tensor(name)
        else:  # numpy has no such type; JAX has
            found = np.asarray(_opened(self._files[name], "flax").get_tensor(name).astype("float32"))
        return found.astype(np.float32) if np.issubdtype(found.dtype, np.floating) else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        return tuple(self._open[self._files[name]].get_slice(name).get_shape())

    def file(self, name: str) -> Path:
        """The file that a tensor is in."""
        return self._files[name]


def _files(folder: Path) -> list[Path]:
    """The files of a folder that hold its tensors."""
    index = folder / INDEX
    if index.is_file():
        try:
            names = json.loads(index.read_bytes())["weight_map"].values()
            files = [folder / name for name in dict.fromkeys(names)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Problem(f"{index}: no index of tensors ({error!r}): copy it again") from None
    else:
        files = [folder / WHOLE]
    missing = [file for file in files if not file.is_file()]
    if not missing:
        return files
    pickled = next((found for pattern in PICKLED for found in sorted(folder.glob(pattern))), None)
    if pickled and files == [folder / WHOLE]:
        raise Problem(
            f"{pickled}: only safetensors are read, since opening a pickle can run any code; if you trust it: python "
            f"-c \"from transformers import AutoModel as A; A.from_pretrained('{folder}').save_pretrained('NEW')\""
        )
    raise Problem(f"{missing[0]}: no such file: copy the model's folder again")


def _opened(file: Path, framework: str = "np") -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework)
    except (SafetensorError, OSError) as error:
        raise Problem(f"{file}: damaged or cut off ({str(error).strip()}): copy it again") from None


def write(folder: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a folder's tensors as one file, whole or not at all."""
    from safetensors.numpy import save

    with written(folder / WHOLE) as file:
        file.write(save({name: np.ascontiguousarray(t) for name, t in tensors.items()}, metadata={"format": "pt"}))
