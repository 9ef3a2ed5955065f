"""Steps of training that a GPU replays from a graph of kernels: the host starts one graph, not each of its kernels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.models.training.settings import TrainingConfig
from tracin_dask.models.training.steps.step import Learner, train_step

Step = Callable[[Learner, Int[Tensor, "batch 3"]], Float[Tensor, ""]]
"""Moves the weights once and gives the loss before, as `train_step` does."""
WARM_UP_STEPS = 3
"""Steps before the capture, in which libraries choose their kernels and Adam makes its state."""


def step_of(config: TrainingConfig, device: torch.device) -> Step:
    """Choose how steps are carried out.

    Raises
    ------
    ConfigError
        If steps should be replayed, and the device is no GPU.
    """
    if not config.use_cuda_graph:
        return train_step
    if device.type != "cuda":
        raise ConfigError("--cuda-graph replays kernels of a GPU, and this training is on the CPU; leave it out")
    return CapturedStep()


@dataclass(slots=True)
class CapturedStep:
    """Captures the step of a full batch after some ordinary ones, and replays it; other batches stay ordinary steps.

    Capturing computes nothing: no step is made twice, and none is left out. A graph reads and writes the same memory
    at each replay, so batches are copied into one tensor, and losses out of one.
    """

    num_warm: int = 0
    replay: Callable[[], None] | None = None
    batch: Int[Tensor, "batch 3"] = field(default_factory=lambda: torch.empty(0, 3, dtype=torch.int64))
    loss: Float[Tensor, ""] = field(default_factory=lambda: torch.empty(()))

    def __call__(self, learner: Learner, batch: Int[Tensor, "batch 3"]) -> Float[Tensor, ""]:
        """Make a step.

        Raises
        ------
        ConfigError
            If the step cannot be captured on this GPU.
        """
        if len(batch) != learner.config.batch_size:
            return train_step(learner, batch)
        if self.num_warm < WARM_UP_STEPS:
            self.num_warm += 1
            return _step_aside(learner, batch)
        if self.replay is None:
            self.replay = self._capture(learner, batch)
        self.batch.copy_(batch)
        self.replay()
        return self.loss.clone()

    def _capture(self, learner: Learner, batch: Int[Tensor, "batch 3"]) -> Callable[[], None]:
        graph, self.batch = torch.cuda.CUDAGraph(), batch.clone()
        try:
            with _capturable(learner.optimizer), torch.cuda.graph(graph):
                self.loss = train_step(learner, self.batch)
        except RuntimeError as error:
            raise ConfigError(f"a step cannot be captured on this GPU: {error}; train without --cuda-graph") from error
        replay: Callable[[], None] = graph.replay
        return replay


def _step_aside(learner: Learner, batch: Int[Tensor, "batch 3"]) -> Float[Tensor, ""]:
    """Make a step on another stream than the default one, which no graph may have used before."""
    stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call] # PyTorch does not type it
    current = torch.cuda.current_stream()
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        loss = train_step(learner, batch)
    current.wait_stream(stream)
    return loss


@contextmanager
def _capturable(optimizer: torch.optim.Adam) -> Iterator[None]:
    """Let Adam be captured; outside of a capture it would warn. Fused, it has all of its state on the GPU anyway."""
    (group,) = optimizer.param_groups
    group["capturable"] = True
    try:
        yield
    finally:
        group["capturable"] = False
