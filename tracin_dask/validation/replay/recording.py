"""Records a training: weights, statistics, batches, random numbers and Adam's moments at every step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import MemoryLimitError
from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.training.steps.batches import derive_seed, shuffled_rows
from tracin_dask.models.training.steps.step import one_to_all_loss
from tracin_dask.models.training.training import new_learner
from tracin_dask.validation.trainings import Material

MOST_BYTES = 4 * 2**30
"""A larger recording is refused."""
BETA, SECOND_BETA, EPSILON = 0.9, 0.999, 1e-8
"""Adam's settings, those of PyTorch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a training.

    Attributes
    ----------
    weights, after
        The parameters, side by side, before and after the step.
    buffers
        The statistics of batch norms after the step, with which test triples are scored.
    random
        The state of the random numbers before the step, from which dropout follows.
    scale
        The step is −scale · m, where m is Adam's mean of gradients (1 − β) Σ β^(s − u) g_u.
    """

    rows: Int[Tensor, " batch"]
    weights: Float[Tensor, " weight"]
    after: Float[Tensor, " weight"]
    buffers: Mapping[str, Tensor]
    random: Tensor
    scale: Float[Tensor, " weight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """All steps of a training, and a model to replay them with."""

    model: ConvE
    triples: Int[Tensor, "row 3"]
    steps: list[Step]
    label_smoothing: float


def record(material: Material, seed: int) -> Recording:
    """Train on all rows as `train` does, but in float64, and keep every step.

    In float32, gradients that cancel in training are rounding errors, which Adam makes as large as all others.

    Raises
    ------
    MemoryLimitError
        If the recording would be too large.
    """
    settings = replace(material.settings, random_seed=seed, use_gpu=False)
    triples = torch.as_tensor(material.triples).long()
    with torch.random.fork_rng(devices=[]):
        learner = new_learner(material.model, settings, device=torch.device("cpu"))
        learner.model.double()
        _refuse_too_large(learner.model, len(triples), material)
        recorder = _Recorder(model=learner.model, optimizer=learner.optimizer, smoothing=settings.label_smoothing)
        for epoch in range(settings.num_epochs):
            epoch_seed = derive_seed(seed, epoch + 1)
            torch.manual_seed(epoch_seed)
            generator = torch.Generator().manual_seed(epoch_seed)
            for rows in shuffled_rows(len(triples), settings.batch_size, generator):
                recorder.step(rows, triples[rows])
    steps = recorder.steps
    return Recording(model=learner.model, triples=triples, steps=steps, label_smoothing=settings.label_smoothing)


def flat(model: ConvE) -> Float[Tensor, " weight"]:
    """Give all parameters side by side."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def _refuse_too_large(model: ConvE, num_triples: int, material: Material) -> None:
    settings = material.settings
    num_steps = settings.num_epochs * -(-num_triples // settings.batch_size)
    num_bytes = 3 * num_steps * flat(model).numel() * 8
    if num_bytes > MOST_BYTES:
        raise MemoryLimitError(
            f"a recording of {num_steps:,} steps takes {num_bytes / 2**30:.1f} GiB, and at most "
            f"{MOST_BYTES / 2**30:.0f} GiB are taken; replay a smaller graph, a smaller model or fewer epochs"
        )


class _Recorder:
    """Takes the steps of a training, and keeps each."""

    def __init__(self, *, model: ConvE, optimizer: torch.optim.Adam, smoothing: float) -> None:
        self.steps: list[Step] = []
        self._model, self._optimizer, self._smoothing = model.train(), optimizer, smoothing

    def step(self, rows: Int[Tensor, " batch"], triples: Int[Tensor, "batch 3"]) -> None:
        random, before = torch.get_rng_state(), flat(self._model)
        head, relation, tail = triples.unbind(dim=1)
        self._optimizer.zero_grad()
        loss = one_to_all_loss(self._model(head, relation), tail, self._smoothing)
        torch.autograd.backward(loss)
        self._optimizer.step()
        buffers = {name: buffer.clone() for name, buffer in self._model.named_buffers()}
        self.steps.append(
            Step(
                rows=rows,
                weights=before,
                after=flat(self._model),
                buffers=buffers,
                random=random,
                scale=self._scale(),
            )
        )

    def _scale(self) -> Float[Tensor, " weight"]:
        """Give what Adam multiplied its mean of gradients with in the last step."""
        number, rate = len(self.steps) + 1, self._optimizer.param_groups[0]["lr"]
        states = [self._optimizer.state[parameter] for parameter in self._model.parameters()]
        squares = torch.cat([state["exp_avg_sq"].reshape(-1) for state in states])
        root = (squares / (1 - SECOND_BETA**number)).sqrt() + EPSILON
        found: Tensor = rate / (1 - BETA**number) / root
        return found
