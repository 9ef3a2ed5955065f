"""Every run is audited: a few influences once more by plain autograd, in every mode; a run that deviates fails."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from distributed import Client
from influence.any_model import Bilinear, TailsBilinear
from influence.dropped import drop
from influence.unusual_models import OneModule, SharedTensor
from small_graph import (
    BATCH_SIZE,
    LEARNING_RATE,
    NUM_ENTITIES,
    NUM_RELATIONS,
    Graph,
    MakeJob,
    bits,
    save_checkpoint,
    small_model,
)
from test_preconditioner_pass import ByMeanSquare

from tracin_dask.errors import AuditError, ConfigError, MemoryLimitError
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.influence.reductions import topk
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.report.screen import audited
from tracin_dask.runs.audit import choice, compare, tolerance
from tracin_dask.runs.audit.picked import Picked
from tracin_dask.runs.audit.plain.gradients import PlainGradients
from tracin_dask.runs.audit.plain.kinks import KinkWatch
from tracin_dask.runs.audit.plain.model import plain_model
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.runs.options.computing import ComputingOptions
from tracin_dask.runs.plan.memory import refuse_too_large

ROWS = 4


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy, too."""
    monkeypatch.setattr(choice, "LEAST_SECONDS", 60.0)


@pytest.fixture
def make_job(make_job: MakeJob) -> MakeJob:
    """Audit as many training triples as a run does that does not say."""
    return lambda **options: make_job(**({"audit": ComputingOptions().audit} | options))


class Margin:
    """A loss of one's own, with a kink."""

    name = "margin"

    def value(self, scores):
        return torch.relu(4.0 - scores)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Checkpoint]]:
    """Two checkpoints with the state of their optimiser, by the type of their numbers."""
    folder, paths = tmp_path_factory.mktemp("audited"), []
    for seed in (41, 42):
        torch.manual_seed(seed)  # of dropout
        model = small_model(seed)
        optimizer = torch.optim.Adam(model.train().parameters(), lr=LEARNING_RATE)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.arange(32), torch.arange(32) % NUM_RELATIONS).square().mean().backward()
            optimizer.step()
        paths.append(save_checkpoint(folder / f"{seed}.pt", model.eval()))
        contents = torch.load(paths[-1], weights_only=True)
        torch.save(contents | {"optimizer_state_dict": optimizer.state_dict()}, paths[-1])
    types = {"float32": torch.float32, "float64": torch.float64}
    return {name: [load_checkpoint(path, dtype=dtype) for path in paths] for name, dtype in types.items()}


MODES = {
    "bce": {},
    "one-to-all": {"loss": OneToAll(label_smoothing=0.1)},
    "slcwa": {"loss": SLCWA(num_negatives=2)},
    "a loss of one's own": {"loss": Margin()},
    "the score": {"explain": "score"},
    "contrast": {"contrast": (5,)},
    "contrast of all scores": {"contrast": (5,), "loss": OneToAll()},
    "cosine": {"normalize": "cosine"},
    "relatif of slcwa": {"normalize": "relatif", "loss": SLCWA(num_negatives=2)},
    "adam": {"preconditioner": "adam"},
    "cosine with adam": {"preconditioner": "adam", "normalize": "cosine"},
    "adam of all scores": {"preconditioner": "adam", "loss": OneToAll()},
    "self-influence": {"mode": "self"},
    "self-influence of slcwa": {"mode": "self", "loss": SLCWA(num_negatives=2)},
    "together": {"together": True},
    "two sets with a contrast": {"together": ("one", "other", "one"), "contrast": (5,)},
    "two tensors": {"parameters": ("fc.bias", "relation_embeddings.*")},
    "opponents by relation": {"rank_by": "opponents", "group_by": ("relation",)},
}


IN_FLOAT64 = ("bce", "one-to-all", "slcwa", "cosine with adam")


@pytest.mark.parametrize(
    ("mode", "precision"), [*((mode, "float32") for mode in MODES), *((mode, "float64") for mode in IN_FLOAT64)]
)
def test_a_run_of_two_checkpoints_passes_its_audit_in_every_mode(make_job: MakeJob, series, mode, precision):
    options = {"learning_rate": (0.04, 0.01), "precision": precision} | MODES[mode]
    audit = make_job(model=series[precision], **options).carry_out().run["audit"]
    num_answers = {"self": 0}.get(options.get("mode"), 1 if options.get("together") is True else 2)
    assert (audit["rows"], audit["test_triples"]) == (ROWS, num_answers)
    assert 0 < audit["largest_deviation"] <= audit["limit"] == {"float32": 1e-4, "float64": 1e-9}[precision]
    assert audit["checkpoints"] == 2
    assert "why_not_all" not in audit


