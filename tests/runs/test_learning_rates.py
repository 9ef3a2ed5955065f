"""Learning rates of several checkpoints: their own, stated ones, and schedule files with every mistake named."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_graph import save_checkpoint, small_model

from tracin_dask.errors import CheckpointError, ConfigError, TriplesError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.inputs.learning_rates import read_schedule, settle_learning_rates


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> tuple[Checkpoint, ...]:
    """Three checkpoints of epochs 0, 5 and 10; the second states no learning rate."""
    folder = tmp_path_factory.mktemp("series")
    found = [load_checkpoint(save_checkpoint(folder / f"epoch_{e}.pt", small_model(e))) for e in (0, 5, 10)]
    pairs = zip(found, (0, 5, 10), (0.1, None, 0.3), strict=True)
    return tuple(replace(c, epoch=epoch, learning_rate=rate) for c, epoch, rate in pairs)


@pytest.fixture
def schedule(tmp_path: Path):
    def write(text: str):
        path = tmp_path / "rates.tsv"
        path.write_text(text)
        return read_schedule(path)

    return write


def test_each_checkpoint_uses_its_own_learning_rate_or_the_default(series):
    assert settle_learning_rates((), series) == (0.1, 0.001, 0.3)


def test_one_learning_rate_applies_to_all_and_several_to_one_each(series):
    assert settle_learning_rates((0.7,), series) == (0.7, 0.7, 0.7)
    assert settle_learning_rates((0.7, 0.2, 0.5), series) == (0.7, 0.2, 0.5)


@pytest.mark.parametrize("number", [2, 4])
def test_a_wrong_number_of_learning_rates_is_refused_with_the_checkpoints(series, number):
    order = ", ".join(str(checkpoint.path) for checkpoint in series)
    with pytest.raises(
        ConfigError, match=rf"are {number} learning rates and 3 checkpoint\(s\); .* this order: {order}$"
    ):
        settle_learning_rates((0.1,) * number, series)


@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan"), float("inf")])
def test_a_learning_rate_that_is_no_positive_number_is_refused(rate):
    with pytest.raises(ConfigError, match=f"learning_rate must be a positive number, not {rate}"):
        RunConfig.of(learning_rate=(0.1, rate))


def test_a_schedule_gives_learning_rates_by_epoch_or_file_name(series, schedule):
    assert schedule("0\t0.1\n5\t0.05\n\n010\t1e-3\n77\t9\n").learning_rates(series) == (0.1, 0.05, 0.001)
    by_name = schedule("epoch_5.pt\t0.5\n10\t0.25\n0\t1\n5\t3\n")
    assert by_name.learning_rates(series) == (1.0, 0.5, 0.25)
    by_path = schedule(f"{series[0].path}\t4\nepoch_0.pt\t3\n5\t1\n10\t1\n")
    assert by_path.learning_rates(series) == (4.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\t0.1\n5 0.2\n", r"rates\.tsv, line 2: expected `epoch TAB learning rate` .* found '5 0\.2'"),
        ("0\t0.1\n\n\t0.2\n", r"rates\.tsv, line 3: expected `epoch TAB"),
        ("0\tfast\n", r"rates\.tsv, line 1: the learning rate is 'fast'; expected a number above 0"),
        ("0\t0.1\n1\t-1\n", r"rates\.tsv, line 2: the learning rate is '-1'; expected a number above 0"),
        ("0\tnan\n", r"rates\.tsv, line 1: the learning rate is 'nan'"),
        ("0\t0.1\t0.2\n", r"rates\.tsv, line 1: the learning rate is '0\.1\\t0\.2'"),
        ("5\t0.1\n0\t0.1\n05\t0.2\n", r"rates\.tsv, line 3: 5 stands in line 1 already; keep one of them"),
        ("\n", r"rates\.tsv has no lines; expected `epoch TAB learning rate`"),
    ],
)
def test_a_malformed_line_of_a_schedule_is_named(schedule, text, message):
    with pytest.raises(ConfigError, match=message):
        schedule(text)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"\xff\xfe\x00", TriplesError, "rates\\.tsv: the file is encoded in UTF-16"),
        (b"0\t0.1\n1\xff\t0.2\n", ConfigError, r"rates\.tsv, line 2: expected .* in UTF-8, found '1.*xff"),
        (b"0\t0.1\r1\t0.2\n", ConfigError, r"rates\.tsv, line 1: expected `epoch TAB"),
        (b"0\t\t0.1\n", ConfigError, r"rates\.tsv, line 1: the learning rate is '\\t0\.1'"),
        (b"0\t1_0\n", ConfigError, r"rates\.tsv, line 1: the learning rate is '1_0'; expected a number above 0"),
        (b"0\t" + b"9" * 5000, ConfigError, r"the learning rate is '9{40}'… \(5,000 characters\)"),
    ],
)
def test_a_schedule_that_is_no_text_of_numbers_is_refused(tmp_path, data, error, message):
    (tmp_path / "rates.tsv").write_bytes(data)
    with pytest.raises(error, match=message):
        read_schedule(tmp_path / "rates.tsv")


def test_a_schedule_is_read_from_a_compressed_file_with_a_byte_order_mark(series, tmp_path):
    (tmp_path / "rates.tsv").write_bytes(gzip.compress(b"\xef\xbb\xbf0\t0.1\r\n5\t0.05\r\n10\t1e-3"))
    assert read_schedule(tmp_path / "rates.tsv").learning_rates(series) == (0.1, 0.05, 0.001)


def test_an_epoch_of_thousands_of_digits_is_an_epoch_that_no_checkpoint_has(series, schedule):
    rates = schedule(f"0\t0.1\n5\t0.05\n10\t1e-3\n{'9' * 5000}\t1\n")
    assert rates.learning_rates(series) == (0.1, 0.05, 0.001)
    assert rates.unused_names(series) == []


def test_line_breaks_of_other_alphabets_are_part_of_a_file_name(series, schedule):
    rates = schedule("0\t0.1\n5\t0.05\n10\t1e-3\na\u2028b.pt\t1\n\u0663\t2\n")
    assert rates.unused_names(series) == ["a\u2028b.pt", "\u0663"]


def test_an_epoch_missing_in_the_schedule_is_named(series, schedule):
    message = r"has no line for epoch 5, which .*epoch_5\.pt states .* add the line `5 TAB learning rate`"
    with pytest.raises(ConfigError, match=message):
        schedule("0\t0.1\n10\t0.2\n").learning_rates(series)


def test_a_checkpoint_without_epoch_or_schedule_line_is_named(series, schedule):
    nameless = replace(series[1], epoch=None)
    message = r"has no line for epoch_5\.pt, and that file states no epoch; add the line `epoch_5\.pt TAB"
    with pytest.raises(ConfigError, match=message):
        schedule("0\t0.1\n5\t0.2\n").learning_rates([series[0], nameless])


def groups_of(*groups: dict) -> dict:
    """Make the state dict of an optimiser."""
    return {"state": {}, "param_groups": list(groups)}


def loaded_with(tmp_path: Path, optimizer: dict, **stated: object) -> Checkpoint:
    path = save_checkpoint(tmp_path / "model.pt", small_model())
    contents = torch.load(path) | stated
    if "learning_rate" not in stated:
        contents.pop("learning_rate", None)
    torch.save(contents | {"optimizer_state_dict": optimizer}, path)
    return load_checkpoint(path)


@pytest.mark.parametrize("stated", [{}, {"learning_rate": 0.01}])
def test_groups_of_an_optimiser_with_different_learning_rates_are_refused_unless_one_is_given(tmp_path: Path, stated):
    names = ["entity_embeddings.weight", "relation_embeddings.weight", "fc.weight", "fc.bias"]
    groups = groups_of({"lr": 0.01, "params": [0, 1, 2, 3], "param_names": names}, {"lr": 0.001, "params": [4, 5]})
    checkpoint = loaded_with(tmp_path, groups, **stated)
    expected = (
        r"model\.pt: its optimiser has groups of parameters with different learning rates \(group 0 of 4 tensors "
        r"\(entity_embeddings\.weight, relation_embeddings\.weight, fc\.weight, \.\.\.\): 0\.01; group 1 of 2 tensors: "
        r"0\.001\), and an influence has one learning rate of all tensors; give one with --learning-rate"
    )
    with pytest.raises(CheckpointError, match=expected):
        settle_learning_rates((), [checkpoint])
    assert settle_learning_rates((0.5,), [checkpoint]) == (0.5,)


def test_groups_of_one_learning_rate_and_groups_without_parameters_are_read(tmp_path: Path):
    groups = groups_of({"lr": 0.01, "params": [0]}, {"lr": 0.01, "params": [1]}, {"lr": 0.5, "params": []})
    assert settle_learning_rates((), [loaded_with(tmp_path, groups)]) == (0.01,)
