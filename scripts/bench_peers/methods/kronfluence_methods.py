"""kronfluence's strategies: factors of the Fisher matrix of conv1 and fc."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from bench_peers.methods.question import Losses, LossName, Question, named
from bench_peers.peer import Triples

NAME = "method"
MODULES = ("conve.conv1", "conve.fc")
BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """Pairwise scores by a strategy, damped by a tenth of the mean eigenvalue: the library's rule."""

    strategy: str
    loss: LossName = "bce"
    requirement: str = "kronfluence>=1.0,<2"

    @property
    def name(self) -> str:
        """What a table shows."""
        return named(f"kronfluence {self.strategy} (conv1, fc)", self.loss)

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Fit the factors to all training triples, and score all pairs."""
        from kronfluence.analyzer import Analyzer, prepare_model  # noqa: PLC0415 - kronfluence may be absent
        from kronfluence.arguments import FactorArguments, ScoreArguments  # noqa: PLC0415 - kronfluence may be absent
        from kronfluence.utils.dataset import DataLoaderKwargs  # noqa: PLC0415 - kronfluence may be absent

        task = _task()
        losses = prepare_model(question.losses(self.loss), task)
        analyzer = Analyzer(NAME, losses, task, cpu=True, disable_tqdm=True, output_dir=str(question.folder))
        analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=_as_it_is))
        train, test = Triples(question.train), Triples(question.test)
        arguments = FactorArguments(strategy=self.strategy)
        analyzer.fit_all_factors(NAME, train, per_device_batch_size=BATCH, factor_args=arguments)
        analyzer.compute_pairwise_scores(
            NAME,
            NAME,
            query_dataset=test,
            train_dataset=train,
            per_device_query_batch_size=len(test),
            per_device_train_batch_size=BATCH,
            score_args=ScoreArguments(damping_factor=None),
        )
        found: Tensor = analyzer.load_pairwise_scores(NAME)["all_modules"]
        return found


def _as_it_is(batch: Tensor) -> Tensor:
    return batch


def _task() -> Any:  # noqa: ANN401 - kronfluence may be absent
    from kronfluence.task import Task  # noqa: PLC0415 - kronfluence may be absent

    class SumOfLosses(Task):
        """The losses of a batch, summed; labels are drawn from the model for its Fisher matrix."""

        def compute_train_loss(self, batch: Tensor, model: Losses, sample: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - Task's
            return (model.drawn(batch) if sample else model(batch)).sum()

        def compute_measurement(self, batch: Tensor, model: Losses) -> Tensor:
            return model(batch).sum()

        def get_influence_tracked_modules(self) -> list[str]:
            return list(MODULES)

    return SumOfLosses()
