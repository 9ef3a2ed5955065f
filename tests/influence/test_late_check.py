"""NaN and infinity are found later on a device, with the message of a check at once."""

import numpy as np
import pytest
import torch

from tracin_dask.errors import NonFiniteError
from tracin_dask.influence import devices
from tracin_dask.influence.finite import LateCheck, refuse_non_finite
from tracin_dask.influence.reductions.base import scored_batch

TRIPLES = np.arange(24).reshape(8, 3)


def with_wrong(places: dict[tuple[int, int], float]) -> torch.Tensor:
    values = torch.full((8, 2), torch.finfo(torch.float32).max)  # whose sum is infinite
    for place, value in places.items():
        values[place] = value
    return values


@pytest.mark.parametrize(
    "places",
    [{(5, 1): float("nan")}, {(7, 0): float("inf"), (3, 1): float("-inf"), (3, 0): float("nan")}],
    ids=["one", "two triples"],
)
def test_a_late_check_says_what_a_check_at_once_says(places):
    values, late = with_wrong(places), LateCheck()
    with pytest.raises(NonFiniteError) as at_once:
        refuse_non_finite(TRIPLES, values, what="training")
    late.note(TRIPLES[::-1], with_wrong({}))
    late.note(TRIPLES, values)
    late.note(TRIPLES[::-1], with_wrong({(0, 0): float("nan")}))
    with pytest.raises(NonFiniteError) as found:
        late.settle()
    assert str(found.value) == str(at_once.value)
    late.settle()  # what was found is not said twice


@pytest.mark.parametrize("on_device", [False, True])
def test_only_a_device_that_the_host_would_wait_for_is_checked_late(on_device, monkeypatch):
    monkeypatch.setattr(devices, "computes_ahead", lambda _: on_device)
    late, rows = LateCheck(), np.arange(8)
    some = {"triples": TRIPLES, "train_index": rows, "rows": rows, "late": late}
    if on_device:
        scored_batch(with_wrong({(5, 1): float("nan")}), **some)
    with pytest.raises(NonFiniteError, match=r"of 1 training triple.*\(head 15, relation 16, tail 17\)"):
        late.settle() if on_device else scored_batch(with_wrong({(5, 1): float("nan")}), **some)
