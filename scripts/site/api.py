"""The reference of Python: all public names by subject, and the protocols that docs/extending.md lists."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

EXTENDING = Path(__file__).parents[2] / "docs" / "extending.md"
SUBJECTS = {
    "Run": ("run", "RunConfig", "Execution", "WorkerOptions", "keep_freed_memory"),
    "Options of a run": (
        *("QuestionOptions", "ScoringOptions", "RankingOptions", "MaskingOptions", "SavingOptions", "ComputingOptions"),
    ),
    "Graphs": ("ingest", "IngestOptions", "open_store", "read_training_triples", "read_entity_types"),
    "Groups": ("ingest_groups", "GroupOptions", "open_groups"),
    "Models": ("load_checkpoint", "load_checkpoints", "ModelDescription", "ScoringModel"),
    "Training with PyKEEN": ("TracInCheckpointTrainingCallback",),
    "Losses": ("Loss", "BinaryCrossEntropy", "OneToAll", "SLCWA"),
    "Results": ("InfluenceResult", "read_result", "write_result", "write_pages"),
    "Paths": ("paths_of", "ScoredPath", "path_table", "metapath_counts"),
}
"""The names of `tracin_dask.__all__`, in the order of the page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add both pages."""
    files.append(File.generated(config, "reference/python.md", content=_python()))
    files.append(File.generated(config, "reference/protocols.md", content=_protocols()))
    return files


def _python() -> str:
    parts = ["# Python", "Every name of `import tracin_dask`. [Use Python](../python.md) shows them at work."]
    for subject, names in SUBJECTS.items():
        parts += [f"## {subject}", *(f"::: tracin_dask.{name}" for name in names)]
    return "\n\n".join(parts)


def seams() -> dict[str, str]:
    """Return the module of each seam, as the table of the page states it."""
    row = re.compile(r"^\| \[(.+?)\]\(#.+?\) \|.*\| `(tracin_dask/.+?)\.py` \|$", flags=re.MULTILINE)
    return {seam: path.replace("/", ".") for seam, path in row.findall(EXTENDING.read_text(encoding="utf-8"))}


def _protocols() -> str:
    parts = ["# Protocols", "What a new part implements. [Extending](../extending.md) has a complete example of each."]
    for seam, module in seams().items():
        options = "    options:\n      show_root_heading: false\n      show_root_toc_entry: false"
        parts += [f"## {seam}", f"In `{module}`:", f"::: {module}\n{options}"]
    return "\n\n".join(parts)
