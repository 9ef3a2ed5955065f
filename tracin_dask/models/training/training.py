"""Training of a ConvE from first to last epoch: validation, checkpoints, the best model, the test."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracin_dask import __version__
from tracin_dask.errors import ConfigError
from tracin_dask.models.checkpoints.files import write_torch_file
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.models.training.epoch import train_epoch
from tracin_dask.models.training.evaluation import KnownTails, ranking_metrics, tail_ranks
from tracin_dask.models.training.memory import check_memory, count_memory
from tracin_dask.models.training.resume import History, checkpoint_contents, identity, restore, states_of
from tracin_dask.models.training.settings import TrainingConfig, TrainingData, TrainingFiles
from tracin_dask.models.training.steps.batches import derive_seed, place_triples
from tracin_dask.models.training.steps.captured import Step, step_of
from tracin_dask.models.training.steps.step import Learner, make_adam
from tracin_dask.places.explained import writing
from tracin_dask.places.files import exists, write_json_file
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.places.scratch import check_room_for_sockets

Metrics = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """The results of an epoch, which counts from 1; `valid_metrics` is None without validation triples."""

    epoch: int
    train_loss: float
    seconds: float
    valid_metrics: Metrics | None
    is_best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Callbacks of a training: after each batch with (epoch, done, total), and after each epoch."""

    on_batch: Callable[[int, int, int], None] = lambda _epoch, _done, _total: None
    on_epoch: Callable[[EpochReport], None] = lambda _report: None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The files of the models, and the metrics of the last one; None where there are none."""

    final_model: Place
    best_model: Place | None
    test_metrics: Metrics | None
    history: History


def train(
    data: TrainingData,
    model_config: ConvEConfig,
    *,
    config: TrainingConfig,
    files: TrainingFiles,
    observer: Observer | None = None,
) -> TrainingResult:
    """Train a ConvE and write its models, checkpoints, history and metrics.

    On CPUs of one kind, with one build of PyTorch and one number of threads, the weights are the same bit for bit
    however often the training was stopped and resumed, and for any number of workers.

    Raises
    ------
    ResumeError
        If the checkpoint to go on from belongs to another training.
    ConfigError
        If models of another training lie where this one would write: the two must not mix.
    NonFiniteError
        If the loss diverges; earlier checkpoints stay.
    BusyError
        If another training writes into the same folder; the message names its process.
    WriteError
        If a file cannot be written; earlier checkpoints stay.
    MemoryLimitError
        If the batches do not fit into the memory of this machine, or of its GPU.
    """
    with files.reserved():
        return _train(data, model_config, config, files, observer or Observer())


def _train(
    data: TrainingData, model_config: ConvEConfig, config: TrainingConfig, files: TrainingFiles, observer: Observer
) -> TrainingResult:
    device = choose_device(use_gpu=config.use_gpu)
    step = step_of(config, device)
    check_memory(count_memory(data, model_config, config, device), config, device)
    if config.num_workers:
        check_room_for_sockets("--num-workers")
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        learner = new_learner(model_config, config, device=device)
        return _Training(
            learner=learner,
            step=step,
            data=data,
            files=files,
            observer=observer,
            known=KnownTails.from_triples(data.all_triples(), model_config.num_relations),
            identity=identity(model_config, config, data),
        ).run()


def choose_device(*, use_gpu: bool) -> torch.device:
    """Take the GPU if there is one and it is wanted; otherwise CUDA is not touched at all."""
    return torch.device("cuda" if use_gpu and torch.cuda.is_available() else "cpu")


def new_learner(model_config: ConvEConfig, config: TrainingConfig, *, device: torch.device) -> Learner:
    """Draw a model's first weights and set up Adam."""
    model = first_model(model_config, config).to(device)
    return Learner(
        model=model,
        optimizer=make_adam(model, config, device),
        scaler=torch.amp.GradScaler(device.type, enabled=config.use_mixed_precision and device.type == "cuda"),
        device=device,
        config=config,
    )


