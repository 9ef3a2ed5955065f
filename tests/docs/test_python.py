"""The Python of every page runs as it stands, each page by itself, in a folder with the files that it names."""

import re
import shutil
from dataclasses import fields
from pathlib import Path
from unittest import mock

import pytest
import torch
import zarr
from click.testing import CliRunner
from pages import PAGES, ROOT, blocks, name_of
from result_bits import result_bits

import tracin_dask
from tracin_dask.cli.main import group
from tracin_dask.errors import ResultError
from tracin_dask.models.conve.dialects import DIALECTS, PYKEEN, file_state
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.report import formats

SECTIONED = "docs/extending.md"
"""A page whose sections stand alone."""


def sections(page: Path) -> dict[str, str]:
    """Split a page into the parts whose code blocks run one after another."""
    text = page.read_text()
    if name_of(page) != SECTIONED:
        return {name_of(page): text}
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {f"{name_of(page)}: {title}": part for title, part in zip(parts[1::2], parts[2::2], strict=True)}


RUNNABLE = {title: text for page in PAGES for title, text in sections(page).items() if blocks(text, "python")}


def run_blocks(title: str) -> dict[str, object]:
    """Run the Python of a page or section, and return the names that it leaves."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(RUNNABLE[title], "python"):
        exec(compile(block, title, "exec"), names)  # noqa: S102 - the project's own text
    return names


def check_python(names):
    assert len(names["table"]) == 10
    assert Path("why.json").exists()
    assert len(names["layers"].rankings) == 2
    assert len(names["layers"].rankings[0]) == 50
    assert names["first"].to_dict() == names["shown"].to_dict()
    assert list(names["few_columns"]) == ["test", "rank", "influence", "head", "relation", "tail"]
    for name in ("spread", "on_client"):
        assert names[name].rankings[0].train_index.shape == (10,)


def check_paths(names):
    assert names["paths"]
    assert names["table"].num_rows == len(names["paths"])
    assert names["counts"]["types"].to_pylist()[0][0] == "concept"


def check_page(names):
    assert [page.name for page in names["pages"]] == ["triple_0_0_1.html", "triple_3_2_5.html", "index.html"]
    assert "How many of all 5,216 training triples" in Path("pages/triple_0_0_1.html").read_text()


def check_losses(names):
    assert names["contrasted"].to_dict()["contrast"]["tail"] == 7
    assert names["margin"].run["loss"] == "margin"


def check_checkpoints(names):
    assert len(names["summed"].to_dict()["influences"][0]["influence_by_checkpoint"]) == 2


def check_groups(names):
    assert names["totals"].groupby("group_by").num_training_triples.sum().nunique() == 1
    assert set(names["totals"].group_by) == {"relation", "sources.tsv"}


def check_all_influences(names):
    assert names["line"] == names["saved"].rankings[1].train_index[0]


def check_other_models(names):
    assert names["own"].run["model"] == "__main__:Bilinear(dim=16)"
    assert len(names["own"].rankings[0]) == 10
    assert names["pushed"].run["loss"] == "one-to-all"


def check_pykeen(names):
    assert Path("graph/train.txt").read_bytes() == Path("nations/train.txt").read_bytes()
    trained = tracin_dask.load_checkpoint("nations/checkpoints/checkpoint_epoch_10.pt")
    assert trained.config.num_relations == names["trained"].model.num_relations == 110


def check_place(names):
    assert isinstance(place_of("memory://graph.zarr"), Place)
    assert sorted(names["FILES"])[:2] == ["graph.entity_to_id.tsv", "graph.relation_to_id.tsv"]
    rows, result = len(tracin_dask.open_store("memory://graph.zarr")), names["result"]
    assert zarr.open_group(place_of("memory://scores.zarr").zarr_store(), mode="r")["influence"].shape == (1, rows)
    assert len(place_of("memory://records").find("rows-*.npz")) == 1
    here = tracin_dask.run(
        tracin_dask.open_store(tracin_dask.ingest("train.txt", "graph.zarr").path),
        tracin_dask.load_checkpoint("model.pt"),
        result.test_triples,
    )
    assert here.to_dict()["influences"] == names["again"].to_dict()["influences"]


def check_together(names):
    assert names["sets"].sets.names == ("liver", "heart")
    assert len(names["sets"].rankings) == 2


def check_loss_of_all_scores(names):
    result = names["softmax"]
    assert result.run["loss"] == "softmax"
    duplicate = [entry["influence"] for entry in result.to_dict()["influences"]]
    assert all(duplicate)
    one_to_all = tracin_dask.run(
        names["store"], names["checkpoint"], [(0, 0, 1)], config=tracin_dask.RunConfig.of(loss=tracin_dask.OneToAll())
    )
    assert duplicate != [entry["influence"] for entry in one_to_all.to_dict()["influences"]]


def check_preconditioner(names):
    result = names["scaled"]
    plain = tracin_dask.run(names["store"], names["checkpoint"], [(0, 0, 1)])
    assert result.run["preconditioner"] == "mean square"
    ratios = result.rankings[0].influence / plain.rankings[0].influence
    assert result.rankings[0].train_index.tolist() == plain.rankings[0].train_index.tolist()
    assert abs(ratios / ratios[0] - 1).max() < 1e-4
    assert ratios[0] != 1


def check_reduction(names):
    everything = tracin_dask.run(
        names["store"],
        names["checkpoint"],
        [(0, 0, 1), (1, 0, 2)],
        config=tracin_dask.RunConfig.of(top_k=len(names["store"])),
    )
    expected = [int((abs(ranking.influence) > 1e-4).sum()) for ranking in everything.rankings]
    assert list(names["counted"].kept["count_large"]) == expected
    assert 0 < expected[0] < len(names["store"])


def check_mask(names):
    assert names["masked"].num_ranked.tolist() == [100]
    assert (names["masked"].rankings[0].train_index < 100).all()


def check_ranking(names):
    assert 0 < names["result"].num_ranked[0] < len(names["store"])


def check_clusters(names):
    assert [names[name].run["workers"] for name in ("here", "chosen", "spread", "stated")] == [1, 1, 2, 1]
    first = names["here"].to_dict()["influences"]
    assert all(names[name].to_dict()["influences"] == first for name in ("chosen", "stated"))


def check_kind_of_cluster(names):
    """Check the example, and use its class in the specification file that the section shows."""
    text = RUNNABLE["docs/extending.md: A kind of cluster"]
    Path("my_clusters.py").write_text(blocks(text, "python")[0])
    Path("thread.yaml").write_text(blocks(text, "yaml")[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path.cwd())
        again = tracin_dask.run(names["store"], names["checkpoint"], [(0, 0, 1)], cluster="thread.yaml")
        shown = CliRunner().invoke(group, ["cluster", "show", "thread.yaml"])
    here = tracin_dask.run(names["store"], names["checkpoint"], [(0, 0, 1)])
    assert again.to_dict()["influences"] == names["found"].to_dict()["influences"] == here.to_dict()["influences"]
    assert shown.output == "one worker in a thread of this process; dashboard on 127.0.0.1:0\n"


def check_dialect(names):
    """Compare the influences with those of the same weights in PyKEEN's dialect, which has a bias per channel."""
    theirs = names["program"].state_dict()
    tensors = {ours: theirs[name] for name, ours in names["MINE"].tensors.items()}
    state = file_state(tensors | {"conv1.bias": torch.zeros(4)}, PYKEEN)
    torch.save({"model_state_dict": state, "model_config": {"embedding_height": 8, "embedding_width": 4}}, "pykeen.pt")
    known = tracin_dask.load_checkpoint("pykeen.pt")
    tracked = tuple(name for name in known.config.parameter_names if name != "conv1.bias")
    config = tracin_dask.RunConfig.of(parameters=tracked)
    expected = tracin_dask.run(names["store"], known, [(0, 0, 1)], config=config)
    assert names["checkpoint"].format.name == "mine"
    assert set(names["explained"].run["parameters"]) == set(tracked)
    assert names["explained"].to_dict()["influences"] == expected.to_dict()["influences"]


