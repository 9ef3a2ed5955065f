"""The peers of the benchmark: each gives what it claims to give, and is measured in a process of its own."""

import copy
import fnmatch
import stat
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import oracle
import pytest
import torch
from conftest import random_model
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from bench_peers import PEERS
from bench_peers.child import peak_bytes
from bench_peers.measure import PYTHON_VARIABLE, PeerError, installed, measure
from bench_peers.peer import installed_version
from bench_peers.timing import Timing, choose_rows, time_scorer

# Other people's libraries warn on import and in use; what they compute is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")

TEST = torch.tensor([[0, 0, 1], [3, 2, 3], [16, 3, 5], [0, 0, 1], [1, 1, 0]])


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest):
    found = PEERS[request.param]
    if not found.is_installed():
        pytest.skip(f"{found.name} is not installed: pip install '{found.requirement}'")
    return found


def train_triples(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    heads, tails = torch.randint(17, (2, count), generator=generator)
    triples = torch.stack([heads, torch.randint(4, (count,), generator=generator), tails], dim=1)
    triples[:2] = TEST[:2]
    return triples


def oracle_influences(model: torch.nn.Module, train: Tensor, test: Tensor, patterns: tuple[str, ...]) -> Tensor:
    products = oracle.products(model, train, test)
    return sum(p for name, p in products.items() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns))


@pytest.mark.parametrize("sizes", [{}, {"has_entity_bias": True, "stacking": "height"}], ids=["plain", "pykeen"])
def test_a_peer_gives_the_oracles_products_of_the_tensors_that_it_tracks(peer, sizes, tmp_path):
    model, train = random_model(**sizes), train_triples(37)
    found = peer.prepare(model, TEST, tmp_path)(train)
    expected = oracle_influences(model, train, TEST, peer.tracks)
    assert found.shape == (37, 5)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_prepared_peer_scores_one_batch_after_another(peer, tmp_path):
    train = train_triples(9)
    score = peer.prepare(random_model(), TEST, tmp_path)
    whole = score(train)
    parts = [score(part) for part in train.split([1, 5, 3])]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-9, atol=1e-12)


def test_a_peer_scores_against_a_single_test_triple(peer, tmp_path):
    model, train = random_model(), train_triples(3)
    found = peer.prepare(model, TEST[2:3], tmp_path)(train)
    torch.testing.assert_close(found, oracle_influences(model, train, TEST[2:3], peer.tracks), rtol=1e-9, atol=1e-12)


def test_a_peer_leaves_the_model_as_it_was(peer, tmp_path):
    model = random_model()
    before = copy.deepcopy(model.state_dict())
    peer.prepare(model, TEST, tmp_path)(train_triples(4))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_peer_scores_a_model_in_training_mode_in_eval_mode(peer, tmp_path):
    model, train = random_model(), train_triples(4)
    expected = oracle_influences(model, train, TEST, peer.tracks)
    found = peer.prepare(model.train(), TEST, tmp_path)(train)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert model.training


def test_the_torch_func_peer_is_always_installed():
    assert PEERS["torch-func"].is_installed()


def test_peers_are_frozen_values_with_names_of_their_own():
    assert len({peer.name for peer in PEERS.values()}) == len(set(PEERS.values())) == len(PEERS)
    with pytest.raises(FrozenInstanceError):
        PEERS["torch-func"].name = "another"


def test_a_version_out_of_range_counts_as_not_installed():
    assert installed_version("torch>=2") == torch.__version__
    assert installed_version("torch<2") is None
    assert installed_version("no-such-distribution-of-anybody>=1") is None


@pytest.mark.parametrize(("overhead", "per_row"), [(0.0, 0.001), (0.0, 0.5), (0.4, 0.001), (0.0, 1e-6)])
def test_the_chosen_rows_take_about_the_stated_time(monkeypatch, overhead, per_row):
    clock = [0.0]
    monkeypatch.setattr("bench_peers.timing.time.perf_counter", lambda: clock[0])

    def score(rows: Tensor) -> Tensor:
        clock[0] += overhead + per_row * len(rows)
        return rows

    rows = choose_rows(score, torch.zeros(100_000_000, 0), Timing(seconds=2.0))
    assert 1.0 <= overhead + per_row * rows <= 2.5


def test_timing_uses_at_most_the_existing_rows():
    seen = []
    runs = time_scorer(lambda rows: seen.append(len(rows)), torch.zeros(40, 3), Timing(seconds=60.0, repeats=2))
    assert runs.rows == 40
    assert len(runs.seconds) == 2
    assert seen[0] == 16
    assert seen[-2:] == [40, 40]


@pytest.mark.parametrize("name", ["threads", "seconds", "repeats", "warm_up_rows", "timeout_seconds"])
def test_invalid_timings_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be positive, not 0"):
        Timing(**{name: 0})


def test_measured_peak_memory_covers_the_allocated_bytes():
    tensor = torch.ones(2**24)
    assert peak_bytes() > tensor.nbytes


def test_a_peer_is_measured_in_a_process_of_its_own():
    timing = Timing(threads=1, seconds=0.02, repeats=3)
    found = measure("torch-func", random_model(), train=train_triples(400), test=TEST, timing=timing)
    assert (found.peer, found.version, found.num_tests) == ("torch-func", torch.__version__, 5)
    assert 1 <= found.rows <= 400
    assert 0 < found.rows_per_second_min <= found.rows_per_second <= found.rows_per_second_max
    assert found.prepare_seconds > 0
    assert found.peak_bytes > 2**24


def test_an_interpreter_lists_its_installed_peers(monkeypatch):
    monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
    assert installed() == {key: installed_version(peer.requirement) for key, peer in PEERS.items()}


def test_a_peer_that_is_not_installed_names_its_pip_line():
    absent = [key for key, peer in PEERS.items() if not peer.is_installed()]
    if not absent:
        pytest.skip("all peers are installed")
    with pytest.raises(PeerError, match=f"pip install '{PEERS[absent[0]].requirement.split('[')[0]}"):
        measure(absent[0], random_model(), train=train_triples(4), test=TEST)


def test_an_unknown_peer_is_refused_with_the_known_ones():
    with pytest.raises(PeerError, match="no peer 'captun'; there are: captum,"):
        measure("captun", random_model(), train=train_triples(4), test=TEST)


@pytest.mark.parametrize(
    ("script", "timeout", "message"),
    [
        ("kill -9 $$", 60, "captum: killed, most often because memory ran out"),
        ("kill -15 $$", 60, "captum: ended by signal 15"),
        ("echo 'it broke' >&2; exit 3", 60, "(?s)captum: ended with code 3 in .*it broke"),
        ("exec sleep 60", 0.5, "captum: not done after 0.5 seconds"),
    ],
)
def test_a_peer_process_that_dies_is_reported_with_its_reason(tmp_path, script, timeout, message):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(PeerError, match=message):
        measure(
            "captum",
            random_model(),
            train=train_triples(4),
            test=TEST,
            timing=Timing(timeout_seconds=timeout),
            python=python,
        )


def test_a_missing_peer_interpreter_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "no-python"))
    with pytest.raises(PeerError, match=f"no-python does not run: .*; {PYTHON_VARIABLE} may name it"):
        installed()
