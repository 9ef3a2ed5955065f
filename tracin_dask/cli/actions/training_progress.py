"""What a training shows while it runs: a moving bar on a terminal, one line per epoch elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tracin_dask.cli.say import say
from tracin_dask.cli.terminal import bars, has_bars
from tracin_dask.models.training.training import EpochReport, Observer


@contextmanager
def show_training(num_epochs: int) -> Iterator[Observer]:
    """Give an observer that shows the training on the standard error stream until the block ends."""
    if not has_bars():
        seconds: list[float] = []

        def on_epoch(report: EpochReport) -> None:
            seconds.append(report.seconds)
            left = (num_epochs - report.epoch) * sum(seconds) / len(seconds)
            say(epoch_line(report, num_epochs, seconds_left=left), err=True)

        yield Observer(on_epoch=on_epoch)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=8), TimeRemainingColumn())  # fit in 80 letters
    with bars(*columns) as progress:
        yield _bar_observer(progress, num_epochs)


def epoch_line(report: EpochReport, num_epochs: int, *, seconds_left: float) -> str:
    """Say how an epoch went, and how long the others take if they are like those before."""
    line = f"epoch {report.epoch}/{num_epochs}  {_quality(report)}  {report.seconds:.1f} s"
    line += "  best so far" if report.is_best else ""
    return line if report.epoch == num_epochs else f"{line}  {_duration(seconds_left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"about {minutes} min {rest} s" if minutes else f"about {rest} s"


def _quality(report: EpochReport) -> str:
    loss = f"loss {report.train_loss:.5f}"
    if report.valid_metrics is None:
        return loss
    mrr, hits = report.valid_metrics["mean_reciprocal_rank"], report.valid_metrics["hits@10"]
    return f"{loss}  valid MRR {mrr:.3f}  Hits@10 {hits:.3f}"


def _bar_observer(progress: Progress, num_epochs: int) -> Observer:
    task = progress.add_task(f"epoch 1/{num_epochs}", total=None)

    def on_batch(epoch: int, done: int, total: int) -> None:
        progress.update(task, total=num_epochs * total, completed=(epoch - 1) * total + done)

    def on_epoch(report: EpochReport) -> None:
        progress.update(task, description=f"epoch {report.epoch}/{num_epochs}  {_quality(report)}")

    return Observer(on_batch=on_batch, on_epoch=on_epoch)
