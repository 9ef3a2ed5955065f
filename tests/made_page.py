"""Results that have everything that a page can show, and the pages of results, read as a browser reads them."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
from made_paths import triples_with
from made_results import ABOUT, made_groups, made_result

from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.predictions import EntityRanks, Predictions
from tracin_dask.report.ranks import ListedRanks
from tracin_dask.report.result import Norms

TRIPLES = [(0, 0, 3), (3, 1, 2), (2, 1, 3), (0, 0, 2), (5, 1, 6)]
INFLUENCES = [8.0, 2.0, -1.0, 0.5, -0.25]
TESTS = np.array([[0, 1, 2], [3, 0, 5]])
RUN = ABOUT | {
    "model": "ConvE",
    "mode": "test",
    "preset": "retraining",
    "curvature": "rows",
    "damping": 3.0,
    "parameters": ["fc.weight"],
    "precision": "float32",
    "store": {"path": "graph.zarr", "fingerprint": "f" * 64, "skipped_lines": {}},
    "prediction": {"num_entities": 1234, "checkpoint": "model.pt"},
    "groupings": [{"group_by": "relation"}],
}
VOID = {"meta", "link", "input", "br", "wbr", "img", "hr"}
SHAPES = {"path", "line", "rect", "circle"}
"""Elements of SVG that close themselves."""


def checkpoints(number, **more):
    return [
        {"path": f"model_{n}.pt", "sha256": f"{n}" * 64, "epoch": n, "learning_rate": 0.1} | more for n in range(number)
    ]


def made_predictions(**changes):
    values = {
        "score": np.array([1.5, -2.25]),
        "probability": np.array([0.817, 0.0953]),
        "tail_ranks": EntityRanks(filtered=np.array([1.0, 20.5]), raw=np.array([3.0, 25.0])),
        "head_ranks": EntityRanks(filtered=np.array([2.0, 77.0]), raw=np.array([4.0, 78.0])),
        "train_index": (np.array([6]), np.array([], np.int64)),
        "reversed_train_index": (np.array([], np.int64),) * 2,
    }
    return Predictions(**values | changes)


def two_answers(predictions=None, **others):
    """Make a result of two test triples: proponents, opponents, further triples, scores, ranks and groups."""
    rankings = (triples_with(TRIPLES, INFLUENCES), triples_with(TRIPLES[:2], [3.0, -1.0]))
    values = {
        "test_triples": TESTS,
        "rankings": rankings,
        "further": (triples_with([(0, 1, 5)], [-0.125], first_line=50), triples_with([], [])),
        "groups": (made_groups("relation", np.array([[5.0, 1.0], [-2.0, 0.0]]), np.array([0, 1]), ["treats", None]),),
        "run": RUN,
    }
    given = made_result(rankings[0], {0: "aspirin", 2: "pain"}, **values | others)
    return replace(given, predictions=made_predictions() if predictions is None else predictions)


def full_result():
    """Make a result that has every part at once."""
    lengths = (5, 2)
    return two_answers(
        made_predictions(contrast=made_predictions(head_ranks=None, score=np.array([-1.0, 0.5]))),
        contrast_tails=np.array([6, 6]),
        contributions=tuple(np.arange(2.0 * length).reshape(length, 2) - 3 for length in lengths),
        spread=tuple(np.full(length, 0.75) for length in lengths),
        further_spread=(np.array([0.5]), np.array([])),
        norms=Norms(train=tuple(np.full(length, 1.5) for length in lengths), test=np.array([2.5, 3.5])),
        num_ranked=np.array([150, 150]),
        ranks=ListedRanks(
            triples=np.array(TRIPLES[:2]),
            train_index=np.array([0, 1]),
            influence=np.array([[8.0, 2.0], [3.0, -1.0]]),
            rank=np.array([[1, 0], [1, 2]]),
            num_ranked=np.array([150, 150]),
        ),
        kept={"count_large": (3, 1)},
        run=RUN | {"checkpoints": [one | {"training": n + 1} for n, one in enumerate(checkpoints(2))]},
    )


def with_label(result, text):
    """Give every entity and relation of a result a name and a label that hold a text."""

    def texts(given: Texts, kind: str) -> Texts:
        labels, names = ([f"{kind}{part}:{number}{text}" for number in given.ids] for part in ("L", "N"))
        return replace(given, labels=pa.array(labels), names=pa.array(names))

    known = result.labels
    return replace(result, labels=Labels(entities=texts(known.entities, "E"), relations=texts(known.relations, "R")))


class Page(HTMLParser):
    """A page as a tree of elements that are all closed, each in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.open, self.seen = text, [], []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        self.words.append("" if tag == "wbr" else " ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SHAPES, f"<{tag}/> closes itself"
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()
        self.words.append(" ")

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def shown(self) -> str:
        """The text of the page, words one space apart."""
        return " ".join("".join(self.words).split())

    def all(self, tag):
        """Give the attributes of all elements of a kind."""
        return [attributes for found, attributes in self.seen if found == tag]

    @property
    def ids(self):
        """The ids of all elements."""
        return [attributes["id"] for _, attributes in self.seen if "id" in attributes]


def read(place) -> Page:
    """Read a page."""
    with place.open() as file:
        return Page(file.read().decode())
