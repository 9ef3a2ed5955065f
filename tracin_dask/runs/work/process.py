"""This process while it computes for a job: its device, its precision, and its turn at the settings of PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from tracin_dask.errors import ConfigError
from tracin_dask.influence.precision import Precision
from tracin_dask.runs.options.computing import Device
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.turn import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ThisProcess:
    """Where and how this process computes."""

    device: torch.device
    precision: Precision
    turn: Turn


@contextmanager
def computing(job: ScoreJob) -> Iterator[ThisProcess]:
    """Take a turn at this process for a job; afterwards its settings are what they were.

    Raises
    ------
    ConfigError
        If there is no such device, or it does not have the precision.
    """
    options = job.computing
    device = resolve_device(options.device)
    precision = Precision.named(options.precision, device)
    with Turn(job.threads, "highest") as turn:
        yield ThisProcess(device=device, precision=precision, turn=turn)


def resolve_device(device: Device) -> torch.device:
    """Choose the device of this process: `auto` takes CUDA if there is any.

    Raises
    ------
    ConfigError
        If CUDA is asked for and there is none.
    """
    is_available = torch.cuda.is_available()
    if device == "cuda" and not is_available:
        raise ConfigError(
            f"device cuda is asked for, but PyTorch {torch.__version__} finds no GPU in this process; "
            "leave --device out, or install a PyTorch with CUDA on a machine that has one"
        )
    if device == "auto":
        return torch.device("cuda" if is_available else "cpu")
    return torch.device(device)
