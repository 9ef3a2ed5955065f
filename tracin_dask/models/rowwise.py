"""Any model as a function of triples, or of the rows that they read and of dense tensors.

What `torch.func` maps has plain types, since the shape of a tensor that is mapped cannot be asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from tracin_dask.errors import CheckpointError
from tracin_dask.models.effort import effort_of
from tracin_dask.models.scoring import Effort, Role, ScoringConfig, Table
from tracin_dask.models.tails import ScoreTails, TailCheck, call_with
from tracin_dask.turn import one_at_a_time

TableRows: TypeAlias = dict[str, Tensor]
"""The rows [batch, place, ...] of each table that triples read: head and tail of an entity table, else one place."""
Score: TypeAlias = Callable[[Tensor], Tensor]
"""From triples [batch, 3] to as many scores."""
_MODEL = "model."
"""Where the model's tensors stand in `RowwiseModel`."""
_ROLES: dict[str, Role] = {"entity": "entity", "relation": "relation"}
_COLUMNS = {"entity": slice(0, 3, 2), "relation": slice(1, 2)}
"""Where the ids of a table's rows stand in a triple."""
_NUM_CHECKED = 5
"""Triples by which the tables of a model are checked."""
_NUM_PAIRS_CHECKED = 3
"""Pairs (head, relation) by which the scores of all tails are checked."""