def check_results(names):
    assert len(names["table"]) == 20
    assert result_bits(names["again"]) == result_bits(names["result"])
    assert result_bits(tracin_dask.read_result("why")) == result_bits(names["result"])
    assert (names["opponents"].influence < 0).all()


def check_evaluation(names):
    (row,) = names["found"].rows
    assert row.num_true == len(names["known"]) == names["columns"]["in_path"].sum()
    assert set(names["columns"]) == {"in_path", "on_specific_path", "on_specific_path_strict"}


def check_format(names):
    """Check the example, and that the command refuses what a format without a reader does not hold."""
    lines = Path("why.md").read_text().splitlines()
    assert [len(line.split("|")) for line in lines].count(6) == 2 * (10 + 2)
    first = names["result"].rankings[0]
    cells = [f"{first.influence[0]:+.3e}", *names["result"].labels.call(first.triples[0].tolist())]
    assert lines[4] == f"| {' | '.join(cells)} |"
    with pytest.raises(ResultError, match=r"a \.md file holds the rankings only"):
        tracin_dask.read_result("why.md")


def check_tables(names):
    assert names["result"].self_influences.test.shape == (2,)
    assert len(list(Path("tables").glob("triple_00?_*_tracin.csv"))) == 2
    assert Path("tables/influences.parquet").exists()


