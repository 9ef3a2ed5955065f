"""The measures of one test triple in one ranking, and the words that define them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tracin_dask.report.truth.comparisons import KINDS
from tracin_dask.report.truth.permutations import STATISTIC, Permutations, average_precision
from tracin_dask.report.truth.places import TrueRanks

HITS = (1, 3, 10)
COVERAGE, FIRST_RANK, RECIPROCAL, PRECISION, AREA, P_VALUE = (
    "coverage",
    "first_rank",
    "reciprocal_rank",
    "average_precision",
    "auc",
    "permutation_p",
)
MEASURES = {
    COVERAGE: "share of the known training triples in the training set that the ranking holds",
    FIRST_RANK: "rank of the first known training triple, 1 for the top",
    RECIPROCAL: "1 / first_rank, 0 if the ranking holds none; its mean over test triples is MRR",
    PRECISION: "sum of the precisions at the ranks of the known triples, divided by the number of known triples in the "
    "training set, or in the ranking where nobody counted those; its mean over test triples is MAP",
    "hits_at_N": "1 if a known triple is among the first N, else 0",
    AREA: "area under the ROC curve: the chance that a known training triple ranks before another one, ties half; only "
    "where the ranks of all training triples are known",
    P_VALUE: STATISTIC,
    "mean_rank_true, mean_rank_others": "mean rank of the known and of the other triples of the ranking, ordered by "
    "influence, or by |influence| (size); ties share their mean",
    "u, u_p": "Mann-Whitney U of known against other triples (two-sided test of scipy)",
    "ks, ks_p": "Kolmogorov-Smirnov statistic of known against other triples (two-sided test of scipy)",
    "cliffs_delta": "2·U / (n₁·n₂) - 1: from -1 to 1, above 0 where known triples have the larger values",
}
OF_COMPARISON = ("mean_rank_true", "mean_rank_others", "u", "u_p", "ks", "ks_p", "cliffs_delta")
FEW = "fewer than 2 test triples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured of one test triple in one ranking, for one column of truth."""

    test_index: int
    column: str
    ranking: str
    num_ranked: int
    num_true: int
    """Known training triples that the ranking holds."""
    num_known: int | None
    """Known training triples in the training set; None where nobody counted them."""
    has_truth: bool
    """Whether anything is known of the test triple; means are over those."""
    numbers: dict[str, float | None] = field(default_factory=dict)
    """By measure; None where one is not defined."""
    not_defined: dict[str, str] = field(default_factory=dict)
    """Why, by measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a row is about."""

    test_index: int
    column: str
    ranking: str
    has_truth: bool
    """Whether anything is stated for the test triple."""


def measure(true: TrueRanks, about: About, *, hits: Sequence[int], permutations: Permutations) -> Row:
    """Measure one ranking."""
    has_truth = about.has_truth if true.num_known is None else true.num_known > 0
    numbers: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, value, why in _measured(true, hits, permutations):
        numbers[name] = value if has_truth else None
        if numbers[name] is None:
            reasons[name] = why if has_truth else "no known training triple"
    return Row(
        test_index=about.test_index,
        column=about.column,
        ranking=about.ranking,
        num_ranked=true.num_ranked,
        num_true=len(true.ranks),
        num_known=true.num_known,
        has_truth=has_truth,
        numbers=numbers,
        not_defined=reasons,
    )


def _measured(
    true: TrueRanks, hits: Sequence[int], permutations: Permutations
) -> Iterator[tuple[str, float | None, str]]:
    """Give each measure by its name; where it is None, with the reason."""
    ranks, number = true.ranks, len(true.ranks)
    known = number if true.num_known is None else true.num_known
    first = int(ranks[0]) if number else None
    share = None if true.num_known is None else number / max(1, known)
    yield COVERAGE, share, "the known training triples in the training set were not counted: pass --train"
    yield FIRST_RANK, first, "the ranking holds no known training triple"
    yield RECIPROCAL, 0.0 if first is None else 1 / first, ""
    yield PRECISION, average_precision(ranks) * number / known if number else 0.0, ""
    for size in hits:
        yield f"hits_at_{size}", float(first is not None and first <= size), ""
    yield AREA, true.area, "the ranking is cut off, or known and other triples are not both in it"
    p_value = permutations.p_value(ranks, true.num_ranked)
    yield P_VALUE, p_value, "known and other triples are not both in the ranking, or no permutations were asked for"
    for kind, comparison in true.comparisons.items():
        for name in OF_COMPARISON:
            yield f"{name}_{kind}", getattr(comparison, name), comparison.not_defined or ""


def names_of_measures(hits: Sequence[int]) -> list[str]:
    """Name all measures in their order."""
    of_pairs = [f"{name}_{kind}" for kind in KINDS for name in OF_COMPARISON]
    return [COVERAGE, FIRST_RANK, RECIPROCAL, PRECISION, *(f"hits_at_{n}" for n in hits), AREA, P_VALUE, *of_pairs]


def hits_of(top_k: int) -> tuple[int, ...]:
    """Give the sizes of hits: 1, 3, 10 and the length of the list."""
    return tuple(sorted({*(size for size in HITS if size <= top_k), top_k}))