def test_every_rounded_precision_has_a_limit_that_trained_weights_keep(make_job: MakeJob, series):
    audit = make_job(model=series["float32"], precision="bf16-emulated").carry_out().run["audit"]
    assert audit["rows"] == ROWS
    assert 1e-4 < audit["largest_deviation"] <= audit["limit"] < 1


@pytest.mark.parametrize("options", [{}, {"loss": OneToAll()}, {"normalize": "cosine", "loss": SLCWA(num_negatives=2)}])
def test_other_models_pass_their_audit(make_job: MakeJob, options, tmp_path: Path):
    path = tmp_path / "own.pt"
    torch.manual_seed(0)
    torch.save(TailsBilinear(NUM_ENTITIES, NUM_RELATIONS).state_dict(), path)
    description = {"model": "influence.any_model:TailsBilinear", "model_kwargs": {}}
    audit = make_job(model=load_checkpoint(path, description=description), **options).carry_out().run["audit"]
    assert (audit["rows"], audit["test_triples"]) == (ROWS, 2)
    assert audit["largest_deviation"] <= audit["limit"] == 1e-4


@pytest.mark.parametrize("kind", [OneModule, SharedTensor])
def test_a_model_with_one_part_under_two_names_is_audited_and_left_as_it_was(make_job: MakeJob, kind, tmp_path: Path):
    torch.manual_seed(0)
    torch.save(kind(NUM_ENTITIES, NUM_RELATIONS).state_dict(), tmp_path / "own.pt")
    checkpoint = load_checkpoint(tmp_path / "own.pt", description=ModelDescription(model=kind))
    before = {name: tensor.clone() for name, tensor in checkpoint.model.module.state_dict().items()}
    audit = make_job(model=checkpoint).carry_out().run["audit"]
    assert audit["rows"] == ROWS
    assert audit["largest_deviation"] <= audit["limit"] == 1e-4
    after = checkpoint.model.module.state_dict()
    assert all(
        torch.equal(after[name], tensor) and after[name].dtype == tensor.dtype for name, tensor in before.items()
    )


class OwnNumbers(Bilinear):
    """A model whose code allows float32 alone."""

    def score(self, triples):
        head = self.entities[triples[:, 0]]
        return super().score(triples) + (head @ torch.ones(head.shape[-1], dtype=torch.float32)).sum(dim=-1)


def test_a_model_that_allows_float32_alone_is_audited_in_float32(make_job: MakeJob, tmp_path: Path):
    path = tmp_path / "own.pt"
    torch.save(OwnNumbers(NUM_ENTITIES, NUM_RELATIONS).state_dict(), path)
    description = {"model": f"{OwnNumbers.__module__}:OwnNumbers", "model_kwargs": {}}
    audit = make_job(model=load_checkpoint(path, description=description)).carry_out().run["audit"]
    assert (audit["rows"], audit["precision"]) == (ROWS, "float32")
    assert audit["largest_deviation"] <= audit["limit"]


def test_a_preconditioner_of_ones_own_is_audited_also_where_all_rows_are_recorded(make_job: MakeJob, tmp_path: Path):
    job = make_job(preconditioner=ByMeanSquare(), normalize="cosine")
    first, again = (job.carry_out(execution=Execution(record_directory=tmp_path)) for _ in range(2))
    for result in (first, again):
        assert 0 < result.run["audit"]["largest_deviation"] <= 1e-4
    assert again.run["statistics"]["resumed_rows"] > 0
    np.testing.assert_array_equal(first.norms.test, again.norms.test)


class Wrapped:
    """A preconditioner in a class of one's own."""

    def __init__(self, inner):
        self.inner = inner
        for name in ("check_covers", "times", "times_side_by_side", "squares", "is_diagonal", "diagonal", "matrices"):
            setattr(self, name, getattr(inner, name))

    def __contains__(self, name):
        return name in self.inner


class InItsOwnClass(ByMeanSquare):
    def fit(self, state, gathered, layout):
        return Wrapped(ByMeanSquare.fit(self, state, gathered, layout))


def test_a_preconditioner_in_a_class_of_ones_own_is_not_audited_and_the_result_says_so(make_job: MakeJob):
    result = make_job(preconditioner=InItsOwnClass()).carry_out()
    assert result.run["audit"]["rows"] == 0
    assert result.run["audit"]["why_not_all"].startswith("the preconditioner does not say how it")
    (line,) = audited(result)
    assert line.startswith("audit: nothing could be compared with plain automatic differentiation; the preconditioner")


