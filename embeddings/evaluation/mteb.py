"""Any model of this package as MTEB 2 asks for one: its EncoderProtocol. Needs the extra [mteb], which brings torch.

    import embeddings, mteb
    from embeddings.evaluation.mteb import Encoder

    encoder = Encoder(embeddings.load("runs/sentences"), "me/sentences")
    mteb.evaluate(encoder, mteb.get_tasks(tasks=["STSBenchmark"]))
"""
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from embeddings import similarity
from embeddings.evaluation.scores import encoded
from embeddings.problems import Problem


class Encoder:
    """A model in MTEB's terms; similarity is the cosine."""

    def __init__(self, model: Any, name: str, revision: str | None = None, *, device: str | None = None, **encode: Any):
        """`model` is what embeddings.load gives, `name` is OWNER/NAME, `encode` what its encode is told beside texts.

        JAX chooses the device. Raises Problem for a name without an owner.
        """
        if name.count("/") != 1:
            raise Problem(f"{name!r}: MTEB wants a name of the form OWNER/NAME")
        self.model, self.name, self.revision, self._encode = model, name, revision or "no_revision_available", encode

    @property
    def mteb_model_meta(self) -> Any:
        """What MTEB writes beside its results."""
        try:
            from mteb.models.model_meta import ModelMeta, ScoringFunction
        except ImportError:
            raise Problem("mteb is not installed: pip install -e '.[mteb]'") from None
        sizes = [size for size in (getattr(self.model, "width", None), self._encode.get("truncate_dim")) if size]
        return ModelMeta.create_empty({
            "name": self.name, "revision": self.revision, "max_tokens": getattr(self.model, "longest", None),
            "embed_dim": min(sizes, default=None), "similarity_fn_name": ScoringFunction.COSINE,
            "use_instructions": bool(self._prompts),
        })

    @property
    def _prompts(self) -> Mapping[str, str]:
        return getattr(getattr(self.model, "pipeline", None), "prompts", {})

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: Any = None,
        **_: Any,
    ) -> Float[np.ndarray, "n E"]:
        """A row a text of all batches; blank ones get zeros.

        Of the model's prompts, the one named after the task or its type stands before the texts, or that of queries or
        passages: the most special that there is, as MTEB orders them.
        """
        texts = [text for batch in inputs for text in batch["text"]]
        name = prompt_name(self._prompts, task_metadata, prompt_type)
        more = self._encode | ({} if name is None else {"prompt_name": name})
        return encoded(lambda some: self.model.encode(some, **more), texts)[0]

    def similarity(self, a: Any, b: Any) -> Float[np.ndarray, "n m"]:
        """The cosine of each row of one with each of the other."""
        return np.asarray(similarity.cosine(*map(_rows, (a, b))))

    def similarity_pairwise(self, a: Any, b: Any) -> Float[np.ndarray, "n"]:
        """The cosine of each row of one with its own of the other."""
        a, b = (np.asarray(similarity.unit(_rows(x))) for x in (a, b))
        return (a * b).sum(axis=1)


def _rows(array: Any) -> Float[np.ndarray, "n E"]:
    return np.atleast_2d(np.asarray(array, np.float32))


def prompt_name(prompts: Mapping[str, str], task: Any, kind: Any) -> str | None:
    """Which of the prompts is for a task and a kind of text (`query`, `document`); None where none is."""
    kind = None if kind is None else str(getattr(kind, "value", kind))
    names = [task.name, task.type]
    wanted = [name for own in names for name in ((f"{own}-{kind}",) if kind else ()) + (own,)]
    return next((name for name in (*wanted, kind) if name in prompts), None)
