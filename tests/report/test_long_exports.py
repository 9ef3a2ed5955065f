"""`--tsv` and `--parquet`: one long table with all that a result knows of test triples and training triples."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import made_result, ranked

from tracin_dask.places.registry import place_of
from tracin_dask.report.exports.base import ExportOptions, ExtraColumn
from tracin_dask.report.exports.registry import EXPORTS
from tracin_dask.report.exports.write import write_exports
from tracin_dask.report.predictions import EntityRanks, Predictions
from tracin_dask.report.result import Norms
from tracin_dask.report.self_influences import SelfInfluences

HOPS = ExtraColumn(values=(pa.array([0, None], pa.int64()), pa.array([2], pa.int64())), csv_name="Hops")


def everything(**others):
    """Give a result of two test triples of which all is known."""
    nothing = (np.empty(0, np.int64),) * 2
    ranks = EntityRanks(filtered=np.array([1.0, 10.5]), raw=np.array([2.0, 20.0]))
    values = {
        "test_triples": np.array([[0, 1, 2], [3, 0, 4]]),
        "rankings": (ranked([0.1 + 0.2, -1e-17]), ranked([5.0], 9)),
        "further": (ranked([]),) * 2,
        "predictions": Predictions(
            score=np.array([1.5, -2.0]),
            probability=np.array([0.8, 0.1]),
            tail_ranks=ranks,
            head_ranks=None,
            train_index=nothing,
            reversed_train_index=nothing,
        ),
        "norms": Norms(test=np.array([3.0, 4.0]), train=(np.array([1.0, 2.0]), np.array([6.0]))),
        "spread": (np.array([0.5, 0.25]), np.array([0.125])),
        "self_influences": SelfInfluences(test=np.array([7.0, 8.0]), train=(np.array([0.1, 0.2]), np.array([0.3]))),
    } | others
    return made_result(values["rankings"][0], {0: "=acid, α"}, **values)


def write(name, result, folder, **options):
    [(_, [file])] = write_exports(result, place_of(folder), [EXPORTS[name]], ExportOptions(**options), overwrite=False)
    return file.local_path()


def test_the_parquet_table_has_every_known_column_with_its_type(tmp_path):
    table = pq.read_table(write("parquet", everything(), tmp_path, columns={"hops_to_head": HOPS}))
    whole, number, text = pa.int64(), pa.float64(), pa.string()
    expected = {"test_index": whole}
    triple = [(role, end) for role in ("head", "relation", "tail") for end in ("", "_label", "_name")]
    triple.remove(("relation", "_name"))
    expected |= {f"test_{role}{end}": text if end else whole for role, end in triple}
    known = ("score", "probability", "filtered_tail_rank", "raw_tail_rank", "self_influence", "gradient_norm")
    expected |= {f"test_{name}": number for name in known} | {"rank": whole}
    expected |= {f"train_{role}{end}": text if end else whole for role, end in triple}
    expected |= dict.fromkeys(("influence", "influence_spread", "train_gradient_norm", "self_influence"), number)
    expected |= {"hops_to_head": whole, "train_index": whole}
    assert {field.name: field.type for field in table.schema} == expected
    assert list(expected) == table.column_names
    assert table["rank"].to_pylist() == [1, 2, 1]
    assert table["influence"].to_pylist() == [0.1 + 0.2, -1e-17, 5.0]
    assert table["test_self_influence"].to_pylist() == [7.0, 7.0, 8.0]
    assert table["self_influence"].to_pylist() == [0.1, 0.2, 0.3]
    assert table["hops_to_head"].to_pylist() == [0, None, 2]
    assert table["train_head_name"].to_pylist()[0] == "=acid, α"


def test_the_text_table_says_the_same(tmp_path):
    options = {"columns": {"hops_to_head": HOPS}}
    typed = pq.read_table(write("parquet", everything(), tmp_path, **options)).to_pandas()
    read = pd.read_csv(write("tsv", everything(), tmp_path, **options), sep="\t")
    assert read["train_head_name"].tolist()[0] == "'=acid, α"
    raw = write("tsv", everything(), tmp_path / "raw", raw_text=True, **options)
    again = pd.read_csv(raw, sep="\t")
    pd.testing.assert_frame_equal(again, typed, check_dtype=False, check_exact=True)


def test_numbers_of_several_checkpoints_are_a_list_or_columns(tmp_path):
    parts = (np.array([[0.5, -0.25], [0.125, 0.0]]), np.array([[1.0, 2.0]]))
    given = everything(contributions=parts)
    table = pq.read_table(write("parquet", given, tmp_path))
    assert table["influence_by_checkpoint"].to_pylist() == [[0.5, -0.25], [0.125, 0.0], [1.0, 2.0]]
    text = pd.read_csv(write("tsv", given, tmp_path), sep="\t")
    assert text["influence_by_checkpoint_2"].tolist() == [-0.25, 0.0, 2.0]


@pytest.mark.parametrize("name", ["tsv", "parquet"])
def test_self_influences_of_the_training_set_are_a_long_table_too(tmp_path, name):
    path = write(name, made_result(ranked([2.0, 1.0]), test_triples=None), tmp_path)
    table = pq.read_table(path).to_pandas() if name == "parquet" else pd.read_csv(path, sep="\t")
    assert table["self_influence"].tolist() == [2.0, 1.0]
    assert "test_index" not in table


def test_every_export_states_its_name_and_uses_options_that_exist():
    assert list(EXPORTS) == ["html", "csv", "tsv", "parquet"]
    for name, export in EXPORTS.items():
        assert export.name == name
        assert export.help.endswith(".")
        assert export.uses <= {*ExportOptions.__dataclass_fields__, "hops", "truth"}
