"""The peers of the benchmark: each gives what it claims to give, and is measured in a process of its own."""

import copy
import fnmatch
import json
import stat
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import oracle
import pytest
import torch
from conftest import random_model
from packaging.requirements import Requirement
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from bench_peers import PEERS
from bench_peers.child import peak_bytes
from bench_peers.environments import ENVIRONMENTS, FOLDER_VARIABLE, folder, interpreter, main
from bench_peers.measure import installed, measure, products
from bench_peers.peer import installed_version
from bench_peers.process import PeerError
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
    torch.testing.assert_close(found, expected, rtol=peer.relative_error, atol=1e-12)


@pytest.mark.parametrize("key", PEERS)
def test_a_peer_in_an_environment_of_its_own_gives_the_oracles_products(key):
    peer, model, train = PEERS[key], random_model(), train_triples(37)
    if peer.is_installed() and key != "torch-func":
        pytest.skip(f"{peer.name} is installed here, where other tests use it")
    if not peer.is_installed() and interpreter(peer.requirement) == Path(sys.executable):
        pytest.skip(f"{peer.name} has no environment: python -P -m bench_peers.environments")
    found = products(key, model, train=train, test=TEST)
    expected = oracle_influences(model, train, TEST, peer.tracks)
    torch.testing.assert_close(found, expected, rtol=peer.relative_error, atol=1e-12)


def test_a_prepared_peer_scores_one_batch_after_another(peer, tmp_path):
    train = train_triples(9)
    score = peer.prepare(random_model(), TEST, tmp_path)
    whole = score(train)
    parts = [score(part) for part in train.split([1, 5, 3])]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=peer.relative_error, atol=1e-12)


def test_a_peer_scores_against_a_single_test_triple(peer, tmp_path):
    model, train = random_model(), train_triples(3)
    found = peer.prepare(model, TEST[2:3], tmp_path)(train)
    expected = oracle_influences(model, train, TEST[2:3], peer.tracks)
    torch.testing.assert_close(found, expected, rtol=peer.relative_error, atol=1e-12)


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
    torch.testing.assert_close(found, expected, rtol=peer.relative_error, atol=1e-12)
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


def python_in(environments: Path, name: str, script: str) -> Path:
    """Put a shell script where an environment has its interpreter."""
    python = environments / name / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return python


def test_each_library_is_asked_in_its_environment_or_here(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    answer = json.dumps(dict.fromkeys(PEERS, "9.9"))
    python = python_in(tmp_path, "captum", f"echo '{answer}'")
    assert interpreter(PEERS["captum-fast"].requirement) == python
    assert interpreter(PEERS["torch-func"].requirement) == Path(sys.executable)
    theirs = {key: "9.9" for key, peer in PEERS.items() if peer.requirement.startswith("captum")}
    assert len(theirs) == 2
    assert installed() == {key: installed_version(peer.requirement) for key, peer in PEERS.items()} | theirs


def test_every_library_has_an_environment_and_environments_are_of_the_projects_folder_by_default(monkeypatch):
    needed = {peer.requirement for peer in PEERS.values()} - {PEERS["torch-func"].requirement}
    assert {one.requirement for one in ENVIRONMENTS.values()} == needed
    assert all(Requirement(one.requirement).name == name for name, one in ENVIRONMENTS.items())
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert folder() == Path(__file__).parents[2] / ".peers"


def test_an_environment_gets_torch_first_then_the_library_and_loses_what_cannot_be_loaded(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    log = tmp_path / "log"
    monkeypatch.setattr(
        "bench_peers.environments.venv.create",
        lambda place, **_: python_in(place.parent, place.name, f'echo "$@" >> {log}'),
    )
    assert main(["bergson", "pydvl"]) == 0
    torch_first, library, without, _, pydvl = log.read_text().splitlines()
    assert torch_first.endswith("/constraints.txt torch")
    assert library.endswith("jaxtyping numpy packaging bergson>=2.5,<2.6")
    assert without.endswith("uninstall --quiet --yes torchvision torchaudio")
    assert "constraints-pydvl.txt" in pydvl
    for one in ENVIRONMENTS.values():
        assert "torch==" in (Path(__file__).parents[2] / one.constraints).read_text()


def test_an_environment_that_cannot_be_made_is_an_error_that_names_its_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(
        "bench_peers.environments.venv.create", lambda place, **_: python_in(place.parent, place.name, "exit 1")
    )
    assert main(["dattri"]) == 1
    assert "Error: dattri could not be installed: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["datri"])
    assert "no library 'datri'; there are: captum," in capsys.readouterr().err


def test_a_peer_that_is_not_installed_names_its_pip_line(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
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
    python = python_in(tmp_path, "captum", script)
    with pytest.raises(PeerError, match=message):
        measure(
            "captum",
            random_model(),
            train=train_triples(4),
            test=TEST,
            timing=Timing(timeout_seconds=timeout),
            python=python,
        )


def test_an_interpreter_that_does_not_run_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    python = python_in(tmp_path, "dattri", "")
    python.chmod(stat.S_IRUSR)
    with pytest.raises(PeerError, match=f"dattri/bin/python does not run: .*; {FOLDER_VARIABLE} may name"):
        installed()
