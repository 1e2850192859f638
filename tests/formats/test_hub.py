import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from embeddings.formats import hub
from embeddings.problems import Problem


@pytest.mark.parametrize(("text", "name"), [
    ("all-MiniLM-L6-v2", True), ("bert-base/uncased_1.0", True), ("a/b/c", False), ("./mine", False), ("", False),
    ("runs/quick ", False), ("/tmp/x", False), ("a\nb", False),
])
def test_names(text, name):
    assert hub.is_name(text) is name


def test_a_name_without_owner_is_of_sentence_transformers(monkeypatch, tmp_path):
    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.fetched("mine") == hub.fetched("me/mine") == tmp_path
    assert [name for name, _ in asked] == ["sentence-transformers/mine", "me/mine"]
    assert not {"*.bin", "*.pkl", "*"} & set(asked[0][1]), "nothing that runs code when it is opened"


class Response:
    """As much of an answer as the errors look at."""

    headers, status_code, request = {}, 404, None


@pytest.mark.parametrize(("error", "says"), [
    (RepositoryNotFoundError("gone", response=Response()), "no model sentence-transformers/mine on the hub: correct"),
    (LocalEntryNotFoundError("cannot find files\nsee above"), r"not in the cache .*cannot find files\): name a"),
    (OSError("Network is unreachable"), r"Network is unreachable\): name a folder, or try again with a network"),
])
def test_what_cannot_be_had_is_said_in_one_line(monkeypatch, error, says):
    def download(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(Problem, match=f"^mine: no such file or folder, and .*{says}") as problem:
        hub.fetched("mine")
    assert "\n" not in str(problem.value)
