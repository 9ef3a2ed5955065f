"""kronfluence without preconditioning: convolution and linear layer only, by contractions of their factors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from bench_peers.peer import Scorer, TripleLosses, Triples, installed_version
from tracin_dask.models.conve.model import ConvE

NAME = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kronfluence:
    """Pairwise scores with the strategy `identity`; each call differentiates the test triples, in batches, again."""

    name: str = "kronfluence"
    tracks: tuple[str, ...] = ("conv1.*", "fc.*")
    requirement: str = "kronfluence>=1.0,<2"
    prepares_tests: bool = False
    relative_error: float = 1e-9
    batch_size: int = 256
    test_batch_size: int = 256

    def is_installed(self) -> bool:
        """Tell whether kronfluence is there."""
        return installed_version(self.requirement) is not None

    def prepare(self, model: ConvE, test: Int[Tensor, "test 3"], folder: Path) -> Scorer:
        """Wrap the layers and state that nothing is fitted."""
        from kronfluence.analyzer import Analyzer, prepare_model  # noqa: PLC0415 - kronfluence may be absent
        from kronfluence.arguments import FactorArguments, ScoreArguments  # noqa: PLC0415 - kronfluence may be absent
        from kronfluence.utils.dataset import DataLoaderKwargs  # noqa: PLC0415 - kronfluence may be absent

        task = _task()
        losses = prepare_model(TripleLosses(model), task)
        analyzer = Analyzer(NAME, losses, task, cpu=True, disable_tqdm=True, output_dir=str(folder))
        analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=_as_it_is))
        analyzer.fit_all_factors(NAME, Triples(test), factor_args=FactorArguments(strategy="identity"))
        dtype = model.fc.weight.dtype
        arguments = ScoreArguments(per_sample_gradient_dtype=dtype, precondition_dtype=dtype, score_dtype=dtype)

        def score(rows: Int[Tensor, "rows 3"]) -> Float[Tensor, "rows test"]:
            analyzer.compute_pairwise_scores(
                NAME,
                NAME,
                query_dataset=Triples(test),
                train_dataset=Triples(rows),
                per_device_query_batch_size=min(len(test), self.test_batch_size),
                per_device_train_batch_size=min(len(rows), self.batch_size),
                score_args=arguments,
                overwrite_output_dir=True,
            )
            found: dict[str, Tensor] = analyzer.load_pairwise_scores(NAME)
            return found["all_modules"].T

        return score


def _as_it_is(batch: Tensor) -> Tensor:
    return batch


def _task() -> Any:  # noqa: ANN401 - kronfluence may be absent
    from kronfluence.task import Task  # noqa: PLC0415 - kronfluence may be absent

    class SumOfLosses(Task):
        """The losses of a batch, summed; for training triples and test triples alike."""

        def compute_train_loss(self, batch: Tensor, model: nn.Module, sample: bool = False) -> Tensor:  # noqa: ARG002, FBT001, FBT002 - Task's
            return model(batch).sum()

        def compute_measurement(self, batch: Tensor, model: nn.Module) -> Tensor:
            return model(batch).sum()

        def get_influence_tracked_modules(self) -> list[str]:
            return ["conve.conv1", "conve.fc"]

    return SumOfLosses()
