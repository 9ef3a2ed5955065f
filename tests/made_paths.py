"""Results with chosen training triples, for paths."""

import numpy as np
from made_results import made_result

from tracin_dask.report.result import RankedTriples


def triples_with(triples, influences, first_line=0):
    """Rank some triples with their influences."""
    return RankedTriples(
        triples=np.array(triples, np.int64).reshape(-1, 3),
        influence=np.array(influences, np.float64),
        train_index=np.arange(first_line, first_line + len(influences)),
    )


def result_of(triples, influences, *, further=((), ()), **others):
    """Make a result of the test triple (0, 1, 2) with these rankings."""
    beyond = (triples_with(*further, first_line=len(influences)),)
    return made_result(triples_with(triples, influences), **{"further": beyond} | others)