def first_model(model_config: ConvEConfig, config: TrainingConfig) -> ConvE:
    """Draw a model's first weights from torch's global generator, on the CPU, so that no device changes them."""
    torch.manual_seed(derive_seed(config.random_seed, 0))
    model = ConvE(model_config, config.dropout)
    model.initialize()
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """The fixed parts of one training; the learner's tensors and the history change."""

    learner: Learner
    step: Step
    data: TrainingData
    files: TrainingFiles
    observer: Observer
    known: KnownTails
    identity: dict[str, object]

    def run(self) -> TrainingResult:
        history = self._begin()
        triples = place_triples(self.data.train, self.learner.config, self.learner.device)
        for epoch in range(len(history), self.learner.config.num_epochs):
            report = self._run_epoch(epoch, triples, best=_best_so_far(history))
            history.append(_history_entry(report))
            self._write_epoch(report, history)
            self.observer.on_epoch(report)
        return self._finish(history)

    def _begin(self) -> History:
        resume_from = self.files.resume_from
        if resume_from is None:
            clear_earlier_models(self.files)
        history = restore(self.learner, resume_from, identity=self.identity) if resume_from else []
        self._write_json("config.json", self._description())
        return history

    def _run_epoch(self, epoch: int, triples: Tensor, *, best: float) -> EpochReport:
        start = time.perf_counter()
        loss = train_epoch(
            self.learner,
            triples,
            epoch=epoch,
            on_batch=partial(self.observer.on_batch, epoch + 1),
            step=self.step,
        )
        metrics = self._evaluate(self.learner.model, self.data.valid)
        return EpochReport(
            epoch=epoch + 1,
            train_loss=loss,
            seconds=time.perf_counter() - start,
            valid_metrics=metrics,
            is_best=metrics is not None and metrics["mean_reciprocal_rank"] > best,
        )

    def _evaluate(self, model: ConvE, triples: NDArray[np.int64]) -> Metrics | None:
        return ranking_metrics(tail_ranks(model.eval(), triples, self.known)) if len(triples) else None

    def _write_epoch(self, report: EpochReport, history: History) -> None:
        if report.is_best:
            self._write_model(self.files.best_model, history)
        if report.epoch % self.learner.config.checkpoint_frequency == 0:
            self._write_model(self.files.checkpoints / f"checkpoint_epoch_{report.epoch}.pt", history)
        self._write_json("training_history.json", history)

    def _write_json(self, name: str, contents: object) -> None:
        path = place_of(self.files.output_dir) / name
        with writing(path, "the training's record", kept=lambda: "checkpoints that were written before are kept"):
            write_json_file(path, contents)

    def _write_model(self, path: Place, history: History) -> None:
        contents = checkpoint_contents(
            states_of(self.learner), history, model_config=self.learner.model.config, identity=self.identity
        )
        write_torch_file(path, contents)

    def _finish(self, history: History) -> TrainingResult:
        self._write_model(self.files.final_model, history)
        test_metrics = self._evaluate(self.learner.model, self.data.test)
        best = self.files.best_model if exists(self.files.best_model) else None
        if test_metrics is not None:
            results = {**test_metrics, "best_model": self._test_best(best) if best else None}
            self._write_json("test_results.json", results)
        return TrainingResult(
            final_model=self.files.final_model, best_model=best, test_metrics=test_metrics, history=history
        )

    def _test_best(self, path: Place) -> dict[str, object]:
        best = load_conve(path)
        metrics = self._evaluate(best.model.to(self.learner.device), self.data.test)
        return {"epoch": None if best.epoch is None else best.epoch + 1, **(metrics or {})}

    def _description(self) -> dict[str, object]:
        counts = {"train": len(self.data.train), "valid": len(self.data.valid), "test": len(self.data.test)}
        return {
            "tracin_dask_version": __version__,
            "data": {**self.data.sources, **{f"num_{name}_triples": count for name, count in counts.items()}},
            "model": self.learner.model.config.sizes(),
            "training": asdict(self.learner.config),
            "identity": self.identity,
            "device": str(self.learner.device),
            "bits_depend_on": {
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
            },
        }


def clear_earlier_models(files: TrainingFiles) -> None:
    """Remove the models of an earlier training, or refuse them: those of two trainings must not mix."""
    found = [place for place in (files.best_model, files.final_model) if exists(place)]
    found += sorted(files.checkpoints.find("checkpoint_epoch_*.pt"), key=str)
    if found and not files.overwrite:
        raise ConfigError(
            f"{found[0]} exists already, from an earlier training; go on from one of its checkpoints with "
            "--resume-from-checkpoint, choose another --output-dir, or remove its models with --overwrite"
        )
    for place in found:
        with writing(place, "the training"):
            place.delete()


def _history_entry(report: EpochReport) -> dict[str, object]:
    return {
        "epoch": report.epoch,
        "train_loss": report.train_loss,
        "valid_metrics": report.valid_metrics,
        "time": report.seconds,
    }


def _best_so_far(history: History) -> float:
    validated = [entry["valid_metrics"] for entry in history if entry["valid_metrics"] is not None]
    return max((metrics["mean_reciprocal_rank"] for metrics in validated), default=0.0)
