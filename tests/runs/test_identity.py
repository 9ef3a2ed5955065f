"""The identity of a run has everything that its bits and records depend on, and nothing else."""

from dataclasses import field, fields, make_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from small_graph import BATCH_SIZE, Graph, MakeJob

from tracin_dask.identity import changes, identity, undeclared
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.influence.reductions.topk_reduction import TopKReduction
from tracin_dask.runs.config import RunConfig, option_groups
from tracin_dask.runs.identity import option_identity, record_identity, result_identity, score_identity
from tracin_dask.runs.options.ranking import RankingOptions


class OddHeads:
    """A mask of one's own."""

    name, identity, num_bytes = "odd_heads", "odd", 0

    def rows(self, triples, _train_index):
        return triples[:, 0] % 2 == 1

    def pairs(self, *_):
        return None


class SecondTopK(TopKReduction):
    """A reduction of one's own."""

    name = "second_top_k"

    def value(self, outcome, answer: int) -> int:  # noqa: ARG002 - a run reports it, and there is none here
        return answer


TRAINING_TRIPLE = "a training triple of the small graph"
OTHER_VALUES = {
    "mode": "self",
    "explain": "score",
    "contrast": (5,),
    "together": True,
    "loss": OneToAll(label_smoothing=0.1),
    "parameters": ("fc.*",),
    "last_layers": 3,
    "preconditioner": "adam",
    "normalize": "relatif",
    "preset": "retraining",
    "curvature": "rows",
    "damping": 2.0,
    "landmarks": 5,
    "landmarks_near": True,
    "landmarks_seed": 1,
    "learning_rate": 0.5,
    "top_k": 7,
    "top_k_per": "relation",
    "rank_by": "opponents",
    "rank_of": TRAINING_TRIPLE,
    "only_relations": (0,),
    "exclude_relations": (0,),
    "candidates": TRAINING_TRIPLE,
    "touching": "either",
    "exclude_self": True,
    "within_hops": 1,
    "on_paths": 2,
    "all_walks": True,
    "directed_hops": True,
    "min_degree": 2,
    "max_degree": 3,
    "masks": (OddHeads(),),
    "group_by": ("relation",),
    "save_scores": "scores.zarr",
    "ranks": "none",
    "checkpoint_contributions": True,
    "also_self_influence": True,
    "reductions": (SecondTopK(k=3),),
    "batch_size": 2 * BATCH_SIZE,
    "device": "cpu",
    "precision": "bf16",
    "gradient_checkpointing": True,
    "cache_test_gradients": False,
    "audit": 0,
}
"""A value of every option that is not the usual one."""


NEEDED = (
    {"damping": {"curvature": "rows"}}
    | {name: {"curvature": "landmarks"} for name in ("landmarks", "landmarks_near", "landmarks_seed")}
    | {name: {"within_hops": 2} for name in ("directed_hops", "min_degree", "max_degree")}
    | {"all_walks": {"on_paths": 2}}
)
"""The options that others count with."""


def groups_of_options() -> list[type]:
    return [group.default_factory for group in fields(RunConfig)]


@pytest.mark.parametrize("kind", [*groups_of_options(), OneToAll, SLCWA], ids=lambda kind: kind.__name__)
def test_every_option_and_setting_declares_what_it_changes(kind: type):
    assert list(undeclared(kind)) == []


def test_an_option_that_is_added_is_refused_until_it_declares_what_it_changes(make_job: MakeJob):
    def job_with(metadata):
        new = ("smallest", float, field(default=0.0, metadata=metadata))
        wider = make_dataclass("Wider", [new], bases=(RankingOptions,), frozen=True, kw_only=True)
        job = make_job()
        config = replace(job.prepared.config, ranking=wider(smallest=0.5))
        return replace(job.prepared, config=config), job.plan

    with pytest.raises(TypeError, match=r"Wider\.smallest does not declare what its value changes; write field\(meta"):
        record_identity(*job_with({}))
    assert record_identity(*job_with(changes("records")))["smallest"] == 0.5
    assert "smallest" not in score_identity(*job_with(changes("records")))
    assert score_identity(*job_with(changes("scores")))["smallest"] == 0.5
    assert "smallest" not in record_identity(*job_with(changes("nothing")))
    with pytest.raises(TypeError, match="smallest changes scores through least, which this run does not state"):
        score_identity(*job_with(changes("scores", through="least")))


