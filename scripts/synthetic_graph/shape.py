"""The size and skew that a synthetic graph is asked for."""

from dataclasses import dataclass

from tracin_dask.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """How uneven a graph is; the package says where the values come from.

    head_share
        Share of the entities that are the head of a training triple.
    degree_exponent
        The number of rows of a head exceeds n with a chance that falls as n^-exponent.
    relation_exponent
        A head of n rows uses about n^exponent relations.
    tail_exponent
        The k-th most popular tail of a type is drawn in proportion to k^-exponent.
    """

    head_share: float = 0.97
    degree_exponent: float = 1.6
    relation_exponent: float = 0.42
    tail_exponent: float = 0.75

    def __post_init__(self) -> None:
        """Refuse values without a meaning.

        Raises
        ------
        ConfigError
            If a value is out of its range.
        """
        ranges = {
            "head_share": (0.01, 1.0),
            "degree_exponent": (0.5, 10.0),
            "relation_exponent": (0.0, 1.0),
            "tail_exponent": (0.0, 3.0),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} is {value}; expected a number from {least} to {most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphShape:
    """The counts of a graph, its skew and the seed that everything is drawn by."""

    num_triples: int
    num_entities: int
    num_relations: int
    num_test: int
    num_valid: int
    skew: Skew
    seed: int

    @property
    def num_rows(self) -> int:
        """Training, validation and test triples together."""
        return self.num_triples + self.num_held_out

    @property
    def num_held_out(self) -> int:
        """Validation and test triples together."""
        return self.num_test + self.num_valid
