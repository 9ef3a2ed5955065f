"""The commands of every page run in order, in a folder with the files that they name, and print what the page shows."""

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import torch
import yaml
from made_folder import DISEASES, DRUGS, GENES, RELATIONS
from pages import PAGES, ROOT, all_blocks, blocks, lines_of, name_of
from run_lines import form_of, run_line

from tracin_dask.cli.main import group

PAGES_OF_THEIR_OWN = ("docs/validation.md", "docs/tutorial.md")
"""test_validation.py and test_tutorial.py run their commands."""
COMMAND_PAGES = [name_of(page) for page in PAGES if blocks(page.read_text(), "bash")]
RUN_HERE = [name for name in COMMAND_PAGES if name not in PAGES_OF_THEIR_OWN]


def prepare_pykeen() -> None:
    """Train as the page's Python does, and save the result of the pipeline."""
    names: dict[str, object] = {}
    for code in blocks((ROOT / "docs" / "pykeen.md").read_text(), "python"):
        exec(compile(code, "docs/pykeen.md", "exec"), names)  # noqa: S102 - the project's own text
    names["trained"].save_to_directory("result")
    for name in ("model", "graph.zarr"):  # the commands make their own
        shutil.rmtree(name)


def prepare_other_models() -> None:
    """Save a RotatE as PyKEEN does, which numbers inverse relations in its own way: the graph has none."""
    from pykeen.models import RotatE  # noqa: PLC0415 - slow to import
    from pykeen.triples import TriplesFactory  # noqa: PLC0415 - slow to import

    lines = Path("train.txt").read_text().splitlines()
    Path("train.txt").write_text("".join(f"{line}\n" for line in lines if "_inverse" not in line))
    Path("rel_dict.txt").write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(RELATIONS)))
    maps = "--entity-to-id node_dict.txt --relation-to-id rel_dict.txt"
    run_line(f"tracin-dask ingest train.txt {maps} -o graph.zarr --overwrite")
    entities = {label: number for number, label in enumerate((*DRUGS, *DISEASES, *GENES))}
    relations = {label: number for number, label in enumerate(RELATIONS)}
    triples = TriplesFactory(torch.tensor([[0, 0, 1]]), entity_to_id=entities, relation_to_id=relations)
    model = RotatE(triples_factory=triples, embedding_dim=200)
    torch.save(model.state_dict(), "state.pt")
    Path("result").mkdir()
    torch.save(model, "result/trained_model.pkl", pickle_module=pickle)


PREPARE: dict[str, Callable[[], None]] = {
    "README.md": lambda: shutil.rmtree("graph.zarr"),
    "docs/inputs.md": lambda: shutil.rmtree("graph.zarr"),
    "docs/names.md": lambda: shutil.rmtree("graph.zarr"),
    "docs/preparing.md": lambda: shutil.rmtree("model"),
    "docs/training.md": lambda: shutil.rmtree("model"),
    "docs/pykeen.md": prepare_pykeen,
    "docs/other-models.md": prepare_other_models,
}
"""What is done before a page's commands, which write some files anew, or need files that no other page names."""


# PyKEEN asks for pinned memory on machines without a GPU, too
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
@pytest.mark.parametrize("page", RUN_HERE)
def test_the_commands_of_a_page_run_in_order(page, page_folder):
    PREPARE.get(page, lambda: None)()
    printed = ""
    for block in all_blocks((ROOT / page).read_text()):
        if block.reason is not None:
            continue
        if block.language == "bash":
            printed += "".join(run_line(line) for line in lines_of(block.code))
        elif block.language == "json":
            whole = block.code if block.code.startswith("{") else f"{{{block.code}}}"  # or a part of an object
            assert keys(whole) - {"..."} <= keys_of_results(page_folder)
        elif block.language == "text":
            assert form_of(block.code) in form_of(printed)
    assert printed


def keys(text: str) -> set[str]:
    """Return the keys of all objects in JSON text."""
    found: set[str] = set()
    json.loads(text, object_pairs_hook=lambda pairs: found.update(key for key, _ in pairs))
    return found


def keys_of_results(folder: Path) -> set[str]:
    return set().union(*(keys(path.read_text()) for path in folder.rglob("*.json")))


def test_the_workflow_knows_the_settings_of_the_page_about_pipelines():
    (text,) = blocks((ROOT / "docs" / "pipelines.md").read_text(), "yaml")
    known = yaml.safe_load((ROOT / "scripts" / "workflow" / "config.yaml").read_text())
    settings = yaml.safe_load(text)
    assert set(settings) <= set(known)
    options = {word for word in settings["train_options"].split() if word.startswith("--")}
    assert options <= {
        name for parameter in group.get_command(click.Context(group), "train").params for name in parameter.opts
    }


@pytest.mark.usefixtures("page_folder")
def test_a_line_that_fails_is_noticed():
    with pytest.raises(AssertionError, match="No such option"):
        run_line("tracin-dask plan --model-path model.pt --wrong")
    with pytest.raises(AssertionError, match=r"missing\.txt"):
        run_line("cat missing.txt | sort")
    assert form_of("│ 1 │ +1.5 │\n└───┘") == form_of("│ 2 │  -0.25 │")
    assert re.search(r"# of # entities", form_of("2 of 1,350 entities"))
