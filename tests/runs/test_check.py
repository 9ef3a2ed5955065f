"""The known graph has the stored answer, by plain autograd and by the engine; a worker that errs is found."""

import torch
from oracle import products

from tracin_dask.runs import check
from tracin_dask.runs.check import (
    KNOWN_ANSWER,
    KNOWN_TESTS,
    KNOWN_TRAINING,
    check_this_process,
    check_workers,
    known_model,
)


def test_the_stored_influences_of_the_cluster_check_equal_autograd():
    model = known_model().double()
    by_tensor = products(model, torch.tensor(KNOWN_TRAINING), torch.tensor(KNOWN_TESTS))
    truth = torch.stack(list(by_tensor.values())).sum(dim=0)
    torch.testing.assert_close(truth, torch.tensor(KNOWN_ANSWER, dtype=torch.float64), rtol=1e-6, atol=1e-9)


def test_the_cluster_check_passes_and_measures_in_this_process():
    found = check_this_process()
    assert found.is_right
    assert found.deviation < 1e-5
    assert found.product_gflops > 0.1
    assert found.copy_gigabytes_per_second > 0.1


def test_the_cluster_check_detects_wrong_influences(monkeypatch):
    monkeypatch.setattr(check, "KNOWN_ANSWER", [[2 * value for value in row] for row in KNOWN_ANSWER])
    assert not check_this_process().is_right


def test_the_cluster_check_tests_every_worker(client):
    checked = list(check_workers(client))
    assert {worker.address for worker in checked} == set(client.scheduler_info(n_workers=-1)["workers"])
    assert all(worker.found.is_right for worker in checked)
    assert all(worker.network_megabytes_per_second > 1 for worker in checked)
