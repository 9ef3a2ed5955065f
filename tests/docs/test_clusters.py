"""The page about clusters: every kind has a section with a specification that can be read and shown."""

import yaml
from pages import ROOT, blocks

from tracin_dask.clusters.kinds import KINDS
from tracin_dask.clusters.spec_file import read_cluster

SPECIFICATIONS = blocks((ROOT / "docs" / "clusters.md").read_text(), "yaml")


def test_every_kind_has_a_specification_on_the_page():
    assert sorted(yaml.safe_load(text)["kind"] for text in SPECIFICATIONS) == sorted(KINDS)


def test_specifications_of_the_page_can_be_read_and_shown(tmp_path):
    for number, text in enumerate(SPECIFICATIONS):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        assert read_cluster(path).describe()
