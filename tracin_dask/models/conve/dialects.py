"""The dialects in which ConvE checkpoints name their tensors, and the translation to the names of `ConvE`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from tracin_dask.errors import ConfigError, NoConvEError
from tracin_dask.types import ALTERNATING, APPENDED, InverseOrder, Stacking

_WEIGHT_BIAS = ("weight", "bias")
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_MODULES = {
    "entity_embeddings": ("weight",),
    "relation_embeddings": ("weight",),
    "bn0": _BATCH_NORM,
    "conv1": _WEIGHT_BIAS,
    "bn1": _BATCH_NORM,
    "fc": _WEIGHT_BIAS,
    "bn2": _BATCH_NORM,
}
"""The modules of `ConvE`, and their tensors."""


def module_tensors(*, leave_out: Collection[str] = (), **their_names: str) -> dict[str, str]:
    """Map a program's names of tensors to those in `ConvE`.

    Parameters
    ----------
    leave_out
        The tensors that its ConvE does not have, by the names in `ConvE`.
    **their_names
        Its names of the modules that have other names in `ConvE`.
    """
    return {
        f"{their_names.get(module, module)}.{leaf}": f"{module}.{leaf}"
        for module, leaves in _MODULES.items()
        for leaf in leaves
        if f"{module}.{leaf}" not in leave_out
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one program names and shapes the tensors of a ConvE.

    `stacking` is the axis on which it puts the images of head and relation together. `tensors` maps the names in its
    files to the names in `ConvE`; "entity_bias" and "conv1.bias" are missing where its ConvE has none. A file is of
    the dialect that has its name of the entity embeddings. Names that hold one of `irrelevant` are state of the
    training that no score depends on.
    """

    name: str
    stacking: Stacking
    tensors: dict[str, str]
    irrelevant: tuple[str, ...] = ("num_batches_tracked",)
    inverse_order: InverseOrder | None = None
    """Where its training puts inverse relations, if it adds them to the relation map."""
    entity_bias_is_column: bool = False
    """Whether the biases of entities have the shape [entity, 1] in its files, not [entity]."""
    embedding_height: int | None = None
    """The height of one embedding's image, where the program fixes it."""
    note: str | None = None
    """What is said of its files when they are loaded."""

    @property
    def has_entity_bias(self) -> bool:
        """Whether every entity has a bias."""
        return "entity_bias" in self.tensors.values()

    @property
    def has_convolution_bias(self) -> bool:
        """Whether every channel of the convolution has a bias."""
        return "conv1.bias" in self.tensors.values()

    def relevant(self, names: Iterable[str]) -> set[str]:
        """Select the names of tensors that scores depend on."""
        return {name for name in names if not any(part in name for part in self.irrelevant)}

    @property
    def entity_tensor(self) -> str:
        """The file's name of the entity embeddings, by which the dialect is recognised."""
        return next(theirs for theirs, ours in self.tensors.items() if ours == "entity_embeddings.weight")

    @property
    def layer_tensors(self) -> set[str]:
        """The file's names of the tensors that are neither embeddings nor biases of entities."""
        return {theirs for theirs, ours in self.tensors.items() if not ours.startswith(("entity_", "relation_"))}

    @property
    def parameters(self) -> dict[str, str]:
        """The file's names of the tensors that are trained, and ours."""
        return {theirs: ours for theirs, ours in self.tensors.items() if "running_" not in ours}

    @property
    def counters(self) -> dict[str, str]:
        """The file's names of batch norm's counters of batches, and ours; a file may lack them."""
        return {
            theirs.replace("running_var", "num_batches_tracked"): ours.replace("running_var", "num_batches_tracked")
            for theirs, ours in self.tensors.items()
            if ours.endswith("running_var")
        }


