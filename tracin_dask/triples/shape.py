"""What a user states of the columns of a file of triples."""

from dataclasses import dataclass

from tracin_dask.errors import ConfigError

ROLES = ("head", "relation", "tail")
DELIMITERS = {"tab": "\t", "comma": ",", "space": " ", "semicolon": ";", "pipe": "|"}
"""By the names that the command line takes; it takes the characters, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How triples lie in a file, as far as it is stated; nothing stated: three columns between tabs, no header.

    Parameters
    ----------
    columns
        The columns of head, relation and tail: names in the header (or keys of JSON, or columns of Parquet), or numbers
        from 1.
    delimiter
        The character between columns.
    header
        Whether the first line is a header. None: it is not, and a line that looks like one is refused.
    """

    columns: tuple[str, ...] = ()
    delimiter: str | None = None
    header: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises
        ------
        ConfigError
            With the value and what is expected.
        """
        if self.columns and (len(set(self.columns)) != len(ROLES) or not all(self.columns)):
            raise ConfigError(
                f"columns must be three different names or numbers, of head, relation and tail, not "
                f"{','.join(self.columns)!r}: for example head,relation,tail or 1,3,2"
            )
        if self.columns and len({column.isdecimal() for column in self.columns}) > 1:
            raise ConfigError(f"columns must be all names or all numbers, not {','.join(self.columns)!r}")
        if self.delimiter is not None and self.delimiter not in DELIMITERS.values():
            known = ", ".join(DELIMITERS)
            raise ConfigError(f"delimiter must be one of {known} or that character, not {self.delimiter!r}")
        if self.header is False and self.by_name:
            raise ConfigError("columns has names, which stand in a header: leave out --no-header, or give numbers")

    @property
    def by_name(self) -> bool:
        """Whether columns are given by name."""
        return bool(self.columns) and not self.columns[0].isdecimal()

    @property
    def identity(self) -> list[object]:
        """What tells two shapes apart, for caches."""
        return [list(self.columns), self.delimiter, self.header]


PLAIN = Shape()
