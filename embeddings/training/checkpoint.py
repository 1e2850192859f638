"""State on disk: Orbax writes and reads it, a manifest of SHA-256 says which of it is whole.

A checkpoint is RUN/checkpoints/STEP with two items, `params` and `rest` (optimizer and step), and manifest.json, which
is written last, when all processes' files are in place. What has no manifest, or differs from it, was cut off while it
was written or deleted, and is passed over.
"""
import json
import threading
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from embeddings.files import named, sha256, write_whole
from embeddings.problems import Problem

MANIFEST = "manifest.json"


def seal(folder: Path) -> None:
    """Writes the manifest of a finished checkpoint: the SHA-256 of every other file, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    digests = {str(file.relative_to(folder)): sha256(file) for file in files}
    write_whole(folder / MANIFEST, json.dumps(digests, indent=1) + "\n")


def verified(folder: Path) -> bool:
    """Whether a checkpoint folder holds all that its manifest says, unchanged."""
    try:
        expected = json.loads((folder / MANIFEST).read_text())
        return all(sha256(folder / name) == digest for name, digest in expected.items())
    except (OSError, ValueError):
        return False


def steps(folder: Path) -> list[int]:
    """Steps that have a folder below `folder`, whole or not, newest first."""
    if not folder.is_dir():
        return []
    return sorted((int(p.name) for p in folder.iterdir() if p.name.isdecimal()), reverse=True)


def newest(folder: Path) -> int | None:
    """The newest step below `folder` that verifies, or None."""
    return next((step for step in steps(folder) if verified(folder / str(step))), None)


def read_params(folder: Path) -> tuple[int, Any]:
    """Step and parameters (without the optimizer) of the newest whole checkpoint, on this process's first device.

    Raises Problem when there is none.
    """
    step = newest(folder)
    if step is None:
        raise Problem(f"{folder}: no whole checkpoint yet: train further, or name another run")
    return step, read_item(folder / str(step) / "params")


def read_item(path: Path) -> Any:
    """All arrays of an item of a checkpoint, `params` or `rest`, on this process's first device."""
    path = path.resolve()
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    shapes = ocp.PyTreeCheckpointHandler().metadata(path).tree
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), shapes)
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path, target)


class Checkpoints:
    """Saves a training state (params, optimizer, step) and finds it again; keeps the newest `keep`.

    Saving returns when the state is copied; writing and sealing go on beside the next steps. Every process calls
    every method; process 0 seals.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        """`folder` is made if needed; `keep` checkpoints stay, the newest."""
        self.folder = folder
        self._sealing: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._manager = ocp.CheckpointManager(
            folder.resolve(),
            item_names=("params", "rest"),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, cleanup_tmp_directories=True, enable_should_save_is_saving_in_progress_check=False
            ),
        )

    def save(self, step: int, state: Any) -> None:
        """Starts to write `state` as `step`, after the one before is sealed."""
        self.wait()
        if step in self._manager.all_steps():
            if verified(self.folder / str(step)):
                return
            self._manager.delete(step)
        rest = {name: part for name, part in state.items() if name != "params"}
        args = ocp.args.Composite(params=ocp.args.StandardSave(state["params"]), rest=ocp.args.StandardSave(rest))
        with named(self.folder):
            self._manager.save(step, args=args, force=True)
        self._sealing = threading.Thread(target=self._seal, args=(step,), name="seal")
        self._sealing.start()

    def _seal(self, step: int) -> None:
        try:
            with named(self.folder):
                self._manager.wait_until_finished()
            if jax.process_index() == 0:
                seal(self.folder / str(step))
        except BaseException as failure:  # raised again where the run sees it
            self._failure = failure

    def wait(self) -> None:
        """Returns when the last save is whole and sealed; raises what went wrong with it."""
        if self._sealing is not None:
            self._sealing.join()
            self._sealing = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """The newest whole checkpoint as (step, state), laid out as `like`; None where there is none.

        `like` is a state of jax.ShapeDtypeStruct with shardings, of this run's mesh; the one that wrote may differ.
        """
        step = newest(self.folder)
        if step is None:
            return None
        rest = {name: part for name, part in like.items() if name != "params"}
        args = ocp.args.Composite(params=ocp.args.StandardRestore(like["params"]), rest=ocp.args.StandardRestore(rest))
        found = self._manager.restore(step, args=args)
        return step, {"params": found["params"], **found["rest"]}

    def drop_after(self, step: int) -> list[int]:
        """Deletes the folders of later steps, which did not verify, as Orbax would keep them as the newest.

        Returns these steps. Raises Problem where `step` is 0 and one of them was whole once: it may be mended.
        """
        later = sorted(s for s in self._manager.all_steps() if s > step)
        sealed = [str(s) for s in later if (self.folder / str(s) / MANIFEST).exists()]
        if sealed and not step:
            raise Problem(
                f"{self.folder}: {', '.join(sealed)}: damaged, and there is no other to go on from: put the files back "
                "from a copy, or delete this folder to begin again"
            )
        for broken in later:
            self._manager.delete(broken)
        return later

    def close(self) -> None:
        """Waits for the last save and ends Orbax's threads."""
        self.wait()
        self._manager.close()
