"""Results in a notebook: a line, a small page of tables, a table of few columns, plots."""

import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from made_paths import result_of
from made_results import made_result, ranked

from tracin_dask.errors import ConfigError
from tracin_dask.report.sets import TestSets

NAMES = {0: "<script>alert(1)</script>", 2: 'a & "b"\x1b[31m'}


def many(number, **others):
    tests = np.array([[place + 3, 1, 2] for place in range(number)])
    rankings = tuple(ranked([3.0, 2.0, 1.5, 1.2, 1.1, 1.0, 0.75, -0.5]) for _ in range(number))
    further = (ranked([]),) * number
    return made_result(rankings[0], NAMES, test_triples=tests, rankings=rankings, further=further, **others)


class Tags(HTMLParser):
    """Collects open tags, and checks that each is closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.text = [], set(), []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, _attributes):
        self.open.append(tag)
        self.found.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_result_is_one_line_in_a_session():
    assert repr(many(4)) == "InfluenceResult(4 test triples, 200 training triples, loss bce)"
    assert repr(many(4)[0]) == "InfluenceResult(1 test triple, 200 training triples, loss bce)"
    selves = made_result(ranked([2.0]), test_triples=None)
    assert repr(selves) == "InfluenceResult(self-influence, 200 training triples, loss bce)"
    sets = TestSets(names=("both",), of_test=np.array([0, 0]))
    grouped = made_result(ranked([1.0]), test_triples=np.array([[0, 1, 2], [3, 1, 2]]), sets=sets)
    assert repr(grouped) == "InfluenceResult(1 set, 200 training triples, loss bce)"


def test_the_html_of_a_result_shows_the_first_answers_escaped_and_needs_nothing_from_elsewhere():
    text = many(5)._repr_html_()
    page = Tags(text)
    assert page.found == {"div", "p", "strong", "small", "code", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert "<script>alert(1)</script>" in page.text
    assert 'a & "b"\\x1b[31m' in page.text
    assert not re.search(r"https?:|src=|href=|color", text)
    assert [word for word in page.text if "— predicate:1 —" in word] == [
        f'CHEBI:{place} — predicate:1 — a & "b"\\x1b[31m' for place in (3, 4, 5)
    ]
    assert "Proponents: the first 5 of 7" in page.text
    assert page.text.count("Opponents: 1") == 3
    assert "… and 2 more: " in page.text
    assert "result[3]" in page.text
    assert "+3.000" in page.text


def test_the_html_of_self_influence_and_of_one_side_has_one_table():
    selves = made_result(ranked([2.0]), test_triples=None)._repr_html_()
    assert selves.count("<table>") == 1
    assert "Training triples of the largest self-influence: 1" in selves
    side = many(1, run={"rank_by": "opponents"})._repr_html_()
    assert "Proponents" not in side
    assert "Opponents: 1" in side


def test_a_compact_table_has_names_in_few_columns():
    table = made_result(ranked([0.5, -0.25]), {0: "acid"}, contrast_tails=np.array([1])).to_pandas(compact=True)
    assert table.to_dict("records") == [
        {
            "test": "acid — predicate:1 — CHEBI:2, not CHEBI:1",
            "rank": rank,
            "influence": influence,
            "head": head,
            "relation": f"predicate:{place}",
            "tail": "CHEBI:2",
        }
        for place, (rank, influence, head) in enumerate([(1, 0.5, "acid"), (2, -0.25, "CHEBI:1")])
    ]
    sets = TestSets(names=("both",), of_test=np.array([0]))
    assert made_result(ranked([0.5]), sets=sets).to_pandas(compact=True)["test"].tolist() == ["both"]
    selves = made_result(ranked([2.0]), test_triples=None).to_pandas(compact=True)
    assert list(selves.columns) == ["rank", "self_influence", "head", "relation", "tail"]
    assert len(many(3).to_pandas(compact=True)) == 24


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - the backend comes first

    yield plt
    plt.close("all")


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.usefixtures("pyplot")
def test_the_plot_of_the_strongest_has_a_bar_for_each_with_its_sign():
    axes = many(2).plot("top", 1, most=3)
    assert [bar.get_width() for bar in axes.patches] == [3.0, 2.0, 1.5, -0.5]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 2
    assert axes.get_title().startswith("CHEBI:4 — predicate:1 — ")
    selves = made_result(ranked([2.0, 1.0]), test_triples=None).plot()
    assert (len(selves.patches), selves.get_xlabel()) == (2, "self-influence")


@pytest.mark.usefixtures("pyplot")
def test_the_histogram_counts_every_listed_training_triple():
    axes = many(1).plot("histogram")
    assert sum(bar.get_height() for bar in axes.patches) == 8
    made_result(ranked([]), further=(ranked([]),)).plot("histogram").figure.canvas.draw()


@pytest.mark.usefixtures("pyplot")
@pytest.mark.parametrize(
    ("influences", "names"),
    [
        ([2.0, 1.0], ["proponents"]),
        ([-2.0], ["opponents"]),
        ([2.0, -1.0, 0.0], ["proponents", "opponents", "no influence"]),
    ],
)
def test_the_legend_of_the_histogram_names_what_is_there(influences, names):
    axes = made_result(ranked(influences)).plot("histogram")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    selves = made_result(ranked([2.0]), test_triples=None).plot("histogram")
    assert selves.get_legend() is None
    assert len(selves.patches) > 0


@pytest.mark.usefixtures("pyplot")
def test_the_plot_of_paths_has_arrows_from_head_to_tail():
    given = result_of([(0, 0, 3), (2, 1, 3), (0, 0, 4), (4, 1, 2)], [8.0, 2.0, 1.0, -0.5], names={0: "$x^2$"})
    axes = given.plot("paths")
    assert texts(axes).count(r"\$x^2\$") == 2
    arrows = [(text.xyann, text.xy) for text in axes.texts if getattr(text, "arrow_patch", None)]
    assert arrows == [((0, 0), (0.5, 0)), ((1, 0), (0.5, 0)), ((0, -1), (0.5, -1)), ((0.5, -1), (1, -1))]
    axes.figure.canvas.draw()
    labels = [text for text in axes.texts if text.get_text() in ("predicate:0", "+8")]
    assert [text.xyann[1] for text in labels] == [3, -3, 3]  # the relation close above its arrow, the influence below
    assert len([word for word in texts(given.plot("paths", most=1)) if word == "CHEBI:2"]) == 1
    assert "no path of 2 to 3 hops" in texts(result_of([(0, 0, 3)], [1.0]).plot("paths"))[0]


def test_plots_that_cannot_be_drawn_are_refused(pyplot, monkeypatch):
    with pytest.raises(ConfigError, match="no answer has index 2: the result has 2"):
        many(2).plot("top", 2)
    with pytest.raises(ConfigError, match="self-influence has no test triple to find paths for"):
        made_result(ranked([2.0]), test_triples=None).plot("paths")
    assert pyplot.get_fignums() == []
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ConfigError, match=r"plots need Matplotlib, which is not installed .* pip install matplotlib"):
        many(1).plot()
