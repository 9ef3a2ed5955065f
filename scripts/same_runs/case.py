"""One small run: which model explains which test triples on which graph, with which options, and where."""

from dataclasses import dataclass
from typing import Literal

Place = Literal["process", "workers", "local"]
"""This process; two workers that all such cases share; two workers that the command starts itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run of the command line.

    Attributes
    ----------
    model
        The name of a model in `models.py`.
    tests
        How many test triples; 0 for the self-influence of the training triples.
    options
        More options of `tracin-dask run`, as in a shell; `{folder}` is the folder of the inputs, and
        `{output}` that of the result.
    graph
        The name of a graph in `graphs.py`.
    place
        Where the training triples are scored.
    """

    model: str
    tests: int
    options: str = ""
    graph: str = "umls"
    place: Place = "process"
