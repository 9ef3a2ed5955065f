"""What every room's tests share: shapes checked at run time, random models, real graphs."""

import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))
jaxtyping.install_import_hook("tracin_dask", "beartype.beartype")

import torch  # noqa: E402 - the hook must come first
from hypothesis import settings  # noqa: E402 - the hook must come first

from tracin_dask.models.conve.model import ConvE, ConvEConfig  # noqa: E402 - the hook must come first

# How long one example takes says more about the machine than about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

WHOLE_RUNS = {"cli", "docs", "launch", "runs", "scripts", "validation"}
"""Folders of tests that compute whole runs."""
SHAPES_IN_ONE_OF = 5

pytest_plugins = ["fault_table", "object_store"]


def pytest_configure() -> None:
    """Let commands that tests start listen to SIGINT, which a shell lets jobs in the background ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests on a Slurm: they mostly wait, while those of another process compute."""
    items.sort(key=lambda item: item.path.parent.name != "slurm")


@pytest.fixture(autouse=True)
def _shapes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the shapes of all arrays, or in a part of the tests of whole runs: these repeat the same calls.

    That takes twice as long as the calls themselves.
    """
    is_whole_run = WHOLE_RUNS.intersection(request.path.parts)
    is_sampled = zlib.crc32(request.node.name.encode()) % SHAPES_IN_ONE_OF == 0
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", bool(is_whole_run) and not is_sampled)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Use one thread: two that share busy cores wait for each other, up to ten times as long."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data() -> Path:
    """Give the folder of larger graphs; where it is stated, a missing file fails."""
    folder = os.environ.get("TRACIN_DASK_DATA")
    if not folder:
        pytest.skip("TRACIN_DASK_DATA names no folder of larger graphs")
    return Path(folder)


@pytest.fixture(scope="session")
def made_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a graph of the size of hetionet-lite, with a checkpoint and 300 test triples."""
    folder = tmp_path_factory.mktemp("made") / "graph"
    scripts = Path(__file__).parents[1] / "scripts"
    sizes = {"triples": 60_000, "entities": 10_000, "relations": 24, "test-triples": 300, "valid-triples": 100}
    words = [f"--{name}={size}" for name, size in sizes.items()]
    command = [sys.executable, scripts / "make_graph.py", "--output", folder, *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    return folder


def random_model(seed: int = 0, **sizes: object) -> ConvE:
    """Make an eval-mode float64 ConvE in which no batch norm, bias or statistic is at its neutral value."""
    settings = {
        "num_entities": 17,
        "num_relations": 4,
        "embedding_dim": 24,
        "embedding_height": 4,
        "embedding_width": 6,
        "output_channels": 5,
    } | sizes
    generator = torch.Generator().manual_seed(seed)
    model = ConvE(ConvEConfig(**settings)).double().eval()
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
                tensor.copy_(
                    1 + 0.3 * noise.abs() if "var" in name or ("bn" in name and "weight" in name) else 0.2 * noise
                )
    return model