class RowwiseModel(nn.Module):
    """A model in eval mode that also scores with small tables, which hold only the rows that some triples read."""

    def __init__(
        self,
        model: nn.Module,
        score: Score,
        *,
        name: str,
        tables: Mapping[str, str],
        score_tails: ScoreTails | None = None,
    ) -> None:
        """Take a model and the method that scores triples with it, and the one that scores all tails, if it has one.

        Raises
        ------
        CheckpointError
            If a table is none, or a score depends on anything but the tables' rows of its ids and on other tensors.
        """
        super().__init__()
        self.model = model.eval()
        self._score, self._score_tails = score, score_tails
        _refuse_gradients_by_id(model)
        self._tables = _checked_tables(self.tensors(), tables)
        with one_at_a_time:
            self._check(name)
            self.config = self._described(name)

    def forward(self, triples: Tensor) -> Tensor:
        """Score triples [batch, 3], one number each."""
        return self._score(triples).reshape(len(triples))

    def score(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Score triples."""
        scores: Tensor = self(triples)
        return scores

    def score_tails(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch entity"]:
        """Score every entity as the tail of each (head, relation), by the model's own method."""
        assert self._score_tails is not None  # noqa: S101 - asked of models that can
        return self._score_tails(pairs)

    def tensors(self) -> dict[str, Tensor]:
        """Give all parameters and buffers by their names in the model, shared ones once."""
        return dict(self.model.named_parameters()) | dict(self.model.named_buffers())

    @property
    def module(self) -> nn.Module:
        """The model as it was given."""
        return self.model

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the trained tensors."""
        return next(tensor.dtype for tensor in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return next(tensor.device for tensor in self.model.parameters())

    def rows(self, triples: Int[Tensor, "batch 3"]) -> TableRows:
        """Copy the rows that triples read out of every table."""
        tensors = self.tensors()
        return {name: tensors[name].detach()[triples[:, _COLUMNS[role]]] for name, role in self._tables.items()}

    def score_rows(self, rows: TableRows, dense: Mapping[str, Tensor], triples: Tensor) -> Tensor:
        """Score triples [batch, 3] from their rows; `dense` tensors stand in for the model's own, where given."""
        number, roles = len(triples), set(self._tables.values())
        place = torch.arange(number, device=triples.device)
        head, relation, tail = triples.unbind(dim=1)
        if "entity" in roles:
            head, tail = 2 * place, 2 * place + 1
        if "relation" in roles:
            relation = place
        small = {name: table.flatten(0, 1) for name, table in rows.items()}
        stand_in = {f"{_MODEL}{name}": tensor for name, tensor in (small | dict(dense)).items()}
        scores: Tensor = functional_call(self, stand_in, (torch.stack([head, relation, tail], dim=1),))
        return scores

    def score_one(self, dense: Mapping[str, Tensor], rows: TableRows, triple: Tensor) -> Tensor:
        """Score one triple [3] from its rows [place, ...]."""
        return self.score_rows({name: table[None] for name, table in rows.items()}, dense, triple[None])[0]

    def score_all_tails(self, tensors: Mapping[str, Tensor], pairs: Tensor) -> Tensor:
        """Score every entity as the tail of (head, relation) [batch, 2]: a function [batch, entity] of all tensors.

        `tensors` stand in for the model's own, by their names, whole tables included.
        """
        assert self._score_tails is not None  # noqa: S101 - asked of models that can
        return call_with(self.model, self._score_tails, tensors, pairs)

    @cached_property
    def why_no_tails(self) -> str:
        """The reason why all tails cannot be scored in one call; empty if they can, which a few pairs show."""
        if self._score_tails is None:
            return f"{self.config.name} has no method score_tails(pairs): it scores one triple at a time"
        method = getattr(self._score_tails, "__name__", "score_tails")
        check = TailCheck(
            model=self.model,
            score=self.forward,
            score_tails=self._score_tails,
            num_entities=self.config.num_entities,
            relation_tables=frozenset(name for name, role in self._tables.items() if role == "relation"),
            tolerance=_tolerance(self.dtype),
        )
        with one_at_a_time:
            problem = check.problem(self.some_triples(_NUM_PAIRS_CHECKED))
        return problem and f"{self.config.name}: its method {method} {problem}"

    @property
    def can_score_tails(self) -> bool:
        """Whether `score_all_tails` can be called."""
        return not self.why_no_tails

    def config_with_tails(self) -> ScoringConfig:
        """Describe the model with what the scores of all tails take.

        Raises
        ------
        CheckpointError
            Saying why it cannot score all tails.
        """
        if not self.can_score_tails:
            raise CheckpointError(self.why_no_tails)
        return replace(self.config, tails_effort=self._tails_effort)

    @cached_property
    def _tails_effort(self) -> Effort:
        with one_at_a_time:
            return effort_of(lambda number: self._all_tails(self.some_triples(number)[:, :2]), step=1)

    def _all_tails(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch entity"]:
        trained = {
            name: tensor.detach().requires_grad_() for name, tensor in self.tensors().items() if tensor.requires_grad
        }
        return self.score_all_tails(trained, pairs)

    def _described(self, name: str) -> ScoringConfig:
        tensors = self.tensors()
        rest = {part: tensor for part, tensor in tensors.items() if part not in self._tables}
        return ScoringConfig(
            name=name,
            num_entities=self._num_rows("entity"),
            num_relations=self._num_rows("relation"),
            tables=tuple(
                Table(
                    name=table,
                    role=role,
                    row_size=tensors[table][0].numel(),
                    is_trained=tensors[table].requires_grad,
                )
                for table, role in self._tables.items()
            ),
            dense=tuple((part, tensor.numel()) for part, tensor in rest.items() if tensor.requires_grad),
            untrained_size=sum(tensor.numel() for tensor in rest.values() if not tensor.requires_grad),
            effort=effort_of(lambda number: self._on_rows(self.some_triples(number))),
        )

    def _on_rows(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        rows = {name: table.requires_grad_(table.is_floating_point()) for name, table in self.rows(triples).items()}
        return self.score_rows(rows, {}, triples)

    def _num_rows(self, role: Role) -> int:
        """Count entities or relations by the rows of the tables, or take the number that the model states."""
        tensors = self.tensors()
        counted = {name: len(tensors[name]) for name, its_role in self._tables.items() if its_role == role}
        if len(set(counted.values())) > 1:
            raise CheckpointError(f"the tables have different numbers of rows: {counted}; each has one per {role}")
        stated = getattr(self.model, "num_entities" if role == "entity" else "num_relations", None)
        match next(iter(counted.values()), stated):
            case int() as number:
                return number
        kind = "entities" if role == "entity" else "relations"
        raise CheckpointError(
            f"no table of {kind}: name one in `tables`, or give the model a whole number `num_{kind}`"
        )

    def some_triples(self, number: int) -> Int[Tensor, "batch 3"]:
        """Draw triples; the first of them joins an entity with itself."""
        generator = torch.Generator().manual_seed(0)
        limits = (self._num_rows("entity"), self._num_rows("relation"), self._num_rows("entity"))
        triples = torch.stack([torch.randint(limit, (number,), generator=generator) for limit in limits], dim=1)
        triples[0, 2] = triples[0, 0]
        return triples.to(self.device)

    def _check(self, name: str) -> None:
        """Compare scores of a whole batch with those of single triples from their rows."""
        triples = self.some_triples(_NUM_CHECKED)
        with torch.no_grad():
            expected = _one_each(self._score(triples), name)
            found = self._scored_apart(name, triples)
        tolerance = _tolerance(self.dtype) * float(1 + expected.abs().max())
        if not torch.allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True):
            raise CheckpointError(
                f"{name} gives other scores from the rows of {', '.join(self._tables) or 'no table'} than as a whole: "
                "every tensor that has a row per entity or relation must be among its tables, buffers included, and a "
                "score must not depend on the other triples of a batch"
            )

    def _scored_apart(self, name: str, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Score triples one by one, as when the gradient of each is computed if there are dense tensors."""
        dense = {part: t.detach() for part, t in self.tensors().items() if t.requires_grad and part not in self._tables}
        if not dense:
            return torch.cat([self._on_rows(triple) for triple in torch.split(triples, 1)])
        try:
            _, scores = vmap(grad_and_value(self.score_one), in_dims=(None, 0, 0))(dense, self.rows(triples), triples)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise CheckpointError(
                f"{name} cannot be differentiated triple by triple with torch.func.vmap: {error}"
            ) from error
        found: Tensor = scores
        return found


def _tolerance(dtype: torch.dtype) -> float:
    """Give the largest difference that is rounding, as a part of the largest value (or of 1)."""
    return 1e-4 if dtype == torch.float32 else 1e-9


def _one_each(scores: object, name: str) -> Float[Tensor, " batch"]:
    """Refuse what is not one number for each of the triples by which a model is checked."""
    match scores:
        case Tensor() if scores.numel() == _NUM_CHECKED:
            return scores.reshape(_NUM_CHECKED)
        case Tensor():
            found = f"the shape {tuple(scores.shape)}"
        case _:
            found = f"a {type(scores).__name__}"
    raise CheckpointError(
        f"{name}: score must return one number per triple; for {_NUM_CHECKED} triples it gave {found}"
    )


def _checked_tables(tensors: Mapping[str, Tensor], tables: Mapping[str, str]) -> dict[str, Role]:
    checked: dict[str, Role] = {}
    for name, role in tables.items():
        if name not in tensors:
            raise CheckpointError(f"the table {name} is not a parameter or buffer; there are: {', '.join(tensors)}")
        if role not in _ROLES:
            raise CheckpointError(f"the table {name} has a row per {role!r}; expected 'entity' or 'relation'")
        if tensors[name].dim() == 0 or len(tensors[name]) == 0:
            raise CheckpointError(f"the table {name} has no rows: its shape is {tuple(tensors[name].shape)}")
        checked[name] = _ROLES[role]
    if not any(tensor.requires_grad for tensor in tensors.values()):
        raise CheckpointError(
            "no tensor of the model requires a gradient: nothing was trained, so nothing has influence"
        )
    return checked


def _refuse_gradients_by_id(model: nn.Module) -> None:
    """Refuse look-ups whose gradients depend on the ids, or that change rows: small tables have other ids."""
    for name, module in model.named_modules():
        if not isinstance(module, nn.Embedding | nn.EmbeddingBag):
            continue
        for option in ("padding_idx", "max_norm", "scale_grad_by_freq", "sparse"):
            value = getattr(module, option)
            if value is not None and value is not False:
                raise CheckpointError(
                    f"{name} is a torch.nn.{type(module).__name__} with {option}={value}, under which gradients are "
                    "not those of its rows alone; look rows up without it"
                )