LEFT_OUT = [
    ("conve.own_moves", "OWN_MOVES"),
    ("conve.forward_mode", "MOVED_EMBEDDINGS"),
    ("conve.terms.dense", "CONSTANTS"),
]


@pytest.mark.fault("an engine that forgets a term", promised="the audit fails the run")
@pytest.mark.parametrize(("module", "table"), LEFT_OUT)
def test_an_engine_without_a_term_fails_the_audit(make_job: MakeJob, monkeypatch, module, table):
    engine = import_module(f"tracin_dask.influence.{module}")
    for term in getattr(engine, table):
        drop(monkeypatch, engine, table, term.name)
    with pytest.raises(AuditError, match=EVERYTHING_IS_SAID):
        make_job().carry_out()
    assert "audit" not in make_job(audit=0).carry_out().run


TRIPLE, NUMBER = r"GENE:\d+ predicate:\d GENE:\d+", r"-?\d[\d.e-]*"
EVERYTHING_IS_SAID = (
    rf"the audit failed: \d+ of \d+ influences differ from plain automatic differentiation\. The influence of the "
    rf"training triple {TRIPLE} on the test triple {TRIPLE} is {NUMBER} in this run, and {NUMBER} by plain automatic "
    rf"differentiation: the difference is {NUMBER} of the product of both gradients' lengths, and 1e-04 is allowed\. "
    r"Nothing was written\. Please report this, with the options and the model; --audit off gives the result as it is"
)


@pytest.mark.fault("a list that does not state what was computed", promised="the audit fails the run")
def test_a_list_that_does_not_state_what_the_engine_computes_fails_the_audit(make_job: MakeJob, monkeypatch):
    def shifted(*arguments):
        found = ranked(*arguments)
        return replace(found, influence=1.01 * found.influence)

    ranked = topk.ranked
    monkeypatch.setattr(topk, "ranked", shifted)
    with pytest.raises(AuditError, match=r"the audit failed: [12] of 10 influences differ"):
        make_job().carry_out()


@pytest.mark.fault("a failed audit", promised="finished rows are kept")
def test_a_failed_audit_keeps_finished_rows_and_is_repeated_when_the_run_is_started_again(
    make_job: MakeJob, tmp_path: Path, monkeypatch
):
    job, execution = make_job(), Execution(record_directory=tmp_path / "records")
    expected = bits(job.carry_out())
    with monkeypatch.context() as wrong:
        wrong.setattr(compare, "_by_engine", doubled)
        for _ in range(2):
            with pytest.raises(
                AuditError, match=r"Nothing was written, finished rows are kept in .*records\. .*; --restart scores all"
            ):
                job.carry_out(execution=execution)
    result = job.carry_out(execution=execution)
    assert result.run["statistics"]["resumed_rows"] == result.run["num_training_triples"]
    assert result.run["audit"]["rows"] == ROWS
    assert bits(result) == expected


by_engine = compare._by_engine


def doubled(*arguments):
    influences, is_left_out = by_engine(*arguments)
    return 2 * influences, is_left_out


@pytest.mark.parametrize(("normalize", "is_left_out"), [("none", False), ("relatif", False), ("cosine", True)])
def test_a_contrast_of_two_tails_that_are_almost_equal_passes_the_audit(
    make_job: MakeJob, graph: Graph, tmp_path: Path, normalize, is_left_out
):
    model, test = small_model(), graph.test_triples[2:]
    with torch.no_grad():
        table = model.entity_embeddings.weight
        table[5] = table[test[0, 2]] + 1e-5 * torch.randn(table.shape[1], generator=torch.Generator().manual_seed(0))
    job = make_job(
        model=load_checkpoint(save_checkpoint(tmp_path / "model.pt", model)),
        tests=test,
        contrast=(5,),
        normalize=normalize,
        parameters=("fc.*", "bn2.*"),
    )
    audit = job.carry_out().run["audit"]
    assert audit["limit"] == 1e-4
    if is_left_out:
        assert (audit["rows"], audit["largest_deviation"]) == (0, None)
        assert audit["excluded"] >= ROWS
    else:
        assert audit["rows"] == ROWS
        assert 0 < audit["largest_deviation"] <= 1e-4


def test_workers_audit_too(make_job: MakeJob, client: Client, series):
    job = make_job(model=series["float32"], preconditioner="adam", normalize="cosine")
    here, there = (job.carry_out(where).run["audit"] for where in (None, client))
    assert there["rows"] == ROWS
    assert here["largest_deviation"] == there["largest_deviation"]


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(choice, "SHARE_OF_TIME", 0.0)


