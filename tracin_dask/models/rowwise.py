"""Any model as a function of triples, or of the rows that they read and of dense tensors.

What `torch.func` maps has plain types, since the shape of a tensor that is mapped cannot be asked for. Complex tensors
are handed out as real ones, with real and imaginary parts side by side in one more dimension.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checks.tables import checked_tables, first_names, places_of, refuse_gradients_by_id
from tracin_dask.models.effort import effort_of
from tracin_dask.models.scoring import EVERY_WAY, DerivativeWays, Effort, Role, ScoringConfig, Table
from tracin_dask.models.tails import TailCheck
from tracin_dask.turn import one_at_a_time

TableRows: TypeAlias = dict[str, Tensor]
"""The rows [batch, place, ...] of each table that triples read: head and tail of an entity table, else one place."""
_MODEL = "model."
"""Where the model's tensors stand in `RowwiseModel`."""
_COLUMNS = {"entity": slice(0, 3, 2), "relation": slice(1, 2)}
"""Where the ids of a table's rows stand in a triple."""
_NUM_PAIRS_CHECKED = 3
"""Pairs (head, relation) by which the scores of all tails are checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """How a model is called: its name, its tables by role, and the names of its methods."""

    name: str
    tables: Mapping[str, str]
    score: str = "score"
    """Gives triples [batch, 3] one number each."""
    score_tails: str | None = None
    """Gives pairs (head, relation) [batch, 2] the scores of all entities as their tail, where the model has it."""
    scores_are_logits: bool = False
    """Whether the model is known to be trained so that the sigmoid of a score is the probability of the triple."""


class RowwiseModel(nn.Module):
    """A model in eval mode that also scores with small tables, which hold only the rows that some triples read."""

    def __init__(self, model: nn.Module, face: Face, *, ways: DerivativeWays = EVERY_WAY) -> None:
        """Take a model as it is: `tracin_dask.models.checks` says whether its scores are those of its rows.

        Raises
        ------
        CheckpointError
            If a table is none, or nothing was trained.
        """
        super().__init__()
        self.model, self.face, self._ways = model.eval(), face, ways
        refuse_gradients_by_id(model)
        self._places = places_of(model)
        self._complex = frozenset(name for name, tensor in self.own_tensors().items() if tensor.is_complex())
        self.tables = checked_tables(self.tensors(), face.tables, first_names(model))

    def forward(self, ids: Tensor, *, method: str | None = None) -> Any:  # noqa: ANN401 - what a user's method gives
        """Score triples [batch, 3], one number each; or call another method of the model as it is."""
        return self.score(ids) if method is None else self.called(ids, method)

    def score(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Score triples."""
        scores: Tensor = self.called(triples, self.face.score)
        return scores.reshape(len(triples))

    def called(self, ids: Tensor, method: str) -> Any:  # noqa: ANN401 - what a user's method gives
        """Call a method of the model with triples [batch, 3], or with pairs (head, relation).

        Raises
        ------
        CheckpointError
            If it raises anything, except that memory ran out.
        """
        try:
            return getattr(self.model, method)(ids)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # the code of a user's model can raise anything
            raise CheckpointError(
                f"{self.face.name}: its method {method} raised {type(error).__name__}: {error} (for ids of the shape "
                f"{tuple(ids.shape)})"
            ) from error

    def copied(self, instead: Mapping[int, object] | None = None) -> "RowwiseModel":
        """Copy the model, with other objects in place of some, which are named by their `id`.

        Raises
        ------
        CheckpointError
            If it cannot be copied.
        """
        try:
            return RowwiseModel(deepcopy(self.model, dict(instead or {})), self.face, ways=self._ways)
        except (RuntimeError, TypeError, NotImplementedError) as error:  # what copies of tensors and modules raise
            raise CheckpointError(
                f"{self.face.name} cannot be copied, so its gradients cannot be checked: {error}; keep no results of "
                "operations in attributes of the model"
            ) from error

    def score_tails(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch entity"]:
        """Score every entity as the tail of each (head, relation), by the model's own method."""
        assert self.face.score_tails is not None  # noqa: S101 - asked of models that can
        scores: Tensor = self.called(pairs, self.face.score_tails)
        return scores

    def tensors(self) -> dict[str, Tensor]:
        """Give the same as `own_tensors`, complex ones as real ones."""
        own = self.own_tensors()
        return own | {name: torch.view_as_real(own[name]) for name in self._complex}

    def own_tensors(self) -> dict[str, Tensor]:
        """Give all parameters and buffers by their first names in the model, shared ones once."""
        found = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        return {name: found[name] for name in self._places}

    def trained(self) -> dict[str, Tensor]:
        """Give the tensors that require gradients."""
        return {name: tensor for name, tensor in self.tensors().items() if tensor.requires_grad}

    @property
    def module(self) -> nn.Module:
        """The model as it was given."""
        return self.model

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the trained tensors; of their parts, where they are complex."""
        return next(tensor.dtype for tensor in self.model.parameters()).to_real()

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return next(tensor.device for tensor in self.model.parameters())

    def rows(self, triples: Int[Tensor, "batch 3"]) -> TableRows:
        """Copy the rows that triples read out of every table."""
        tensors = self.tensors()
        return {name: tensors[name].detach()[triples[:, _COLUMNS[role]]] for name, role in self.tables.items()}

    def row_ids(self, role: Role, triples: Int[Tensor, "batch 3"]) -> Int[Tensor, "batch place"]:
        """Give the ids of the rows that triples read in the tables of a role."""
        return triples[:, _COLUMNS[role]]

    def score_rows(self, rows: TableRows, dense: Mapping[str, Tensor], triples: Tensor) -> Tensor:
        """Score triples [batch, 3] from their rows; `dense` tensors stand in for the model's own, where given."""
        number, roles = len(triples), set(self.tables.values())
        place = torch.arange(number, device=triples.device)
        head, relation, tail = triples.unbind(dim=1)
        if "entity" in roles:
            head, tail = 2 * place, 2 * place + 1
        if "relation" in roles:
            relation = place
        small = {name: table.flatten(0, 1) for name, table in rows.items()}
        ids = torch.stack([head, relation, tail], dim=1)
        return self.score_with(small | dict(dense), ids)

    def score_one(self, dense: Mapping[str, Tensor], rows: TableRows, triple: Tensor) -> Tensor:
        """Score one triple [3] from its rows [place, ...]."""
        return self.score_rows({name: table[None] for name, table in rows.items()}, dense, triple[None])[0]

    def score_with(self, tensors: Mapping[str, Tensor], triples: Tensor) -> Tensor:
        """Score triples with `tensors` in place of the model's own, by their names, whole tables included."""
        return self._called_with(tensors, triples, self.face.score).reshape(len(triples))

    def score_all_tails(self, tensors: Mapping[str, Tensor], pairs: Tensor) -> Tensor:
        """Score every entity as the tail of (head, relation) [batch, 2]: a function [batch, entity] of all tensors.

        `tensors` stand in for the model's own, by their names, whole tables included.
        """
        assert self.face.score_tails is not None  # noqa: S101 - asked of models that can
        return self._called_with(tensors, pairs, self.face.score_tails)

    def _called_with(self, tensors: Mapping[str, Tensor], ids: Tensor, method: str) -> Tensor:
        """Call a method of the model with other tensors, each put once into every place that it has."""
        stand_in = {
            f"{_MODEL}{place}": _as_complex(tensor) if name in self._complex else tensor
            for name, tensor in tensors.items()
            for place in self._places[name]
        }
        found: Tensor = functional_call(self, stand_in, (ids,), {"method": method}, tie_weights=False)
        return found

    @cached_property
    def why_no_tails(self) -> str:
        """The reason why all tails cannot be scored in one call; empty if they can, which a few pairs show."""
        if self.face.score_tails is None:
            return f"{self.face.name} has no method score_tails(pairs): it scores one triple at a time"
        with one_at_a_time:
            problem = self._tail_check.problem(self.some_triples(_NUM_PAIRS_CHECKED))
        return problem and f"{self.face.name}: its method {self.face.score_tails} {problem}"

    @property
    def can_score_tails(self) -> bool:
        """Whether `score_all_tails` can be called."""
        return not self.why_no_tails

    @cached_property
    def config(self) -> ScoringConfig:
        """What is known of the model; the operations of its scores are measured."""
        with one_at_a_time:
            return self._described()

    def config_with_tails(self) -> ScoringConfig:
        """Describe the model with what the scores of all tails take, and in which ways these can be differentiated.

        Raises
        ------
        CheckpointError
            Saying why it cannot score all tails.
        """
        if not self.can_score_tails:
            raise CheckpointError(self.why_no_tails)
        ways = DerivativeWays(is_mapped=self._tails_are_mapped)
        return replace(self.config, tails_effort=self._tails_effort, ways=ways)

    @property
    def _tail_check(self) -> TailCheck:
        return TailCheck(
            trained={name: tensor.detach() for name, tensor in self.trained().items()},
            score=self.score_with,
            score_tails=self.score_all_tails,
            num_entities=self.num_rows("entity"),
            relation_tables=frozenset(name for name, role in self.tables.items() if role == "relation"),
            tolerance=tolerance_of(self.dtype),
        )

    @cached_property
    def _tails_are_mapped(self) -> bool:
        with one_at_a_time:
            return self._tail_check.are_mapped(self.some_triples(_NUM_PAIRS_CHECKED))

    @cached_property
    def _tails_effort(self) -> Effort:
        with one_at_a_time:
            return effort_of(lambda number: self._all_tails(self.some_triples(number)[:, :2]), step=1)

    def _all_tails(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch entity"]:
        trained = {name: tensor.detach().requires_grad_() for name, tensor in self.trained().items()}
        return self.score_all_tails(trained, pairs)

    def _described(self) -> ScoringConfig:
        tensors = self.tensors()
        rest = {part: tensor for part, tensor in tensors.items() if part not in self.tables}
        return ScoringConfig(
            name=self.face.name,
            num_entities=self.num_rows("entity"),
            num_relations=self.num_rows("relation"),
            tables=tuple(
                Table(
                    name=table,
                    role=role,
                    row_size=tensors[table][0].numel(),
                    is_trained=tensors[table].requires_grad,
                )
                for table, role in self.tables.items()
            ),
            dense=tuple((part, tensor.numel()) for part, tensor in rest.items() if tensor.requires_grad),
            untrained_size=sum(tensor.numel() for tensor in rest.values() if not tensor.requires_grad),
            effort=effort_of(lambda number: self._on_rows(self.some_triples(number))),
            ways=self._ways,
        )

    def _on_rows(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        rows = {name: table.requires_grad_(table.is_floating_point()) for name, table in self.rows(triples).items()}
        return self.score_rows(rows, {}, triples)

    def num_rows(self, role: Role) -> int:
        """Count entities or relations by the rows of the tables, or take the number that the model states.

        Raises
        ------
        CheckpointError
            If tables differ, or there is no table and no number.
        """
        tensors = self.tensors()
        counted = {name: len(tensors[name]) for name, its_role in self.tables.items() if its_role == role}
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
        limits = (self.num_rows("entity"), self.num_rows("relation"), self.num_rows("entity"))
        triples = torch.stack([torch.randint(limit, (number,), generator=generator) for limit in limits], dim=1)
        triples[0, 2] = triples[0, 0]
        return triples.to(self.device)


def tolerance_of(dtype: torch.dtype) -> float:
    """Give the largest difference that is rounding, as a part of the largest value (or of 1)."""
    return 1e-4 if dtype == torch.float32 else 1e-9


def _as_complex(tensor: Tensor) -> Tensor:
    """Give the complex tensor of real and imaginary parts, wherever they stand in memory."""
    return torch.view_as_complex(tensor.clone(memory_format=torch.contiguous_format))
