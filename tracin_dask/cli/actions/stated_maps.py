"""The id maps that a checkpoint states, in place of files that are not given."""

from collections.abc import Sequence

from tracin_dask.cli.actions.inputs import cache_of
from tracin_dask.cli.actions.training_sources import kind_of
from tracin_dask.cli.options.job import JobFlags
from tracin_dask.cli.say import say
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.places.place import Place
from tracin_dask.triples.idmap import LABEL_FIRST, IdMap, id_maps_sha256, write_id_map


def with_stated_maps(options: JobFlags, checkpoints: Sequence[Checkpoint]) -> JobFlags:
    """Give the options with id maps that the first checkpoint states, for a text file without them; say where they lie.

    A store and training triples of PyKEEN have maps of their own, which are compared with those of the checkpoints.
    """
    stated, given = checkpoints[0].labels, (options["entity_to_id"], options["relation_to_id"])
    if stated is None or kind_of(options["train"]) != "text" or None not in given:
        return options
    maps = {"entity": IdMap.of(stated.entities), "relation": IdMap.of(stated.relations)}
    folder = cache_of(options) / f"id-maps-{id_maps_sha256(*maps.values())[:16]}"
    folder.make_folder()
    made: list[Place] = []
    for kind, id_map in maps.items():
        made.append(folder / f"{kind}_to_id.tsv")
        write_id_map(made[-1], id_map)
    say(f"id maps that are not given are those that {checkpoints[0].path} states: {folder}", err=True)
    entities, relations = (path or mine for path, mine in zip(given, made, strict=True))
    columns = LABEL_FIRST if given == (None, None) else options["map_columns"]
    return {**options, "entity_to_id": entities, "relation_to_id": relations, "map_columns": columns}
