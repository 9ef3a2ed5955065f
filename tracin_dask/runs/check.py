"""Tries out the workers of a cluster: each scores a small known graph, and measures what it can do."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.cost import Computing, Workload
from tracin_dask.influence.engine import EngineSettings, engine_kind, parts_of
from tracin_dask.influence.losses import BinaryCrossEntropy
from tracin_dask.influence.precision import Precision
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.resources import cpu_count, own_gpu
from tracin_dask.runs.work.process import resolve_device
from tracin_dask.turn import Turn

if TYPE_CHECKING:
    from distributed import Client

KNOWN_CONFIG = ConvEConfig(
    num_entities=9, num_relations=3, embedding_dim=12, embedding_height=3, embedding_width=4, output_channels=4
)
KNOWN_TRAINING = ((0, 0, 1), (1, 1, 2), (2, 2, 2), (0, 0, 5), (7, 1, 8), (3, 2, 0))
KNOWN_TESTS = ((0, 0, 3), (4, 1, 2))
KNOWN_ANSWER = (
    (0.4401702497, -0.24490103),
    (-0.2427760522, 0.4815420498),
    (-0.2534533088, 0.4524234607),
    (0.3725103055, -0.2243654436),
    (-0.2240614352, 0.1739408209),
    (-0.1639286637, 0.1307373775),
)
"""Influences [training triple, test triple] at learning rate 1, by plain autograd in float64."""
TOLERANCE = 1e-4
"""Of the largest influence; float32 leaves some 1e-7."""
MATRIX_SIZE = 1024
COPY_BYTES = 2**26
NETWORK_BYTES = 2**24
ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCheck:
    """What one worker is and can do."""

    host: str
    device: str
    """The CPU, or the GPU's name."""
    threads: int
    device_bytes: int | None
    """Memory of its GPU."""
    deviation: float
    """Largest difference from the known answer, as a part of the largest influence."""
    product_gflops: float
    """float32 matrix products: 10⁹ operations per second."""
    copy_gigabytes_per_second: float
    """Copies in the device's memory, bytes read and written."""

    @property
    def is_right(self) -> bool:
        """Whether the known answer was found."""
        return self.deviation <= TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedWorker:
    """A worker by its address, with what the client knows of it."""

    address: str
    memory_bytes: int | None
    """Its limit of host memory."""
    network_megabytes_per_second: float
    """From the worker to the client."""
    found: WorkerCheck


def check_workers(client: "Client") -> Iterator[CheckedWorker]:
    """Try out every worker, one after the other; what a worker raises is raised."""
    for address, about in client.scheduler_info(n_workers=-1)["workers"].items():
        found = client.submit(check_this_process, workers=[address], pure=False).result()
        seconds = _seconds(partial(_fetch, client, address))
        yield CheckedWorker(
            address=address,
            memory_bytes=about["memory_limit"] or None,
            network_megabytes_per_second=NETWORK_BYTES / 1e6 / seconds,
            found=found,
        )


def _fetch(client: "Client", address: str) -> None:
    """Let a worker send its bytes to the client."""
    client.submit(bytes, NETWORK_BYTES, workers=[address], pure=False).result()


def check_this_process() -> WorkerCheck:
    """Score the known graph and measure the device that a run would take here."""
    device = resolve_device("auto")
    with Turn(cpu_count() if device.type == "cpu" else torch.get_num_threads(), "highest"):
        return _measured(device)


def _measured(device: torch.device) -> WorkerCheck:
    gpu = own_gpu()
    known = torch.tensor(KNOWN_ANSWER, dtype=torch.float64)
    left, right = torch.randn(2, MATRIX_SIZE, MATRIX_SIZE, device=device)
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.zeros_like(source)
    return WorkerCheck(
        host=socket.gethostname(),
        device="CPU" if device.type == "cpu" else torch.cuda.get_device_name(device),
        threads=torch.get_num_threads(),
        device_bytes=None if gpu is None else gpu[1],
        deviation=float((known_influences(device) - known).abs().max() / known.abs().max()),
        product_gflops=2e-9 * MATRIX_SIZE**3 / _seconds(lambda: torch.mm(left, right), device),
        copy_gigabytes_per_second=2e-9 * COPY_BYTES / _seconds(lambda: target.copy_(source), device),
    )


def known_model() -> ConvE:
    """Make the known model: no batch norm, bias or statistic at its neutral value, and no random number in it."""
    model = ConvE(KNOWN_CONFIG).eval()
    with torch.no_grad():
        for place, (name, tensor) in enumerate([*model.named_parameters(), *model.named_buffers()]):
            if tensor.is_floating_point():
                wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * (1.3 + place) + place)
                is_positive = "var" in name or ("bn" in name and "weight" in name)
                tensor.copy_((1 + 0.3 * wave if is_positive else 0.4 * wave).reshape(tensor.shape))
    return model


def known_influences(device: torch.device) -> Float[Tensor, "train test"]:
    """Score the known graph on a device, in float32, as a run does."""
    kind, tracked = engine_kind(KNOWN_CONFIG), frozenset(KNOWN_CONFIG.parameter_names)
    work = Workload(
        num_triples=len(KNOWN_TRAINING),
        num_heads=len({head for head, _, _ in KNOWN_TRAINING}),
        num_pairs=len({(head, relation) for head, relation, _ in KNOWN_TRAINING}),
        num_tests=len(KNOWN_TESTS),
    )
    cost = kind.cost(KNOWN_CONFIG, Computing(work=work, tracked=tracked, own_passes=0, itemsize=4, recompute=False))
    settings = EngineSettings(tracked=tracked, loss=BinaryCrossEntropy(), learning_rate=1.0, modes=cost.modes)
    with torch.no_grad():
        engine = kind.ready(known_model(), device=device, precision=Precision.FULL).engine(settings)
        scorer = engine.scorer(engine.prepare(torch.tensor(KNOWN_TESTS), batch_size=len(KNOWN_TESTS)))
        found = torch.zeros(len(KNOWN_TRAINING), len(KNOWN_TESTS), dtype=torch.float64)
        for part in parts_of(scorer, np.array(KNOWN_TRAINING), device):
            found[part.rows] = part.influences.double().cpu()
    return found


def _seconds(work: Callable[[], object], device: torch.device | None = None) -> float:
    """Give the shortest time of some rounds, after one that warms up."""
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        work()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])
