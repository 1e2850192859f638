"""Models by the name that they have on the Hugging Face hub, kept in its cache."""
import re
from pathlib import Path

from embeddings.problems import Problem

OWNER = "sentence-transformers"
"""Whose a name without owner is, such as all-MiniLM-L6-v2."""
FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.hdf5"]
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_name(text: str) -> bool:
    """Whether this can be a name on the hub."""
    return bool(_NAME.fullmatch(text))


def fetched(name: str) -> Path:
    """The folder of a model by its name, downloaded where it is not in the cache.

    Raises Problem where there is no such model or no network.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    full = name if "/" in name else f"{OWNER}/{name}"
    try:
        return Path(hub.snapshot_download(full, allow_patterns=FILES))
    except RepositoryNotFoundError:
        raise Problem(f"{name}: no such file or folder, and no model {full} on the hub: correct the name") from None
    except (LocalEntryNotFoundError, OSError, hub.errors.HfHubHTTPError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Problem(f"{name}: no such file or folder, and {full} is not in the cache and could not be downloaded "
                      f"({type(error).__name__}: {reason[:200]}): name a folder, or try again with a network") from None
