"""What "contextual" means: the word "bank" in ten sentences, and whose bank is nearest to whose.

    python experiments/bert/bank.py --model=all-MiniLM-L6-v2

A table of word vectors has one vector for "bank", so all ten are alike, and only the words around can tell them apart:
their mean is the best that such a table can do. In a contextual model the word itself has another vector in each
sentence. Both are of the same model here: the static vectors are the rows of its word table.
"""
import dataclasses

from embeddings import command

WORD = "bank"
SENTENCES = {
    "river": (
        "We tied the canoe to a root on the bank and ate our bread in the sun.",
        "After the storm the stream had eaten away half of its bank.",
        "An otter slid down the muddy bank and was gone.",
        "She cast her line from the far bank, where the reeds are thin.",
        "Willows hold the bank together when the water is high.",
    ),
    "money": (
        "The bank wants two signatures before it opens an account.",
        "He asked the bank for a loan to mend the roof.",
        "My bank charges a fee whenever I pay abroad.",
        "The clerk at the bank counted the notes twice.",
        "Interest at this bank is hardly worth the trip.",
    ),
}
"""By the sense of the word."""


@dataclasses.dataclass(frozen=True)
class Flags:
    """Whose vectors."""

    model: str
    """A folder of transformers or sentence-transformers, a run's folder, or a hub's name."""
    layer: int = -1
    """Whose states are contextual: -1 for the last layer."""


def main(flags: Flags, words: list[str]) -> None:
    """Prints, for each sentence, the nearest other one by each kind of vector."""
    import numpy as np

    from embeddings import encoder, similarity
    from embeddings.evaluation.table import Table

    model = encoder.load(flags.model)
    senses = [sense for sense, some in SENTENCES.items() for _ in some]
    sentences = [sentence for some in SENTENCES.values() for sentence in some]
    static, contextual = [], []
    for found in model.tokens(sentences, layer=flags.layer):
        around = [i for i, (a, b) in zip(found.ids, found.offsets, strict=True) if b > a]
        static.append(np.asarray(model.params["words"])[around].mean(axis=0))
        contextual.append(found.vectors[[token.strip("\u0120\u2581") for token in found.tokens].index(WORD)])
    rows, right = [], {}
    scores = {"static": static, "contextual": contextual}
    nearest = {}
    for kind, vectors in scores.items():
        cosines = np.array(similarity.cosine(np.stack(vectors), np.stack(vectors)))
        np.fill_diagonal(cosines, -np.inf)
        nearest[kind] = [(int(row.argmax()), float(row.max())) for row in cosines]
        right[kind] = sum(senses[n] == senses[found] for n, (found, _) in enumerate(nearest[kind]))
    for n, sentence in enumerate(sentences):
        cells = [cell for kind in scores for cell in (f"{nearest[kind][n][0]} {senses[nearest[kind][n][0]]}",
                                                      nearest[kind][n][1])]
        rows.append((n, senses[n], *cells, sentence))
    columns = ("", "sense", "static: nearest", "cosine", "contextual: nearest", "cosine", "sentence")
    note = ", ".join(f"{kind} {number} of {len(sentences)}" for kind, number in right.items())
    print(Table(f"{WORD} in {len(sentences)} sentences", columns, tuple(rows), (f"Nearest of the same sense: {note}.",))
          .text())


if __name__ == "__main__":
    command.run(main, Flags)
