"""What follows from the ids of a batch is found out in a thread of its own, while the batch before is scored."""

import threading
from weakref import WeakKeyDictionary

import pytest
from small_graph import BATCH_SIZE, NUM_ROWS, MakeJob

from tracin_dask.influence import devices
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.runs.execute.driver import _job
from tracin_dask.runs.work.rows.ahead import one_ahead
from tracin_dask.runs.work.rows.fit import gather, pass_parts
from tracin_dask.runs.work.score import prepare_test, score_rows
from tracin_dask.runs.work.state import WorkerState

KINDS = {
    "bce": {},
    "cosine": {"normalize": "cosine"},
    "self": {"mode": "self"},
    "slcwa": {"loss": SLCWA(num_negatives=2)},
    "one-to-all": {"loss": OneToAll()},
    "groups": {"group_by": ("relation",)},
}


@pytest.mark.parametrize("on_gpu", [True, False], ids=["as on a GPU", "on a CPU"])
@pytest.mark.parametrize("kind", KINDS)
def test_index_arrays_are_made_by_a_thread_ahead_on_a_gpu_alone(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, kind, on_gpu
):
    planned = make_job(**KINDS[kind])
    job, state = _job(planned.prepared, planned.plan, planned.prepared.reductions()), WorkerState()
    targets = planned.prepared.targets
    test = None if targets is None else prepare_test(state, job, targets)
    packed, makers = list[int](), WeakKeyDictionary[IndexArrays, set[int]]()
    put, pack = IndexArrays.put, IndexArrays.pack

    def noted_put(self, values):
        makers.setdefault(self, set()).add(threading.get_ident())
        return put(self, values)

    def noted_pack(self):
        packed.extend({threading.get_ident(), *makers.get(self, ())})
        pack(self)

    monkeypatch.setattr(IndexArrays, "put", noted_put)
    monkeypatch.setattr(IndexArrays, "pack", noted_pack)
    monkeypatch.setattr(devices, "computes_ahead", lambda _: on_gpu)
    score_rows(state, job, test, (0, NUM_ROWS))
    assert len(packed) == -(-NUM_ROWS // BATCH_SIZE)
    assert (threading.get_ident() not in packed) == on_gpu


def test_the_pass_for_a_curvature_makes_index_arrays_ahead(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch):
    planned = make_job(curvature="rows", parameters=("*_embeddings.weight",))
    job, state = _job(planned.prepared, planned.plan, planned.prepared.reductions()), WorkerState()
    packed, pack = list[int](), IndexArrays.pack

    def noted_pack(self):
        packed.append(threading.get_ident())
        pack(self)

    monkeypatch.setattr(IndexArrays, "pack", noted_pack)
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)
    for part in pass_parts(job):
        gather(state, job, part)
    assert len(packed) == len(pass_parts(job)) * -(-NUM_ROWS // BATCH_SIZE)
    assert threading.get_ident() not in packed


def test_the_next_item_is_made_while_the_first_is_used_and_no_further_one():
    made, is_second = list[int](), threading.Event()

    def items():
        for number in range(4):
            made.append(number)
            if number == 1:
                is_second.set()
            yield number

    ahead = one_ahead(items(), "ahead")
    assert next(ahead) == 0
    assert is_second.wait(10)
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3]


def test_an_error_of_the_thread_ahead_arrives_when_its_item_is_wanted():
    def items():
        yield 0
        raise ValueError("no second one")

    ahead = one_ahead(items(), "ahead")
    assert next(ahead) == 0
    with pytest.raises(ValueError, match="no second one"):
        next(ahead)


def test_what_is_made_ahead_is_closed_when_nobody_wants_more():
    closed = list[bool]()

    def items():
        try:
            yield from range(10)
        finally:
            closed.append(True)

    ahead = one_ahead(items(), "ahead")
    assert next(ahead) == 0
    ahead.close()
    assert closed == [True]
