"""The whole curvature through landmarks: with every training triple as one it is the dense inverse."""

import numpy as np
import oracle
import pytest
import torch
from distributed import Client
from influence.any_model import gradients as any_gradients
from influence.any_model import own_bce
from small_graph import LEARNING_RATE, NUM_ROWS, Graph, MakeJob, bits
from test_any_model import write
from test_curvature_rows import FLOAT64, LOSSES, differentiate, models

from tracin_dask.errors import ConfigError, MemoryLimitError
from tracin_dask.influence.preconditioners.rows import DAMPING
from tracin_dask.resources import Resources

assert models  # a fixture
AMPLE = Resources(num_workers=1, threads_per_worker=1, memory_bytes=8 << 30)
ALL = FLOAT64 | {"resources": AMPLE} | {"curvature": "landmarks", "landmarks": NUM_ROWS}


def whole(checkpoint, triples, loss=oracle.bce, names="") -> np.ndarray:
    """Put each triple's gradient by all tensors, or those whose names begin so, into one row."""
    return side_by_side(differentiate(checkpoint, triples, loss), names)


def side_by_side(found, names="") -> np.ndarray:
    rows = [[part.flatten() for name, part in one.items() if name.startswith(names)] for one in found]
    return torch.stack([torch.cat(parts) for parts in rows]).detach().numpy()


def dense(train, test, *, damping=DAMPING, landmarks=None) -> tuple[np.ndarray, np.ndarray]:
    """Invert F + μ of the landmarks, or of all training triples; gives influences, and what errors are relative to."""
    chosen = train if landmarks is None else landmarks
    fisher = chosen.T @ chosen / len(chosen)
    least = damping * (chosen**2).sum() / len(chosen) / len(train)
    along = np.linalg.solve(fisher + least * np.eye(len(fisher)), test.T).T
    scale = np.linalg.norm(train, axis=1)[:, None] * np.linalg.norm(along, axis=1)
    return LEARNING_RATE * train @ along.T, LEARNING_RATE * scale


def assert_equal(result, expected, tolerance=1e-8):
    influence, scale = expected
    for index, ranking in enumerate(result.rankings):
        error = np.abs(ranking.influence - influence[ranking.train_index, index])
        assert (error <= tolerance * scale[ranking.train_index, index]).all()


@pytest.mark.parametrize("name", LOSSES)
def test_all_training_triples_as_landmarks_are_the_dense_inverse(make_job: MakeJob, graph: Graph, models, name):
    options, loss = LOSSES[name]
    train, test = (whole(models[0], triples, loss) for triples in (graph.lines, graph.test_triples))
    assert_equal(make_job(model=models[0], **ALL, **options).carry_out(), dense(train, test))
    result = make_job(model=models[0], **ALL, **options, damping=30.0).carry_out()
    assert_equal(result, dense(train, test, damping=30.0))


@pytest.mark.parametrize("name", LOSSES)
def test_contrasts_and_scores_go_through_landmarks_of_the_loss(make_job: MakeJob, graph: Graph, models, name):
    options, loss = LOSSES[name]
    train = whole(models[0], graph.lines, loss)
    asked = np.column_stack([graph.test_triples, np.full(3, 7)])
    test = whole(models[0], asked, oracle.of_contrast(loss))
    assert_equal(make_job(model=models[0], **ALL, **options, contrast=(7,)).carry_out(), dense(train, test))

    def negated(model, triple):
        return -oracle.scores(model, triple[None])[0]

    test = whole(models[0], graph.test_triples, negated)
    assert_equal(make_job(model=models[0], **ALL, **options, explain="score").carry_out(), dense(train, test))


def test_some_parameters_and_several_checkpoints_each_have_their_own_inverse(make_job: MakeJob, graph, models):
    sides = (graph.lines, graph.test_triples)
    parts = [dense(*(whole(one, triples, names="fc") for triples in sides)) for one in models]
    result = make_job(model=models, **ALL, parameters=("fc.*",), checkpoint_contributions=True).carry_out()
    assert_equal(result, tuple(sum(part) for part in zip(*parts, strict=True)))
    for index, ranking in enumerate(result.rankings):
        by_checkpoint = np.column_stack([part[0][ranking.train_index, index] for part in parts])
        scale = sum(part[1] for part in parts)[ranking.train_index, index]
        assert (np.abs(result.contributions[index] - by_checkpoint) <= 1e-8 * scale[:, None]).all()


