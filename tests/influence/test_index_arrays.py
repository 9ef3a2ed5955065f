"""The index arrays of a batch travel to the device together, in one copy, and nothing else does."""

import gc
import weakref

import numpy as np
import pytest
import torch
from conftest import random_model
from influence.agreement import TEST, TRAIN, engine_for
from influence.any_model import face
from influence.indexed import CPU
from influence.tiled import tile_as_on_a_gpu
from torch.overrides import TorchFunctionMode

from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.columns import Question, Targets, answers_of, prepare_question
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll, num_parts
from tracin_dask.influence.normalised import NormalisedScorer, question_lengths, without_powers
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.summed import SelfScorer, SummedScorer


class Copies(TorchFunctionMode):
    """Counts copies to a device: those that the host does not wait for, and others; PyKEEN asks for such of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.number = self.others = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        options = kwargs or {}
        if func is torch.Tensor.to and any(isinstance(one, torch.device) for one in args):
            self.number += options.get("non_blocking", False)
            self.others += not options.get("non_blocking", False)
        elif func in {torch.tensor, torch.as_tensor, torch.asarray}:
            self.others += not isinstance(args[0], torch.Tensor)
        return func(*args, **options)


def conve(loss, modes, rate=1.0):
    model = random_model(seed=int(10 * rate))
    return engine_for(model, model.config.parameter_names, loss=loss, modes=modes, learning_rate=rate)


def any_model(loss, modes, rate=1.0):
    model = face("TuckER")
    names = frozenset(model.config.parameter_names)
    return GradientEngine(model=model, tracked=names, loss=loss, learning_rate=rate, modes=modes)


BCE, DENSE = BinaryCrossEntropy(), GradientModes(has_dense=True)
ENGINES = {
    "rows": (conve, BCE, Modes()),
    "heads": (conve, BCE, Modes(head_jacobians=True, relation_table=True)),
    "forward": (conve, BCE, Modes(forward=True)),
    "one-to-all": (conve, OneToAll(label_smoothing=0.1), Modes(all_scores=True)),
    "slcwa": (conve, SLCWA(num_negatives=2), Modes(head_jacobians=True)),
    "any model": (any_model, BCE, DENSE),
    "any model, slcwa": (any_model, SLCWA(num_negatives=2), DENSE),
}
SETS = np.arange(len(TEST)) // 2


def scorer_of(name, *, wanted):
    """Make what scores batches under one or two checkpoints."""
    make, loss, modes = ENGINES[name]
    engines = [make(loss, modes, rate) for rate in ((0.1, 0.2) if wanted in {"checkpoints", "cosine"} else (0.1,))]
    if wanted == "self":
        return SelfScorer(engines)
    targets = Targets(triples=TEST.numpy(), answers=SETS if wanted == "sets" else None)
    tests = [prepare_question(engine, Question(), targets, batch_size=8) for engine in engines]
    answers = answers_of(targets, num_parts(loss))
    if wanted != "cosine":
        scorers = [make_scorer(engine, one, answers) for engine, one in zip(engines, tests, strict=True)]
        return SummedScorer(scorers)
    tests, powers = without_powers(tests, answers)
    scorers = [make_scorer(engine, one, answers) for engine, one in zip(engines, tests, strict=True)]
    return NormalisedScorer(SummedScorer(scorers), engines, question_lengths(engines, Question(), targets), powers)


@pytest.mark.parametrize("wanted", ["one", "checkpoints", "sets", "cosine", "self"])
@pytest.mark.parametrize("name", ENGINES)
def test_a_batch_is_one_copy_to_the_device(name, wanted, monkeypatch):
    tile_as_on_a_gpu(monkeypatch)
    with torch.no_grad():
        scorer = scorer_of(name, wanted=wanted)
        arrays = IndexArrays(CPU)
        indexed = scorer.index(TRAIN.numpy(), arrays)
        arrays.pack()
        monkeypatch.setattr(torch, "from_numpy", None)
        with Copies() as copies:
            found = sum(len(part.rows) for part in scorer.parts(indexed))
    assert (found, copies.number) == (len(TRAIN), 1)
    assert copies.others == 0 or name.startswith("any model")


def test_indexing_a_batch_leaves_the_device_alone():
    with torch.no_grad():
        scorer = scorer_of("heads", wanted="cosine")
    with Copies() as copies:
        arrays = IndexArrays(CPU)
        scorer.index(TRAIN.numpy(), arrays)
        arrays.pack()
    assert copies.number == copies.others == 0


def test_index_arrays_are_views_of_one_buffer_in_their_shapes():
    arrays = IndexArrays(CPU)
    values = [np.arange(6).reshape(2, 3), np.empty(0, np.int64), np.int32([7, 8])]
    given = [arrays.put(one) for one in values]
    for one, wanted in zip(given, values, strict=True):
        assert one.tensor.dtype == torch.int64
        assert one.tensor.tolist() == one.host.tolist() == wanted.tolist()
    assert len({one.tensor.untyped_storage().data_ptr() for one in given}) == 1
    with pytest.raises(AssertionError):
        arrays.put(values[0])


def test_truth_values_share_the_buffer_of_index_arrays():
    arrays = IndexArrays(CPU)
    for shape in [(3, 5), (8,), (0, 4)]:
        wanted = np.random.default_rng(0).random(shape) < 0.5
        flags = arrays.put_flags(wanted)
        number, array = arrays.put(np.arange(3)), flags.numbers
        assert flags.tensor.tolist() == wanted.tolist()
        assert number.tensor.untyped_storage().data_ptr() == array.tensor.untyped_storage().data_ptr()
        arrays = IndexArrays(CPU)


def test_index_arrays_are_freed_with_the_last_of_them():
    arrays = IndexArrays(CPU)
    one, other = arrays.put(np.arange(3)), arrays.put(np.arange(4))
    freed = weakref.ref(arrays)
    arrays.pack()
    assert other.tensor.tolist() == [0, 1, 2, 3]
    gc.disable()
    try:
        del arrays, other
        assert freed() is not None
        del one
        assert freed() is None
    finally:
        gc.enable()
