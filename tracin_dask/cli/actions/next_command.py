"""What the command that follows has to say of the id maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracin_dask.triples.idmap import LABEL_FIRST, IdMap, needs_map_columns

if TYPE_CHECKING:
    from tracin_dask.cli.ingest import IngestArguments
    from tracin_dask.cli.split import SplitFlags
    from tracin_dask.cli.train import TrainFlags


def map_words(options: "IngestArguments | SplitFlags | TrainFlags", id_maps: Sequence[IdMap]) -> list[str]:
    """Repeat what was stated, and state what files of these maps do not say by themselves."""
    words = [f"--{name}" for name in ("labels", "ids") if options.get(name)]
    columns = options["map_columns"]
    if columns is None and any(map(needs_map_columns, id_maps)):
        columns = LABEL_FIRST
    return [*words, *(["--map-columns", columns] if columns else [])]
