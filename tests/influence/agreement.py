"""The check that the engine for ConvE agrees with the oracle, on triples that share everything they can share."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import oracle
import torch
from conftest import random_model
from influence.indexed import parts, self_influence
from torch import Tensor

from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.folded import fold
from tracin_dask.influence.conve.jacobians import relation_table
from tracin_dask.influence.conve.preconditioned import layout_of
from tracin_dask.influence.engine import Factors
from tracin_dask.influence.losses import BinaryCrossEntropy
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.preconditioners.diagonal import laid_out
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.conve.model import ConvE, ConvEConfig

DIALECTS = {"width": {"stacking": "width"}, "height": {"stacking": "height", "has_entity_bias": True}}
LEARNING_RATE = 0.5  # a power of two: dividing by it is exact
ROUNDING = 1e-9  # in float64, relative to the product of the two norms; sums of terms that cancel lose some digits

TRAIN = torch.tensor(
    [
        [0, 0, 1],
        [0, 0, 1],  # a duplicate
        [0, 0, 2],  # the same head and relation
        [0, 1, 1],  # the same head and tail
        [4, 0, 1],  # the same relation and tail
        [0, 3, 6],  # the same head only
        [5, 0, 7],  # the same relation only
        [8, 2, 1],  # the same tail only
        [1, 0, 0],  # head and tail swapped
        [1, 2, 1],  # head == tail
        [3, 1, 3],
        [3, 1, 3],
        [2, 3, 3],
        [9, 2, 9],
        [10, 3, 11],  # nothing in common with any test triple but the relation
        [6, 1, 9],  # its head is a test triple's tail and no test triple's head
    ]
)
TEST = torch.tensor([[0, 0, 1], [0, 1, 1], [0, 0, 1], [1, 0, 0], [1, 2, 1], [3, 1, 3], [5, 2, 6], [12, 0, 13]])


class Disagreement(Exception):  # noqa: N818 - the name says what is wrong
    """The engine and the oracle differ by more than rounding."""


def engine_for(model: ConvE, tracked: Iterable[str], *, change=None, **options: object) -> PairEngine:
    """Make an engine of a model in eval mode, with a change of the engine at the end."""
    settings = {"loss": BinaryCrossEntropy(), "learning_rate": LEARNING_RATE} | options
    precision = options.get("precision", Precision.FULL)
    folded = fold(model, precision=precision)
    if "modes" in options and options["modes"].relation_table:
        settings["relations"] = relation_table(folded, precision)
    engine = PairEngine(model=folded, tracked=frozenset(tracked), **settings)
    return engine if change is None else change(engine)


def engine_of(case: "Case", tracked: Iterable[str], **options: object) -> PairEngine:
    """Make an engine of a case's model, with the case's scales of the tracked tensors as its preconditioner."""
    if case.scales is not None:
        dtype = case.model.fc.weight.dtype
        options["preconditioner"] = laid_out(
            {n: case.scales[n].to(dtype) for n in tracked}, layout_of(case.model.config)
        )
    return engine_for(case.model, tracked, **options)


def scores(engine: PairEngine, train: Tensor, test: Factors, num_tests: int | None = None) -> Tensor:
    """Score training triples against prepared test triples."""
    num_answers = len(test) if num_tests is None else num_tests
    scorer = make_scorer(engine, test, EachItsOwn(num_answers=num_answers))
    found = engine.model.kernel.new_empty(len(train), num_answers)
    for part in parts(scorer, train.numpy()):
        found[torch.from_numpy(part.rows)] = part.influences
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model, triples, and what the oracle says about them, by parameter tensor."""

    model: ConvE
    train: Tensor
    test: Tensor
    products: dict[str, Tensor]
    train_norms: dict[str, Tensor]
    test_norms: dict[str, Tensor]
    scales: dict[str, Tensor] | None = None
    """The diagonal between the gradients, where there is one; norms are √⟨g, scales ∘ g⟩ then."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.products)

    def bound(self, tracked: Iterable[str]) -> Tensor:
        """Multiply the norms of the tracked gradients: no product can be larger (Cauchy-Schwarz)."""
        left, right = (_together(norms, tracked) for norms in (self.train_norms, self.test_norms))
        return left[:, None] * right[None, :]


def case_of(
    model: ConvE, train: Tensor = TRAIN, test: Tensor = TEST, loss=oracle.bce, test_loss=None, *, scales=None
) -> Case:
    """Ask the oracle."""
    return Case(
        model=model,
        train=train,
        test=test,
        products=oracle.products(model, train, test, loss, test_loss, scales=scales),
        train_norms=oracle.norms(model, train, loss, scales),
        test_norms=oracle.norms(model, test, test_loss or loss, scales),
        scales=scales,
    )


@cache
def random_case(dialect: str, kernel: tuple[int, int] = (3, 3)) -> Case:
    """Ask the oracle about a random model of a dialect and all awkward triples."""
    return case_of(random_model(**DIALECTS[dialect], kernel_height=kernel[0], kernel_width=kernel[1]))


def check_scores(case: Case, tracked: Iterable[str], **options: object):
    """Compare score() with the sum of the oracle's products over the tracked tensors.

    Raises
    ------
    Disagreement
        If they differ by more than rounding.
    """
    tracked = list(tracked)
    question = Question(explain=options.pop("explain", "loss"), is_contrast=case.test.shape[1] == 4)
    engine = engine_of(case, tracked, **options)
    asked, others = case.test[:, :3].numpy(), case.test[:, 3].numpy() if question.is_contrast else None
    test = prepare_question(engine, question, Targets(triples=asked, contrast_tails=others), batch_size=100)
    assert len(test) == len(asked) * question.num_gradients(engine.loss)
    found = scores(engine, case.train, test, len(asked)) / LEARNING_RATE
    expected = sum(case.products[name] for name in tracked)
    _compare(found, expected, case.bound(tracked), tracked)


def check_self_influence(case: Case, tracked: Iterable[str], **options: object):
    """Compare self_influence() with the oracle's squared norms, summed over the tracked tensors.

    Raises
    ------
    Disagreement
        If they differ by more than rounding.
    """
    tracked = list(tracked)
    engine = engine_of(case, tracked, **options)
    found = self_influence(engine, case.train) / LEARNING_RATE
    expected = _together(case.train_norms, tracked).square()
    _compare(found, expected, expected, tracked)


def trained_scale_model(dim: int, height: int, *, stacking: str = "width", **sizes: object) -> ConvE:
    """Make a float64 model with weights of the size of a trained one, every number a float32.

    Weights as training draws them, batch norms near 1 and 0 with the running statistics of the model's own data.
    """
    shape = {"embedding_dim": dim, "embedding_height": height, "embedding_width": dim // height, "stacking": stacking}
    config = ConvEConfig(**({"num_entities": 400, "num_relations": 9, "output_channels": 32} | shape | sizes))
    with torch.random.fork_rng():
        torch.manual_seed(dim)
        model = ConvE(config).train()
        model.initialize()
        heads, relations = torch.arange(400) % config.num_entities, torch.arange(400) % config.num_relations
        with torch.no_grad():
            for norm in (model.bn0, model.bn1, model.bn2):
                norm.momentum = None  # average over all that was seen
                norm.weight.add_(0.1 * torch.randn_like(norm.weight))
                norm.bias.add_(0.1 * torch.randn_like(norm.bias))
            model(heads, relations)
    return model.eval().double()


def _together(norms: dict[str, Tensor], tracked: Iterable[str]) -> Tensor:
    return torch.stack([norms[name] for name in tracked]).norm(dim=0)


def _compare(found: Tensor, expected: Tensor, bound: Tensor, tracked: list[str]) -> None:
    wrong = ~((found - expected).abs() <= ROUNDING * bound)  # NaN is wrong too
    if wrong.any():
        where = tuple(wrong.nonzero()[0].tolist())
        raise Disagreement(f"{tracked} at {where}: {found[where]} is not the oracle's {expected[where]}")