CHECKS = {
    "docs/python.md": check_python,
    "docs/results.md": check_results,
    "docs/losses.md": check_losses,
    "docs/page.md": check_page,
    "docs/paths.md": check_paths,
    "docs/ranking.md": check_ranking,
    "docs/together.md": check_together,
    "docs/extending.md: A reduction": check_reduction,
    "docs/extending.md: A mask": check_mask,
    "docs/extending.md: A loss of all scores": check_loss_of_all_scores,
    "docs/extending.md: A preconditioner": check_preconditioner,
    "docs/checkpoints.md": check_checkpoints,
    "docs/tables.md": check_tables,
    "docs/groups.md": check_groups,
    "docs/all-influences.md": check_all_influences,
    "docs/other-models.md": check_other_models,
    "docs/pykeen.md": check_pykeen,
    "docs/clusters.md": check_clusters,
    "docs/evaluation.md": check_evaluation,
    "docs/extending.md: A dialect of models": check_dialect,
    "docs/extending.md: A place": check_place,
    "docs/extending.md: A format of results": check_format,
    "docs/extending.md: A kind of cluster": check_kind_of_cluster,
}
"""What must hold after a page's Python ran; pages without an entry must only run."""


# PyKEEN asks for pinned memory on machines without a GPU, too
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
@pytest.mark.parametrize("title", RUNNABLE)
def test_the_python_of_a_page_runs_in_order(title, folder):
    if "tracin_dask.ingest(" in RUNNABLE[title]:  # the page makes the store itself
        shutil.rmtree(folder / "graph.zarr")
    with mock.patch.dict(DIALECTS), mock.patch.dict(formats._ADDED):  # what a page registers ends with it
        names = run_blocks(title)
        if title in CHECKS:
            CHECKS[title](names)


def test_no_check_of_a_page_is_left_out():
    assert set(CHECKS) <= set(RUNNABLE)


def test_the_page_of_python_lists_the_options_of_every_group():
    text = (ROOT / "docs/python.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE)
    listed = {(name, kind, *re.findall(r"`(\w+)`", options)) for name, kind, options in rows}
    made_by = {field.name: field.default_factory for field in fields(tracin_dask.RunConfig)}
    expected = {(name, kind.__name__, *(option.name for option in fields(kind))) for name, kind in made_by.items()}
    assert listed == expected
