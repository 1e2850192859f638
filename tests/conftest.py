"""What all tests share: where the real data is, and shape checks on every call of the package."""
import os
import pathlib

import pytest
from jaxtyping import install_import_hook

install_import_hook("embeddings", "beartype.beartype")


@pytest.fixture(scope="session")
def data() -> pathlib.Path:
    """The folder of real data sets; tests that need it are left out where it is missing."""
    folder = os.environ.get("EMBEDDINGS_DATA")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("EMBEDDINGS_DATA names no folder of data sets")
    return pathlib.Path(folder)