def test_test_triples_of_one_answer_go_through_landmarks_together(make_job: MakeJob, graph, models):
    train, tests = (whole(models[0], triples) for triples in (graph.lines, graph.test_triples))
    test = tests.mean(axis=0, keepdims=True)
    together = make_job(model=models[0], **ALL, together=np.zeros(3, dtype=np.int64)).carry_out()
    assert_equal(together, dense(train, test))


@pytest.mark.parametrize("near", [False, True])
def test_fewer_landmarks_are_drawn_by_a_seed(make_job: MakeJob, graph, models, near):
    options = ALL | {"landmarks": 50, "landmarks_near": near}
    job, other = (make_job(model=models[0], **options, landmarks_seed=seed) for seed in (0, 1))
    drawn = job.prepared.landmarks.triples
    assert len(drawn) == 50
    assert not np.array_equal(drawn, other.prepared.landmarks.triples)
    touches = np.isin(drawn[:, [0, 2]], graph.test_triples[:, [0, 2]]).any(axis=1)
    assert touches.all() == near
    train, test, landmarks = (whole(models[0], triples) for triples in (graph.lines, graph.test_triples, drawn))
    result = job.carry_out()
    assert_equal(result, dense(train, test, landmarks=landmarks))
    assert bits(make_job(model=models[0], **options).carry_out()) == bits(result)
    assert {"landmarks": 50, "landmarks_near": near, "landmarks_seed": 0}.items() <= result.run.items()


def test_landmarks_near_are_filled_up_with_others(make_job: MakeJob, models):
    job = make_job(model=models[0], **ALL | {"landmarks": 600, "landmarks_near": True})
    rows = np.unique(job.prepared.landmarks.triples, axis=0)
    assert len(job.prepared.landmarks.triples) == 600
    assert len(rows) > 300


def test_float32_is_near_the_dense_inverse(make_job: MakeJob, graph, checkpoint, models):
    expected = dense(*(whole(models[0], triples) for triples in (graph.lines, graph.test_triples)), damping=10.0)
    result = make_job(model=checkpoint, curvature="landmarks", landmarks=NUM_ROWS, damping=10.0).carry_out()
    assert_equal(result, expected, tolerance=1e-3)
    assert "landmarks" in result.run["audit"]["why_not_all"]


def test_workers_give_the_same_bits(make_job: MakeJob, client: Client):
    job = make_job(curvature="landmarks", landmarks=100, damping=10.0)
    assert bits(job.carry_out()) == bits(job.carry_out(client))


def test_other_models_have_landmarks(make_job: MakeJob, graph, tmp_path):
    checkpoint = write(tmp_path, "TuckER", 1)

    expected = dense(
        *(
            side_by_side([any_gradients(checkpoint.model.model, one, own_bce) for one in torch.from_numpy(triples)])
            for triples in (graph.lines, graph.test_triples)
        )
    )
    assert_equal(make_job(model=checkpoint, **ALL, learning_rate=LEARNING_RATE).carry_out(), expected)


def test_what_landmarks_cannot_do_is_refused(make_job: MakeJob):
    with pytest.raises(ConfigError, match="take curvature rows"):
        make_job(curvature="landmarks", normalize="cosine")
    with pytest.raises(ConfigError, match="take curvature rows"):
        make_job(curvature="landmarks", mode="self")
    with pytest.raises(ConfigError, match="give curvature landmarks, too"):
        make_job(landmarks=5)
    tight = Resources(num_workers=1, threads_per_worker=1, memory_bytes=2 << 20)
    with pytest.raises(MemoryLimitError, match="the curvature"):
        make_job(curvature="landmarks", landmarks=500, resources=tight)
