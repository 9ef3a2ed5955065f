"""Self-influences of test triples and of the training triples in their lists equal those of mode 'self'."""

from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from result_bits import result_bits
from small_graph import Graph, MakeJob, bits, save_checkpoint, small_model

import tracin_dask
from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute import driver
from tracin_dask.runs.test_side.own_gradients import own_job

SETS = ("two", "one", "two")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("series")
    return [load_checkpoint(save_checkpoint(folder / f"{seed}.pt", small_model(seed))) for seed in (31, 32)]


def of_mode_self(make_job: MakeJob, **options) -> dict[tuple[int, ...], float]:
    """Ask mode 'self' for every training triple."""
    [ranking] = make_job(mode="self", top_k=700, **options).carry_out().rankings
    return dict(zip(map(tuple, ranking.triples.tolist()), ranking.influence.tolist(), strict=True))


def agrees_with_mode_self(result, graph: Graph, expected: dict[tuple[int, ...], float]) -> None:
    own = result.self_influences
    for ranking, found in zip(result.rankings, own.train, strict=True):
        wanted = [expected[triple] for triple in map(tuple, ranking.triples.tolist())]
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    trained = [place for place, test in enumerate(graph.test_triples.tolist()) if tuple(test) in expected]
    assert len(trained) >= 2
    wanted = [expected[tuple(graph.test_triples[place].tolist())] for place in trained]
    np.testing.assert_allclose(own.test[trained], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": OneToAll()},
        {"loss": SLCWA(num_negatives=2)},
        {"curvature": "rows"},
        {"curvature": "rows", "loss": SLCWA(num_negatives=2)},
        {"curvature": "rows", "loss": OneToAll()},
        {"parameters": ("fc.*",)},
    ],
    ids=["bce", "one-to-all", "slcwa", "curvature", "curvature slcwa", "curvature one-to-all", "some tensors"],
)
def test_reported_self_influence_is_that_of_mode_self(make_job: MakeJob, graph: Graph, options):
    result = make_job(also_self_influence=True, **options).carry_out()
    agrees_with_mode_self(result, graph, of_mode_self(make_job, **options))


@pytest.mark.parametrize("options", [{}, {"curvature": "rows"}], ids=["bce", "curvature"])
def test_workers_find_the_self_influence_of_mode_self(make_job: MakeJob, graph: Graph, client: Client, options):
    result = make_job(also_self_influence=True, **options).carry_out(client)
    agrees_with_mode_self(result, graph, of_mode_self(make_job, **options))


def test_curvature_of_self_influences_is_found_at_the_rows_of_what_is_reported(make_job: MakeJob, graph: Graph):
    job = make_job(also_self_influence=True, curvature="rows", top_k=1, rank_by="proponents")
    own = own_job(job.prepared, driver._job(job.prepared, job.plan, ()), graph.lines[:3])
    assert own.scope.ids["entity"].tolist() == sorted({*graph.lines[:3, [0, 2]].ravel().tolist()})
    assert own.scope.touching == own.neighbourhood.most_rows
    assert own.scope.matrix_bytes <= job.prepared.workload.matrix_bytes
    assert own.gathered == ()
    options = {"curvature": "rows", "explain": "score", "loss": OneToAll()}
    result = make_job(also_self_influence=True, **options).carry_out()
    agrees_with_mode_self(result, graph, of_mode_self(make_job, curvature="rows", loss=OneToAll()))


@pytest.mark.parametrize("normalize", ["cosine", "relatif"])
def test_self_influence_of_several_checkpoints_is_summed_and_never_divided(
    make_job: MakeJob, graph: Graph, series, normalize
):
    options = {"model": series, "learning_rate": (0.1, 0.02)}
    result = make_job(also_self_influence=True, normalize=normalize, **options).carry_out()
    agrees_with_mode_self(result, graph, of_mode_self(make_job, **options))


@pytest.mark.parametrize("options", [{"explain": "score"}, {"contrast": (5, 6, 7)}, {"together": SETS}])
def test_self_influence_is_of_the_loss_of_each_triple_whatever_is_asked(make_job: MakeJob, graph: Graph, options):
    result = make_job(also_self_influence=True, **options).carry_out()
    agrees_with_mode_self(result, graph, of_mode_self(make_job))


def test_self_influence_is_what_the_oracle_finds(make_job: MakeJob, truth):
    result = make_job(also_self_influence=True).carry_out()
    for ranking, found in zip(result.rankings, result.self_influences.train, strict=True):
        np.testing.assert_allclose(found, truth.self_influence[ranking.train_index], rtol=1e-4)


def test_asking_for_self_influence_changes_no_influence(make_job: MakeJob):
    plain, more = make_job().carry_out(), make_job(also_self_influence=True).carry_out()
    assert bits(plain) == bits(more)
    assert plain.self_influences is None
    assert "self_influence" not in plain.to_dict()["influences"][0]


@pytest.mark.parametrize("options", [{}, {"together": SETS}, {"normalize": "cosine"}])
def test_self_influence_comes_back_from_files(make_job: MakeJob, tmp_path: Path, options):
    found = make_job(also_self_influence=True, **options).carry_out()
    tracin_dask.write_result(found, tmp_path / "why.parquet")
    found.write_directory(tmp_path / "why")
    for path in ("why.parquet", "why"):
        again = tracin_dask.read_result(tmp_path / path)
        assert result_bits(again) == result_bits(found)
        assert again == found
    contents = found.to_dict(1)
    assert [entry["self_influence"] for entry in contents["influences"]] == found.self_influences.train[1].tolist()
    if not options:
        assert contents["test_self_influence"] == found.self_influences.test[1]
        assert set(found.to_pandas()["test_self_influence"]) == set(found.self_influences.test)


def test_self_influence_where_there_is_none_is_refused():
    with pytest.raises(ConfigError, match="also_self_influence adds what mode 'self' gives anyway; leave one"):
        RunConfig.of(mode="self", also_self_influence=True)
    with pytest.raises(ConfigError, match="also_self_influence takes no curvature landmarks, which give no triple"):
        RunConfig.of(curvature="landmarks", also_self_influence=True)
