"""What a run says of its audit, and the error of one that fails."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tracin_dask.errors import AuditError
from tracin_dask.places.place import AnyPath
from tracin_dask.runs.audit.compare import Compared, Comparison
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.result import labels_of


def about_audit(compared: Compared) -> Mapping[str, Any]:
    """State an audit, for the result."""
    worst = compared.worst
    return {
        "rows": compared.num_rows,
        "test_triples": compared.num_answers,
        "checkpoints": compared.num_checkpoints,
        "largest_deviation": None if worst is None else worst.deviation,
        "limit": compared.limit,
        "precision": compared.precision,
        "excluded": compared.num_excluded,
        "seconds": round(compared.seconds, 3),
        **({} if compared.why_not_all is None else {"why_not_all": compared.why_not_all}),
    }


def refuse_deviation(compared: Compared, prepared: PreparedRun, records: AnyPath | None) -> None:
    """Refuse influences that deviate.

    Raises
    ------
    AuditError
        With the triples and both values of the largest deviation, and what is kept.
    """
    worst = compared.worst
    if worst is None or worst.deviation <= compared.limit:  # NaN is beyond every limit
        return
    kept = "" if records is None else f", finished rows are kept in {records}"
    again = "" if records is None else "; --restart scores all rows again"
    raise AuditError(
        f"the audit failed: {compared.num_beyond} of {compared.num_compared} influences differ from plain automatic "
        f"differentiation. The influence of the training triple {_triple(prepared, worst.row.triple)}"
        f"{_on(prepared, worst)} is {worst.of_run:.9g} in this run, and {worst.plain:.9g} by plain automatic "
        f"differentiation: the difference is {worst.deviation:.1e} of the product of both gradients' lengths, and "
        f"{compared.limit:.0e} is allowed. Nothing was written{kept}. Please report this, with the options and the "
        f"model{again}; --audit off gives the result as it is"
    )


def _on(prepared: PreparedRun, worst: Comparison) -> str:
    if worst.answer is None:
        return " on itself"
    triples = worst.answer.targets.triples
    if worst.answer.is_whole and prepared.sets is not None:
        return f" on the set {prepared.sets.names[worst.answer.number]} of {len(triples)} test triples"
    return f" on the test triple {_triple(prepared, triples[0])}"


def _triple(prepared: PreparedRun, triple: np.ndarray) -> str:
    return " ".join(labels_of(prepared.store, triple[None]).call(triple.tolist()))