TRAIN_PYTORCH = Dialect(name="train_pytorch", stacking="width", tensors=module_tensors())
PYKEEN = Dialect(
    name="pykeen",
    stacking="height",
    tensors=module_tensors(
        entity_embeddings="entity_representations.0._embeddings",
        relation_embeddings="relation_representations.0._embeddings",
        bn0="interaction.hr2d.0",
        conv1="interaction.hr2d.2",
        bn1="interaction.hr2d.3",
        fc="interaction.hr1d.0",
        bn2="interaction.hr1d.2",
    )
    | {"entity_representations.1._embeddings.weight": "entity_bias"},
    irrelevant=("num_batches_tracked", "regularizer", "loss."),
    inverse_order=ALTERNATING,
    entity_bias_is_column=True,
)
_DETTMERS_NAMES = {"entity_embeddings": "emb_e", "relation_embeddings": "emb_rel"}
_DETTMERS_NOTE = (
    "recognised as a ConvE of T. Dettmers' repository, {}; it does not train row 0 as a head or relation, which has "
    "influence here like any other row"
)
DETTMERS = Dialect(
    name="dettmers",
    stacking="height",
    tensors=module_tensors(**_DETTMERS_NAMES) | {"b": "entity_bias"},
    note=_DETTMERS_NOTE.format("its convolution with a bias"),
)
DETTMERS_UNBIASED = Dialect(
    name="dettmers_unbiased",
    stacking="height",
    tensors=module_tensors(leave_out=["conv1.bias"], **_DETTMERS_NAMES) | {"b": "entity_bias"},
    note=_DETTMERS_NOTE.format("its convolution without a bias"),
)
_EMBEDDINGS = ("entity_embeddings", "relation_embeddings")
KELPIE = Dialect(
    name="kelpie",
    stacking="height",
    tensors={name: f"{name}.weight" for name in _EMBEDDINGS}
    | module_tensors(
        leave_out=[f"{name}.weight" for name in _EMBEDDINGS],
        bn0="batch_norm_1",
        conv1="convolutional_layer",
        bn1="batch_norm_2",
        fc="hidden_layer",
        bn2="batch_norm_3",
    ),
    inverse_order=APPENDED,
    embedding_height=20,
    note="recognised as a ConvE of Kelpie; the inverse of relation r, of R relations, is in row R + r",
)
DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (TRAIN_PYTORCH, PYKEEN, DETTMERS, DETTMERS_UNBIASED, KELPIE)
}
"""All dialects that files are recognised by, by their names."""


def register_dialect(dialect: Dialect) -> None:
    """Recognise files of one more dialect in this process; workers get it with the checkpoints.

    Raises
    ------
    ConfigError
        If there is another dialect of this name.
    """
    if DIALECTS.setdefault(dialect.name, dialect) != dialect:
        raise ConfigError(f"there is another dialect {dialect.name!r} of ConvE checkpoints; choose another name")


def find_dialect(name: str) -> Dialect:
    """Give the dialect of this name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in DIALECTS:
        raise ConfigError(f"{name!r} is not a dialect of ConvE checkpoints; choose {' or '.join(DIALECTS)}")
    return DIALECTS[name]


def recognise_dialect(names: Iterable[str]) -> Dialect:
    """Recognise the dialect by the name of the entity embeddings; of several, take the one that has all the names.

    Raises
    ------
    NoConvEError
        If no dialect has such names.
    """
    found = list(names)
    candidates = [dialect for dialect in DIALECTS.values() if dialect.entity_tensor in found]
    exact = [dialect for dialect in candidates if dialect.relevant(found) == set(dialect.tensors)]
    if candidates:
        return (exact or candidates)[0]
    known = " nor ".join(f"{dialect.entity_tensor} ({dialect.name})" for dialect in DIALECTS.values())
    raise NoConvEError(f"not a ConvE of a known dialect: neither {known} is among its entries {_first(found)}")


def rename_tensors(state: Mapping[str, Tensor], dialect: Dialect) -> dict[str, Tensor]:
    """Translate a state dict into the names and shapes of `ConvE`.

    Raises
    ------
    NoConvEError
        If a tensor is missing, or one is there that the dialect does not have: that is another model.
    """
    relevant = dialect.relevant(state)
    missing = [name for name in dialect.tensors if name not in relevant]
    unknown = [name for name in state if name in relevant and name not in dialect.tensors]
    if dialect.layer_tensors.issubset(missing):
        raise NoConvEError(f"not a ConvE: it has none of its layers, {_first([*dialect.layer_tensors])}")
    if missing or unknown:
        parts = [("lacks", missing), ("has the unknown", unknown)]
        text = " and ".join(f"{verb} {_first(names)}" for verb, names in parts if names)
        raise NoConvEError(f"this ConvE in the dialect {dialect.name} {text}; that is another model")
    return {ours: in_our_shape(ours, state[theirs]) for theirs, ours in dialect.tensors.items()}


def in_our_shape(name: str, tensor: Tensor) -> Tensor:
    """Give a tensor of a file, by its name in `ConvE`, the shape that it has there: one axis for biases of entities."""
    return tensor.flatten() if name == "entity_bias" else tensor


def file_state(tensors: Mapping[str, Tensor], dialect: Dialect) -> dict[str, Tensor]:
    """Translate tensors named as in `ConvE` into the names and shapes of a dialect's files."""
    names = {ours: theirs for theirs, ours in (dialect.tensors | dialect.counters).items()}
    state = {names[ours]: tensor for ours, tensor in tensors.items() if ours in names}
    if dialect.has_entity_bias:
        bias = tensors["entity_bias"]
        state[names["entity_bias"]] = bias[:, None] if dialect.entity_bias_is_column else bias
    return state


def _first(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(sorted(names)[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown or "(none)"
