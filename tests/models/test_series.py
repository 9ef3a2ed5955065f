"""Checkpoints of one training: found by file, folder and pattern, ordered by epoch, refused where one is odd."""

from pathlib import Path

import pytest
import torch
from conftest import random_model

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.series import check_series, find_files, in_order, load_checkpoints
from tracin_dask.models.load import load_checkpoint


def save(path: Path, seed: int = 0, *, epoch: int | None = None, sizes: dict[str, int] | None = None) -> Path:
    model = random_model(seed, **(sizes or {}))
    names = ("embedding_height", "embedding_width")
    contents = {
        "model_state_dict": model.state_dict(),
        "model_config": {n: getattr(model.config, n) for n in names},
    }
    torch.save(contents if epoch is None else contents | {"epoch": epoch}, path)
    return path


def names(checkpoints) -> list[str]:
    return [checkpoint.path.name for checkpoint in checkpoints]


def test_checkpoints_are_ordered_by_their_epochs(tmp_path):
    for seed, (name, epoch) in enumerate({"a.pt": 30, "b.pt": 2, "c.pt": 10}.items()):
        save(tmp_path / name, seed, epoch=epoch)
    assert names(load_checkpoints(tmp_path)) == ["b.pt", "c.pt", "a.pt"]


def test_checkpoints_without_epochs_are_ordered_by_numbers_in_their_names(tmp_path):
    for seed, number in enumerate((10, 9, 100)):
        save(tmp_path / f"epoch_{number}.pt", seed)
    assert names(load_checkpoints(tmp_path)) == ["epoch_9.pt", "epoch_10.pt", "epoch_100.pt"]


def test_checkpoints_are_ordered_by_name_if_only_some_state_an_epoch(tmp_path):
    paths = [save(tmp_path / "b.pt", 0, epoch=1), save(tmp_path / "a.pt", 1), save(tmp_path / "c.pt", 2, epoch=0)]
    assert names(load_checkpoints(paths)) == ["a.pt", "b.pt", "c.pt"]


def test_checkpoints_of_equal_names_in_different_folders_have_an_order(tmp_path):
    for number, folder in enumerate(("second", "first")):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "model.pt", number)
    found = load_checkpoints(tmp_path / "*" / "model.pt")
    assert [checkpoint.path.parent.name for checkpoint in found] == ["first", "second"]


def test_a_folder_gives_exactly_its_checkpoints(tmp_path):
    save(tmp_path / "1.pt")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "below").mkdir()
    save(tmp_path / "below" / "2.pt", 1)
    assert list(map(Path, find_files(tmp_path))) == [tmp_path / "1.pt"]


def test_a_pattern_gives_the_matching_checkpoints(tmp_path):
    for number in (1, 10, 20):
        save(tmp_path / f"epoch_{number}.pt", number)
    assert names(load_checkpoints(str(tmp_path / "epoch_?0.pt"))) == ["epoch_10.pt", "epoch_20.pt"]


def test_an_existing_file_named_like_a_pattern_is_that_file(tmp_path):
    save(tmp_path / "a.pt")
    odd = save(tmp_path / "[a].pt", 1)
    assert list(map(Path, find_files(odd))) == [odd]


def test_load_checkpoints_takes_a_single_file(tmp_path):
    path = save(tmp_path / "model.pt", epoch=3)
    (found,) = load_checkpoints(path)
    assert (Path(found.path), found.epoch) == (path, 3)


def test_an_empty_folder_of_checkpoints_is_refused(tmp_path):
    with pytest.raises(
        CheckpointError, match=rf"the folder {tmp_path} holds no checkpoint \(\*\.pt, .* or trained_model\.pkl\); name"
    ):
        load_checkpoints(tmp_path)


def test_a_checkpoint_pattern_without_matches_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no file matches the pattern .*epoch_\*\.pt"):
        load_checkpoints(tmp_path / "epoch_*.pt")


def test_a_missing_checkpoint_of_a_series_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: there is no such file"):
        load_checkpoints([save(tmp_path / "a.pt"), tmp_path / "none.pt"])


def test_an_empty_list_of_checkpoints_is_refused():
    with pytest.raises(CheckpointError, match="no checkpoint is given"):
        load_checkpoints([])


def test_the_same_checkpoint_file_twice_is_refused_with_both_paths(tmp_path):
    one = save(tmp_path / "a.pt", epoch=1)
    copy = tmp_path / "b.pt"
    copy.write_bytes(one.read_bytes())
    with pytest.raises(
        CheckpointError, match=rf"{one} and {copy} are the same file \(sha256 \w{{64}}\), .* count twice; leave one of"
    ):
        load_checkpoints([one, copy])
    with pytest.raises(CheckpointError, match=rf"{one} and {one} are the same file"):
        load_checkpoints([one, one])


@pytest.mark.fault("the same weights twice in a series of checkpoints", promised="one message with both paths")
def test_the_same_weights_in_another_file_are_refused_with_both_paths(tmp_path):
    one, best = save(tmp_path / "epoch_7.pt", epoch=7), save(tmp_path / "best_model.pt")
    with pytest.raises(CheckpointError, match=rf"{best} and {one} hold the same weights, which would count twice"):
        load_checkpoints([one, best])


def test_other_weights_of_the_same_epoch_are_refused_with_both_paths(tmp_path):
    one, other = (save(tmp_path / f"{name}.pt", seed, epoch=7) for seed, name in enumerate("ab"))
    with pytest.raises(CheckpointError, match=rf"{one} and {other} both state epoch 7, .* not of one training"):
        load_checkpoints([one, other])


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("sizes", "difference"),
    [
        ({"embedding_dim": 20, "embedding_width": 5}, "embedding_dim 20, not 24, embedding_width 5, not 6;"),
        ({"output_channels": 7}, "output_channels 7, not 5;"),
        ({"num_entities": 18}, "num_entities 18, not 17;"),
        ({"stacking": "height", "has_entity_bias": True}, "stacking height, not width"),
    ],
)
def test_the_checkpoint_of_another_model_among_three_is_named(tmp_path, make_odd, place, sizes, difference):
    paths = [save(tmp_path / f"{number}.pt", number) for number in range(3)]
    odd = make_odd(paths[place], sizes)
    with pytest.raises(CheckpointError, match=rf"{odd} is another model than .*: {difference}") as caught:
        load_checkpoints(paths)
    assert "the checkpoints of a run are of one training: leave it out" in str(caught.value)


@pytest.fixture
def make_odd(make_state):
    """Write another model to a path, in the dialect of its stacking."""

    def make(path: Path, sizes: dict[str, object]) -> Path:
        if "stacking" not in sizes:
            return save(path, 9, sizes=sizes)
        model = random_model(9, **sizes)
        config = {"embedding_height": model.config.embedding_height, "embedding_width": model.config.embedding_width}
        torch.save({"model_state_dict": make_state(model), "model_config": config}, path)
        return path

    return make


def test_checkpoints_of_different_number_types_are_refused(tmp_path):
    one, other = (
        load_checkpoint(save(tmp_path / f"{n}.pt", n), dtype=t) for n, t in enumerate((torch.float32, torch.float64))
    )
    with pytest.raises(CheckpointError, match=r"dtype torch\.float64, not torch\.float32"):
        check_series([one, other])


def test_the_listed_order_of_checkpoints_does_not_matter(tmp_path):
    found = [load_checkpoint(save(tmp_path / f"{n}.pt", n, epoch=9 - n)) for n in range(3)]
    assert in_order(found) == in_order(found[::-1]) == tuple(found[::-1])
