"""What `scripts/make_graph` refuses, and what it does with a folder that exists already."""

import json
import shutil
from types import SimpleNamespace

import pytest

from tracin_dask.errors import ConfigError, StoreError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"triples": 900}, r"960 triples .* are fewer than the 969 heads that 1,000 entities"),
        ({"triples": 10_000_000}, r"are more than the [\d,]+ distinct ones that 969 heads, 50 relations"),
        ({"entities": 51}, r"51 entities: the 13 entity types need 4 each; give 52 or more"),
        ({"relations": 5_000}, r"5,000 relations: there are words for 1,490; give at most that many"),
        ({"test_triples": 5_000}, r"5,010 test and validation triples .* only [\d,]+ can be held out"),
        ({"head_share": 1.5}, r"head_share is 1.5; expected a number from 0.01 to 1.0"),
        ({"embedding_dim": 200}, r"embedding_height 8 × embedding_width 4 = 32 is not embedding_dim 200"),
    ],
)
def test_impossible_sizes_are_refused_with_the_numbers(options, message, make_graph, tmp_path):
    with pytest.raises(ConfigError, match=message):
        make_graph(tmp_path / "graph", **options)
    assert not (tmp_path / "graph").exists()


def test_make_graph_refuses_a_learning_rate_of_zero(make_graph, tmp_path):
    result = make_graph(tmp_path / "graph", learning_rate=0)
    assert result.exit_code == 2
    assert "Invalid value for '--learning-rate'" in result.output


def test_make_graph_refuses_a_full_disk_before_writing(make_graph, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 19))
    with pytest.raises(ConfigError, match=r"needs about \d+ MiB while it is made, .* has 0 MiB; give another output"):
        make_graph(tmp_path / "graph")
    assert not list(tmp_path.iterdir())


def test_make_graph_replaces_an_existing_graph_only_on_request(make_graph, tmp_path):
    options = {"triples": 2_000, "entities": 500, "test_triples": 5, "valid_triples": 5}
    make_graph(tmp_path / "graph", **options)
    with pytest.raises(StoreError, match="exists already; choose another output or pass --overwrite"):
        make_graph(tmp_path / "graph", **options, seed=3)
    assert json.loads((tmp_path / "graph" / "graph.json").read_text())["seed"] == 0
    make_graph(tmp_path / "graph", "--overwrite", **options, seed=3)
    assert json.loads((tmp_path / "graph" / "graph.json").read_text())["seed"] == 3


def test_make_graph_never_replaces_another_folder(make_graph, tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(ConfigError, match=r"is no graph that this command made: it has no graph.json"):
        make_graph(tmp_path, "--overwrite")
    assert (tmp_path / "thesis.tex").read_text() == "ten years of work"


def test_make_graph_prints_an_error_as_one_message(make_graph_module, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["make_graph", f"--output={tmp_path / 'graph'}", "--entities=3"])
    with pytest.raises(SystemExit, match="1"):
        make_graph_module.main()
    assert capsys.readouterr().err.startswith("Error: 3 entities: the 13 entity types need 4 each")