def test_every_option_has_a_value_in_these_tests():
    assert OTHER_VALUES.keys() == option_groups().keys()


@pytest.mark.parametrize("name", sorted(OTHER_VALUES.keys() - {"preconditioner", "preset"}))
def test_an_option_changes_the_identity_as_it_declares(make_job: MakeJob, graph: Graph, name: str):
    value = graph.lines[:1] if OTHER_VALUES[name] is TRAINING_TRIPLE else OTHER_VALUES[name]
    needed = NEEDED.get(name, {})
    usual, other = make_job(**needed), make_job(**needed, **{name: value})
    group = getattr(RunConfig(), option_groups()[name])
    (effect,) = (option.metadata["changes"].effect for option in fields(group) if option.name == name)
    is_other = [made(usual.prepared, usual.plan) != made(other.prepared, other.plan) for made in IDENTITIES]
    assert is_other == CHANGED[effect]


def of_result(prepared, _plan):
    return result_identity(prepared)


IDENTITIES = (score_identity, record_identity, of_result)
CHANGED = {
    "scores": [True, True, True],
    "records": [False, True, True],
    "result": [False, False, True],
    "nothing": [False, False, False],
}


def test_how_work_is_cut_is_no_part_of_the_identity_of_a_result(make_job: MakeJob):
    job = make_job()
    assert not result_identity(job.prepared).keys() & {"batches_per_segment", "threads_per_worker"}
    assert record_identity(job.prepared, job.plan).keys() >= {"batches_per_segment", "threads_per_worker"}


def test_patterns_that_match_the_same_tensors_are_the_same_run(make_job: MakeJob):
    one, other = make_job(parameters=("fc.weight", "fc.bias")), make_job(last_layers=2)
    assert record_identity(one.prepared, one.plan) == record_identity(other.prepared, other.plan)


def test_the_preconditioner_is_an_option_of_the_scores():
    plain, adam = (option_identity(RunConfig.of(preconditioner=way), "scores", STATED) for way in ("none", "adam"))
    assert (plain["preconditioner"], adam["preconditioner"]) == ("none", "adam")
    assert plain | {"preconditioner": "adam"} == adam


STATED = dict.fromkeys(("test_triples", "parameters", "learning_rate", "curvature", "batch_size"))


def test_identities_of_plain_values_and_of_settings():
    assert identity((1, "a", None, 0.5, True)) == [1, "a", None, 0.5, True]
    assert identity(frozenset({"b", "a"})) == ["a", "b"]
    assert identity(Path("scores.zarr")) == str(Path.cwd() / "scores.zarr")
    assert identity(SLCWA(num_negatives=2)) == "slcwa(num_negatives=2, seed=0)"
    assert identity(np.arange(3)) == identity(np.arange(3)) != identity(np.arange(3).astype(np.int32))


def test_a_value_that_cannot_be_told_from_others_is_refused():
    class Secret:
        pass

    with pytest.raises(TypeError, match="Secret cannot be told from other values, so that finished work could be mix"):
        identity(Secret())


def test_another_engine_never_continues_finished_work(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch):
    job = make_job()
    before = record_identity(job.prepared, job.plan)
    monkeypatch.setattr("tracin_dask.runs.identity.scoring_code_digest", lambda: "0" * 64)
    after = record_identity(job.prepared, job.plan)
    assert {name for name in before if before[name] != after[name]} == {"scoring_code"}
