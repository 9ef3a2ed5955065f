"""The linear datamodeling score from the plan to the table, in this process and on workers."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster
from scipy import stats
from small_study import PLAIN, RANDOM, study_in

from tracin_dask import RunConfig, load_checkpoint, run
from tracin_dask.errors import ConfigError
from tracin_dask.validation import influences
from tracin_dask.validation.influences import Explained, largest
from tracin_dask.validation.measured import Measured
from tracin_dask.validation.methods import Method
from tracin_dask.validation.models import full_trainings
from tracin_dask.validation.statistics import noise_ceiling
from tracin_dask.validation.studies.lds import CEILING, MARGIN_OF_ONE, SubsetPlan, lds, subset_sums
from tracin_dask.validation.workers import Workers

PLAN = SubsetPlan(num_subsets=5, num_tests=6, num_repeated=2)


def values(table):
    return {(row.method, row.measure): row.estimate for row in table.rows}


def test_the_score_is_the_mean_rank_correlation_of_summed_influences_with_retrained_models(tmp_path):
    study = study_in(tmp_path / "study", PLAIN)
    table = lds(study, PLAN)
    tests = study.graph.sample(6, study.seed)
    bench = study.bench(tests)
    (full,) = full_trainings(1, study.seed, 4)
    result = run(
        study.graph.store,
        load_checkpoint(bench.checkpoints(full)[-1]),
        tests,
        config=RunConfig.of(top_k=len(study.graph.triples)),
    )
    row_of = {line: row for row, line in enumerate(study.graph.store.read(0, len(study.graph.store)).train_index)}
    scores = np.zeros((6, len(study.graph.triples)))
    for test, ranking in enumerate(result.rankings):
        scores[test, [row_of[line] for line in ranking.train_index]] = ranking.influence
    subsets = [subset.select(scores.shape[1]) for subset in PLAN.subsets(study.seed)]
    margin = bench.measured(PLAN.trainings(study.seed, 0)).margin
    sums = np.array([[one[rows].sum() for rows in subsets] for one in scores])
    expected = np.mean([stats.spearmanr(sums[test], margin[:, test]).statistic for test in range(6)])
    assert values(table)["plain", "margin"].value == pytest.approx(expected, abs=1e-6)


def test_the_table_is_written_as_parquet_page_and_summary_and_shown(tmp_path):
    study = study_in(tmp_path / "study")
    table = lds(study, PLAN)
    text, parquet, page, summary = table.write(study.folder.path)
    read = pq.read_table(parquet).to_pylist()
    assert {(row["method"], row["measure"]) for row in read} == {
        (method, measure) for method in ("plain", "random", CEILING) for measure in ("margin", "loss", "score")
    }
    assert all(row["low"] <= row["value"] <= row["high"] for row in read)
    assert "<script" in page.read_text()
    assert "cdn.bokeh.org" not in page.read_text()
    about = json.loads(summary.read_text())
    assert about["num_subsets"] == 5
    assert 0 < about["models of all training triples"]["MRR"] <= 1
    assert "models of all training triples: MRR" in text.read_text()
    shown = text.read_text()
    assert f"{values(table)['random', 'margin'].value:.3f}" in shown
    assert all(note.split(";")[0] in " ".join(shown.split()) for note in table.notes)


def test_the_quality_of_models_follows_from_their_ranks():
    nothing = np.zeros((2, 2))
    ranks = np.array([[1, 4], [20, 2]])
    quality = Measured(score=nothing, loss=nothing, margin=nothing, rank=ranks).quality()
    assert quality == {"MRR": (1 + 0.25 + 0.05 + 0.5) / 4, "Hits@1": 0.25, "Hits@10": 0.75}


def test_a_study_that_is_started_again_repeats_no_training_and_no_run(tmp_path, monkeypatch):
    study = study_in(tmp_path / "study")
    first = lds(study, PLAN)

    def refuse(*_, **__):
        pytest.fail("repeated")

    monkeypatch.setattr(influences, "run", refuse)
    monkeypatch.setattr("tracin_dask.validation.models.train_all", refuse)
    assert lds(study_in(tmp_path / "study"), PLAN).rows == first.rows


def test_workers_of_dask_give_the_numbers_of_this_process(tmp_path):
    here = lds(study_in(tmp_path / "here"), PLAN)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        workers = Workers(client=client, number=2, threads=1)
        there = lds(study_in(tmp_path / "there", workers=workers), PLAN)
    for key, estimate in values(here).items():
        assert values(there)[key].value == pytest.approx(estimate.value, abs=0.05)
    trained = [sorted(path.name for path in (tmp_path / name / "trainings").iterdir()) for name in ("here", "there")]
    assert trained[0] == trained[1]


def test_influences_of_several_trainings_are_averaged(tmp_path):
    study = study_in(tmp_path / "study", replace(PLAIN, trainings=2))
    tests = study.graph.sample(3, study.seed)
    bench, full = study.bench(tests), full_trainings(2, study.seed, 4)
    bench.measured(full)

    def read(method, trainings):
        explained = Explained(bench=bench, store=study.graph.store, tests=tests, trainings=trainings, seed=0)
        return explained.by(method).read(0, len(study.graph.triples))

    both = read(replace(PLAIN, trainings=2), full)
    np.testing.assert_allclose(both, (read(PLAIN, full[:1]) + read(PLAIN, full[1:])) / 2, rtol=1e-12)
    with pytest.raises(ConfigError, match="'plain' needs 2 trainings"):
        read(replace(PLAIN, trainings=2), full[:1])


def test_a_method_sums_over_the_checkpoints_that_it_names(tmp_path):
    every = Method(name="all", checkpoints="all")
    study = study_in(tmp_path / "study", every)
    tests = study.graph.sample(3, study.seed)
    bench, full = study.bench(tests), full_trainings(1, study.seed, 4, (2, 4))
    bench.measured(full)
    explained = Explained(bench=bench, store=study.graph.store, tests=tests, trainings=full, seed=0)
    single = [explained.by(replace(every, checkpoints=(epoch,))).read(0, 50) for epoch in (2, 4)]
    np.testing.assert_allclose(explained.by(every).read(0, 50), sum(single), rtol=1e-4, atol=1e-9)


def test_the_largest_influences_are_found_block_by_block_and_ties_go_to_lower_rows(monkeypatch):
    monkeypatch.setattr(influences, "BLOCK_BYTES", 8 * 2 * 7)
    numbers = np.random.default_rng(2).integers(6, size=(2, 50)).astype(float)

    class Held:
        def read(self, start, stop):
            return numbers[:, start:stop]

    rows, found = largest(Held(), 50, 2, 5)
    np.testing.assert_array_equal(rows, np.argsort(-numbers, axis=1, kind="stable")[:, :5])
    np.testing.assert_array_equal(found, np.take_along_axis(numbers, rows, axis=1))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_subsets": 2}, "2 subsets give no rank correlation"),
        ({"fraction": 1.0}, "fraction is 1.0; expected"),
        ({"num_repeated": 0}, "0 subsets are to be trained on 2 times"),
    ],
)
def test_plans_that_give_no_score_are_refused(numbers, message):
    with pytest.raises(ConfigError, match=message):
        SubsetPlan(**numbers)


def test_without_repeats_there_is_no_ceiling(tmp_path):
    table = lds(study_in(tmp_path / "study", RANDOM), replace(PLAN, repeats=1))
    assert {row.method for row in table.rows} == {"random"}


def test_what_several_models_of_a_subset_say_is_averaged(tmp_path):
    study, plan = study_in(tmp_path / "study", PLAIN), replace(PLAN, models_per_subset=3)
    table = lds(study, plan)
    bench = study.bench(study.graph.sample(6, study.seed))
    said = [bench.measured(plan.trainings(study.seed, repeat)).margin for repeat in range(3)]
    assert not np.array_equal(said[0], said[1])
    explained = Explained(
        bench=bench,
        store=study.graph.store,
        tests=study.graph.sample(6, study.seed),
        trainings=full_trainings(1, study.seed, 4),
        seed=study.seed,
    )
    sums = subset_sums(explained.by(PLAIN), plan.subsets(study.seed), num_rows=len(study.graph.triples), num_tests=6)
    expected = np.mean([stats.spearmanr(*pair).statistic for pair in zip(sums, np.mean(said, axis=0).T, strict=True)])
    assert values(table)["plain", "margin"].value == pytest.approx(expected)
    of_one = np.mean([stats.spearmanr(*pair).statistic for pair in zip(sums, said[0].T, strict=True)])
    assert values(table)["plain", MARGIN_OF_ONE].value == pytest.approx(of_one)
    assert "the mean of 3 trainings" in table.notes[0]
    repeated = np.stack([one.T for one in said], axis=1)
    for models, measure in ((3, "margin"), (1, MARGIN_OF_ONE)):
        ceiling = noise_ceiling(np.mean(said, axis=0).T, repeated, averaged=3, models=models, seed=0)
        assert values(table)[CEILING, measure].value == ceiling.value
