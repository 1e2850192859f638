"""Corpora by name: where their files are published, and the digest that shows that they arrived whole.

Looked for below the data folder, then in the cache, then downloaded. A corpus made of many published files is checked
by the digest of what they are joined to.
"""
import dataclasses
from collections.abc import Callable
from pathlib import Path

from embeddings.corpus.downloads import check, download

_GITHUB = "https://raw.githubusercontent.com"
_WIKI = f"{_GITHUB}/Vibhas-hs-edu/WikiTasks/52b1f163137bc40b0f67cbf129d5dab4f6fd5901/text/AA"
_NOVELS = f"{_GITHUB}/computationalstylistics/100_english_novels/143e601875d70e195f2cc5ebd8b034609271194d/corpus"
_WIKITEXT = f"{_GITHUB}/pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/word_language_model/data/wikitext-2"
_NLTK = f"{_GITHUB}/nltk/nltk_data/5db857e6f7df11eabb5e5665836db9ec8df07e28/packages/corpora"
_NOVEL_NAMES = (  # every third of the hundred
    "Anon_Clara_1864", "Barclay_Rosary_1909", "Bennet_Imperial_1930", "Blackmore_Springhaven_1887",
    "Braddon_Quest_1871", "Burnett_Princess_1905", "Cbronte_Villette_1853", "Chesterton_Thursday_1908",
    "Conrad_Rover_1923", "Corelli_Satan_1895", "Dickens_Oliver_1839", "Doyle_Micah_1889", "Eliot_Felix_1866",
    "Ford_Soldier_1915", "Forster_View_1908", "Galsworthy_Saints_1919", "Gaskell_Wives_1865", "Gissing_Women_1893",
    "Haggard_Sheallan_1921", "Hardy_Tess_1891", "James_Tragic_1890", "Kipling_Light_1891", "Lawrence_Women_1920",
    "Lee_Penelope_1903", "Lytton_What_1858", "Meredith_Richmond_1871", "Morris_Wood_1894", "Schreiner_Undine_1929",
    "Stevenson_Treasure_1883", "Thackeray_Virginians_1859", "Trollope_Warden_1855", "Ward_Milly_1881",
    "Wcollins_Woman_1860", "Woolf_Years_1937",
)


@dataclasses.dataclass(frozen=True)
class Given:
    """A file of the data folder: its path below it, its size in bytes and its SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Known:
    """A corpus that is one file when downloaded.

    `file` is its name in the cache, `bytes` its size (0: not published), `digest` its checksum as
    algorithm:hexadecimal; `urls` are the published files that it is, or is joined from, by `joined` (see
    downloads.download); `given` is the same text in the data folder, if it is there; `kind` is how it is read.
    """

    file: str
    bytes: int
    digest: str
    urls: tuple[str, ...]
    given: Given | None = None
    joined: Callable[[str, bytes], bytes] | None = None
    kind: str = ""


def _document(name: str, text: bytes) -> bytes:
    """A published file in a WikiExtractor `<doc>`, its lines ended by one byte."""
    return b'<doc file="%s">\n%s\n</doc>\n' % (name.encode(), text.replace(b"\r\n", b"\n"))


CORPORA = {
    "text8": Known(
        "text8.zip",
        31_344_016,
        "sha256:a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
        ("http://mattmahoney.net/dc/text8.zip",),
        kind="zip",
    ),
    "enwik9": Known(
        "enwik9.zip",
        322_592_222,
        "md5:3e773f8a1577fda2e27f871ca17f31fd",  # as torchtext publishes it; no SHA-256 of the archive is published
        ("http://mattmahoney.net/dc/enwik9.zip",),
        kind="wikipedia",
    ),
    "wikitext-2": Known(
        "wikitext-2-train.txt",
        0,
        "sha1:863f29c46ef9d167fff4940ec821195882fe29d1",  # as gluonnlp publishes it; no SHA-256 is published
        (f"{_WIKITEXT}/train.txt",),
    ),
    "wikitext-2-valid": Known(
        "wikitext-2-valid.txt",
        1_121_681,
        "sha256:f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        (f"{_WIKITEXT}/valid.txt",),
        Given(
            "corpora/wikitext-2/valid.txt.gz",
            373_158,
            "3ac34ae2b6509075d52302c50a04a8a1970739ffe1a904f2cd374fefbea3cbf2",
        ),
    ),
    "wikitext-2-test": Known(
        "wikitext-2-test.txt",
        1_256_449,
        "sha256:d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        (f"{_WIKITEXT}/test.txt",),
        Given(
            "corpora/wikitext-2/test.txt.gz",
            410_674,
            "a2b26b5d2619cc1f6cd34c8e116a451aed09af51479346aadfbf508ceb8b192e",
        ),
    ),
    "brown": Known(
        "brown.zip",
        3_314_357,
        "sha256:9b275f9b3b95d7bd66ccfb7cd259f445a13bbe5d1f4107aba09fd3e8364bafa6",
        (f"{_NLTK}/brown.zip",),
        Given("corpora/brown.zip", 3_314_357, "9b275f9b3b95d7bd66ccfb7cd259f445a13bbe5d1f4107aba09fd3e8364bafa6"),
        kind="brown",
    ),
    "enwiki-sample": Known(
        "enwiki-sample.txt",
        66_371_882,
        "sha256:a290d01381f172a054e3a61c4847e2978d0d0f390ffa890e5e8c573fd6ece327",
        tuple(f"{_WIKI}/wiki_{number:02d}" for number in range(64)),
        Given(
            "corpora/enwiki_p56564557.txt.xz",
            15_746_172,
            "e500c70d2834df9fcac71cf6d4ad78125855f23a18b13e263f39781b34cc7b19",
        ),
    ),
    "novels-sample": Known(
        "novels-sample.txt",
        27_737_756,
        "sha256:97f9a6bba41d51327664d22c2333693cf5787084797e3bab21c64e6774e81d49",
        tuple(f"{_NOVELS}/{name}.txt" for name in _NOVEL_NAMES),
        Given(
            "corpora/english_novels_34.txt.xz",
            7_859_436,
            "cfc5984bc7b350e1a5345921aefbb11f150dbf039d64b6967e681e6155956c1d",
        ),
        joined=_document,
    ),
}


def locate(
    name: str, data: Path | None, cache: Path, progress: Callable[[str, int, int], None] | None = None
) -> tuple[Path, ...]:
    """The files of a known corpus, checked: below `data`, else in `cache`, else downloaded into `cache`.

    `progress` is called with the file's name, bytes done and bytes in all (0: not known). Raises Problem where a file
    is damaged or can't be had; the message names the URL and the place.
    """
    corpus = CORPORA[name]
    if data and corpus.given and (given := data / corpus.given.path).exists():
        check(given, corpus.given.bytes, f"sha256:{corpus.given.sha256}", "restore it from its source")
        return (given,)
    path = cache / corpus.file
    if path.exists():
        check(path, corpus.bytes, corpus.digest, "delete it: it is downloaded again")
    else:
        report = progress and (lambda done: progress(corpus.file, done, corpus.bytes))
        download(corpus.urls, path, corpus.bytes, corpus.digest, corpus.joined, report)
    return (path,)
