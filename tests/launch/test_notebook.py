"""`tracin_dask.run` in a notebook: test triples as data frames, a bar for the progress, short descriptions."""

from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from tracin_dask import Execution, RunConfig, WorkerOptions, run
from tracin_dask.errors import ConfigError
from tracin_dask.monitor import progress_bar
from tracin_dask.runs.inputs.resolve import resolve_triples

CONFIG = RunConfig.of(top_k=5, batch_size=64, device="cpu", audit=0)
ONE_THREAD = Execution(workers=WorkerOptions(threads_per_worker=1))
ROLES = ["head", "relation", "tail"]


@pytest.fixture(scope="module")
def explain(graph, checkpoint):
    return lambda tests, **others: run(
        graph.store, checkpoint, tests, **{"config": CONFIG, "execution": ONE_THREAD} | others
    )


def test_a_data_frame_of_ids_or_labels_means_the_same_triples_as_its_rows(graph):
    store, tests = graph.store, graph.test_triples
    maps = (store.entities, store.relations, store.entities)
    rows = [[m.label(part) for m, part in zip(maps, test, strict=True)] for test in tests.tolist()]
    ids = pd.DataFrame(tests, columns=ROLES)
    labels = pd.DataFrame(rows, columns=ROLES).assign(note="x")[["note", "tail", "head", "relation"]]
    for given in (ids, labels, rows):
        assert resolve_triples(store, given).tolist() == tests.tolist()
    assert resolve_triples(store, ids.iloc[::-1]).tolist() == tests[::-1].tolist()


def test_a_data_frame_without_the_columns_is_refused(graph):
    wrong = pd.DataFrame(graph.test_triples, columns=["head", "predicate", "object"])
    with pytest.raises(ConfigError, match="no column relation and no tail, only head, predicate, object: rename them"):
        resolve_triples(graph.store, wrong)
    with pytest.raises(ConfigError, match=r"found an array \(0,\)"):
        resolve_triples(graph.store, pd.DataFrame(columns=ROLES))
    missing = pd.DataFrame([["CHEBI:0", None, "CHEBI:7"]], columns=ROLES)
    with pytest.raises(ConfigError, match="expected test triples as rows of"):
        resolve_triples(graph.store, missing)


def test_a_run_takes_a_data_frame_and_prints_its_progress_where_nobody_watches(graph, explain, capsys):
    result = explain(pd.DataFrame(graph.test_triples, columns=ROLES), progress=True)
    assert result.test_triples.tolist() == graph.test_triples.tolist()
    number = result.run["num_training_triples"]
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"scored {number:,} of {number:,} training triples, ")


def test_progress_is_a_bar_on_a_terminal(graph, explain, monkeypatch, capsys):
    screen = StringIO()
    monkeypatch.setattr(progress_bar, "Console", lambda **_: Console(file=screen, force_terminal=True, width=80))
    explain(graph.test_triples, progress=True)
    assert "700/700" in screen.getvalue()
    assert "━━" in screen.getvalue()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("widgets", "shown"), [(object(), True), (None, False)])
def test_a_notebook_gets_a_bar_where_it_has_widgets(monkeypatch, widgets, shown):
    monkeypatch.setattr(progress_bar.importlib.util, "find_spec", lambda name: widgets if name == "ipywidgets" else 1)
    assert progress_bar.shows_bars(Console(file=StringIO(), force_jupyter=True)) is shown


def test_two_ways_to_show_progress_are_refused(graph, explain):
    with pytest.raises(ConfigError, match="give only one of them"):
        explain(graph.test_triples, progress=True, execution=Execution(progress=lambda *_: None))


def test_a_store_and_a_checkpoint_are_one_line_each(graph, checkpoint):
    counts = "700 training triples, 60 entities, 5 relations"
    assert repr(graph.store) == f"TripleStore('{graph.folder}/graph.zarr': {counts})"
    assert repr(checkpoint) == f"Checkpoint('{graph.folder}/best_model.pt': ConvE, 60 entities, 5 relations)"