@pytest.mark.usefixtures("no_time")
def test_an_audit_stops_when_its_time_is_over_and_says_so(make_job: MakeJob):
    audit = make_job().carry_out().run["audit"]
    assert (audit["rows"], audit["test_triples"]) == (1, 1)
    assert audit["why_not_all"] == "more would take longer than 0.0 s"


@pytest.mark.usefixtures("no_time")
def test_as_many_training_triples_are_audited_as_are_asked_for_whatever_that_takes(make_job: MakeJob):
    assert make_job(audit=9).carry_out().run["audit"]["rows"] == 9
    with pytest.raises(ConfigError, match="audit must be at least 0, not -1"):
        make_job(audit=-1)


def test_triples_near_a_kink_are_excluded_and_counted(make_job: MakeJob, monkeypatch):
    monkeypatch.setitem(tolerance._FULL, torch.float32, (1e-4, 1e9))
    audit = make_job().carry_out().run["audit"]
    assert (audit["rows"], audit["test_triples"], audit["largest_deviation"]) == (0, 0, None)
    assert audit["excluded"] == 3
    assert audit["why_not_all"] == "none of the others that were tried can be compared"


def test_the_first_of_several_checkpoints_is_audited_alone_where_all_triples_are_near_a_kink_at_others(
    make_job: MakeJob, series, monkeypatch
):
    def all_near(self, *_):
        nothing = self.numbers.products * np.nan
        return replace(self.numbers, products=nothing, bounds=nothing)

    monkeypatch.setattr(Picked, "at", all_near)
    job = make_job(model=series["float32"], normalize="cosine", preconditioner="adam")
    audit = job.carry_out().run["audit"]
    assert (audit["rows"], audit["test_triples"], audit["checkpoints"]) == (ROWS, 2, 1)
    assert 0 < audit["largest_deviation"] <= 1e-4


def test_a_set_that_is_near_a_kink_is_audited_by_single_test_triples(make_job: MakeJob, monkeypatch):
    def only_alone(self, question, answer):
        return None if len(answer.triples) > 1 else of_answer(self, question, answer)

    of_answer = PlainGradients.of_answer
    monkeypatch.setattr(PlainGradients, "of_answer", only_alone)
    audit = make_job(together=True).carry_out().run["audit"]
    assert (audit["rows"], audit["test_triples"], audit["excluded"]) == (ROWS, 2, 1)


KINKS = {
    "relu": (torch.relu, 0),
    "abs": (torch.abs, 0),
    "clamp": (lambda values: values.clamp(min=2, max=9), 2),
    "norm": (lambda values: values.norm(p=1, dim=0), 0),
}


@pytest.mark.parametrize(("operation", "at"), KINKS.values(), ids=KINKS.keys())
def test_kinks_are_seen_where_they_are(operation, at):
    for value, is_near in ((at + 1e-6, True), (at - 1e-6, True), (at + 1e-4, False)):
        with KinkWatch(1e-5) as watch:
            operation(torch.tensor([value, at + 5.0], dtype=torch.float64))
        assert watch.is_near == is_near


def test_gradients_of_plain_autograd_equal_the_oracle(series):
    (checkpoint, _), triple, loss = series["float64"], torch.tensor([3, 1, 4]), OneToAll(label_smoothing=0.1)
    gradients = PlainGradients(
        model=plain_model(checkpoint.model, loss),
        loss=loss,
        tracked=frozenset(checkpoint.config.parameter_names),
        preconditioner=None,
        margin=0.0,
    )
    expected = oracle.gradients(checkpoint.model, triple, oracle.of_all_scores(loss.value))
    found = gradients.of_training(triple.numpy())
    for name, gradient in found.gradient.items():
        whole = gradient.to_dense() if gradient.is_sparse else gradient
        torch.testing.assert_close(whole, expected[name], rtol=1e-10, atol=1e-14)
    assert found.gradient.keys() == expected.keys()


def test_the_plan_counts_the_audit_and_a_run_that_it_does_not_fit_into_is_refused(make_job: MakeJob):
    with_audit, without = make_job().plan.memory, make_job(audit=0).plan.memory
    assert with_audit.audit > without.audit == 0
    assert with_audit.total >= without.total
    large = replace(with_audit, audit=with_audit.scoring + 2**30)
    assert large.total == with_audit.total + 2**30
    with pytest.raises(MemoryLimitError, match=r"at the end the audit 1,\d+ .*; what helps most is --audit off"):
        refuse_too_large(large, (without.total, None), batch_size=BATCH_SIZE, num_checkpoints=1)
