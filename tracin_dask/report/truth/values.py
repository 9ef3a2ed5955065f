"""Known explanations as values: edges, mechanistic paths, and training triples that the user knows to be true."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Triple = tuple[str, str, str]
"""Head, relation and tail as a file states them."""

IS_GROUND_TRUTH, IN_PATH, ON_SPECIFIC_PATH = "is_ground_truth", "in_path", "on_specific_path"
IS_GROUND_TRUTH_STRICT, ON_SPECIFIC_PATH_STRICT = "is_ground_truth_strict", "on_specific_path_strict"
IS_TRUE = "is_true"
DEFINITIONS = {
    IS_GROUND_TRUTH: "the training triple is a known edge: head, relation and tail; a predicate without qualifiers "
    "stands for every relation of that predicate",
    IS_GROUND_TRUTH_STRICT: "the training triple is a known edge, and its readable relation or its relation label "
    "equals the edge's predicate, qualifiers included",
    IN_PATH: "both ends of the training triple are the drug, the disease or intermediates of one known path of the "
    "test triple's pair",
    ON_SPECIFIC_PATH: "the ends of the training triple are neighbours on one known path of the test triple's pair, in "
    "either direction",
    ON_SPECIFIC_PATH_STRICT: "the training triple leads from one entity of a known path of the test triple's pair to "
    "the next, from the drug to the disease, with the predicate that the path file or else the edges state",
    IS_TRUE: "the user's file states the training triple, for this test triple or for all",
}
"""What each column of truth says of a training triple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthFile:
    """The file that known explanations were read from."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEdges:
    """Edges that are known to be true, whatever the test triple."""

    triples: tuple[Triple, ...]
    """Each once: subject, predicate, object."""
    file: TruthFile | None = None

    def predicates(self) -> dict[tuple[str, str], list[str]]:
        """Give the predicates between each subject and object."""
        found: dict[tuple[str, str], list[str]] = {}
        for subject, predicate, target in self.triples:
            found.setdefault((subject, target), []).append(predicate)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPath:
    """One path from a drug to a disease."""

    drug: str
    disease: str
    intermediates: tuple[str, ...] = ()
    predicates: tuple[str, ...] | None = None
    """One for each step; None where the file states none."""
    path_id: str = ""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The entities in their order, drug and disease included."""
        return (self.drug, *self.intermediates, self.disease)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPaths:
    """Known paths; a pair of drug and disease may have several."""

    paths: tuple[KnownPath, ...]
    file: TruthFile | None = None

    @property
    def num_pairs(self) -> int:
        """Count the pairs of drug and disease."""
        return len({(path.drug, path.disease) for path in self.paths})


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTruth:
    """Training triples that the user knows to explain test triples."""

    of_test: Mapping[Triple, tuple[Triple, ...]] = field(default_factory=dict)
    """By the test triple."""
    everywhere: tuple[Triple, ...] = ()
    """Those that are true for all test triples."""
    file: TruthFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """All that is known; None for what was not given."""

    edges: KnownEdges | None = None
    paths: KnownPaths | None = None
    own: OwnTruth | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that this truth gives."""
        of_edges = (IS_GROUND_TRUTH, IS_GROUND_TRUTH_STRICT) if self.edges else ()
        of_paths = (IN_PATH, ON_SPECIFIC_PATH, ON_SPECIFIC_PATH_STRICT) if self.paths else ()
        return (*of_edges, *of_paths, *((IS_TRUE,) if self.own else ()))

    def measured(self, *, strict: bool) -> tuple[str, ...]:
        """Name the columns to measure: with `strict`, the strict ones in place of their loose twins."""
        names = self.columns
        loose = {IS_GROUND_TRUTH, ON_SPECIFIC_PATH} if strict else {IS_GROUND_TRUTH_STRICT, ON_SPECIFIC_PATH_STRICT}
        return tuple(name for name in names if name not in loose)
