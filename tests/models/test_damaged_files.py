"""A damaged or hostile file of a checkpoint is refused with one message, or gives the model that was saved."""

import contextlib
import io
import json
import pickle
import resource
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from changed_files import NUM_EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from models.conftest import TRAIN_PYTORCH, file_state, random_model

from tracin_dask.errors import CheckpointError, TracInDaskError
from tracin_dask.models.checkpoints.files import read_contents, read_torch_file
from tracin_dask.models.load import load_checkpoint

FEW = replace(TRAIN_PYTORCH, num_entities=4, embedding_dim=4, embedding_height=2, embedding_width=2, kernel_height=2)


def contents() -> dict[str, object]:
    model = random_model(replace(FEW, kernel_width=2, num_relations=2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
    sizes = {name: getattr(model.config, name) for name in ("embedding_height", "embedding_width")}
    return {
        "model_state_dict": file_state(model),
        "model_config": sizes,
        "optimizer_state_dict": optimizer.state_dict(),
        "epoch": 7,
        "id_maps_sha256": "ab",
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.pt"
    torch.save(contents(), path)
    return path


def what_it_says(path: Path) -> tuple[object, ...]:
    loaded = load_checkpoint(path)
    weights = {name: tensor.tolist() for name, tensor in loaded.model.state_dict().items()}
    return weights, loaded.config, loaded.learning_rate, loaded.epoch, loaded.id_maps_sha256, loaded.label_smoothing


def number_of_flips_that_change_the_model(saved: Path, path: Path, bits: list[int]) -> int:
    """Each flip must be refused by an error of this package's, or be without any consequence."""
    data, wanted, changed = bytearray(saved.read_bytes()), what_it_says(saved), 0
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        data[bit // 8] ^= 1 << bit % 8
        try:
            changed += what_it_says(path) != wanted
        except TracInDaskError:
            continue
    return changed


@pytest.mark.fault("a bit of a checkpoint flips", promised="one message, or equal weights")
def test_no_flip_of_a_single_bit_gives_another_model(saved, tmp_path):
    bits = np.random.default_rng(0).choice(8 * saved.stat().st_size, 500, replace=False).tolist()
    assert number_of_flips_that_change_the_model(saved, tmp_path / "flipped.pt", bits) == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_flip_of_any_of_10_000_bits_gives_another_model(saved, tmp_path):
    size = 8 * saved.stat().st_size
    bits = np.random.default_rng(1).choice(size - 20_000, 8_000, replace=False).tolist()
    bits += range(size - 2_000, size)  # the list of members is last
    assert number_of_flips_that_change_the_model(saved, tmp_path / "flipped.pt", bits) == 0


def test_a_flip_in_the_numbers_of_a_tensor_is_named_as_damage(saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size * ("/data/" in entry.filename))
        data = bytearray(saved.read_bytes())
    data[data.index(archive_bytes(saved, largest.filename))] ^= 1
    (tmp_path / "flipped.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"it is damaged: the bytes of 'model/data/\d+' do not have the checksum"):
        load_checkpoint(tmp_path / "flipped.pt")


def archive_bytes(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def written(path: Path, *, members=(), compression=zipfile.ZIP_STORED, change=lambda _: None) -> Path:
    """Write the members of a torch file again, changed."""
    torch.save(contents(), path)
    with zipfile.ZipFile(path) as archive:
        found = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in [*found, *members]:
            changed = change(name)
            archive.writestr(name, data if changed is None else changed)
    return path


ARCHIVES = {
    "compressed": ({"compression": zipfile.ZIP_DEFLATED}, r"compressed"),
    "another byte order": (
        {"change": lambda name: b"big" if name.endswith("byteorder") else None},
        r"its numbers have the byte order 'big', this machine has 'little'",
    ),
    "TorchScript": ({"members": [("model/constants.pkl", b"")]}, r"it is a TorchScript program, which holds code"),
    "no pickle": (
        {"change": lambda name: b"" if name.endswith("data.pkl") else None},
        r"not a torch file, or a damaged one",
    ),
}


@pytest.mark.fault("a checkpoint in an archive that torch does not write", promised="one message")
@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_that_torch_does_not_write_are_refused(kind, tmp_path):
    options, message = ARCHIVES[kind]
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(written(tmp_path / "model.pt", **options))


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_member_that_an_archive_holds_twice_is_refused(tmp_path):
    path = written(tmp_path / "model.pt", members=[("model/data/0", b"\0" * 64)])
    with pytest.raises(CheckpointError, match=r"its archive holds 'model/data/0' twice"):
        load_checkpoint(path)


def test_an_archive_of_something_else_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("word/document.xml", "<xml>")
    with pytest.raises(CheckpointError, match=r"a zip archive, but no torch file: .* it holds word/document\.xml"):
        load_checkpoint(tmp_path / "model.pt")


FOREIGN = {
    "a pointer of git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "run `git lfs pull`"),
    "a web page": (b"\n<!DOCTYPE html><html>", "an HTML page"),
    "gzip": (b"\x1f\x8b\x08\x00", "compressed by gzip"),
    "an array": (b"\x93NUMPY\x01\x00", "an array of NumPy"),
    "HDF5": (b"\x89HDF\r\n", "an HDF5 file"),
    "a plain pickle": (pickle.dumps({"a": 1}), "it is a plain pickle, not a torch file"),
    "text": (b"a\tb\tc\n", "not a torch file, or a damaged one"),
    "nothing": (b"", "it is empty"),
}


@pytest.mark.fault("a checkpoint that is another kind of file", promised="one message that names what it is")
@pytest.mark.parametrize("kind", FOREIGN)
def test_files_of_other_kinds_are_named_for_what_they_are(kind, tmp_path):
    data, message = FOREIGN[kind]
    (tmp_path / "model.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"model\.pt: .*{message}"):
        load_checkpoint(tmp_path / "model.pt")


def changed_state(change) -> dict[str, object]:
    state = contents()["model_state_dict"]
    state["fc.weight"] = change(state["fc.weight"])
    return contents() | {"model_state_dict": state}


@pytest.mark.fault("integer, boolean, quantised, sparse and meta tensors", promised="one message that names the tensor")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.to(torch.int8), r"fc\.weight holds numbers of torch\.int8, and the model's are"),
        (lambda tensor: tensor > 0, r"fc\.weight holds numbers of torch\.bool"),
        (lambda tensor: tensor.to(torch.complex64), r"fc\.weight holds numbers of torch\.complex64"),
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "'fc.weight' is a quantised tensor"),
        (lambda tensor: tensor.to_sparse(), "'fc.weight' is a sparse tensor"),
        (lambda tensor: tensor.to_sparse_csr(), "'fc.weight' is a sparse tensor; expected a dense"),
        (lambda tensor: tensor.to("meta"), "'fc.weight' is a meta tensor, which has no values"),
        (lambda tensor: torch.nested.nested_tensor([tensor, tensor]), "'fc.weight' is a nested tensor"),
    ],
)
def test_tensors_that_are_no_weights_are_refused_by_name(change, message, tmp_path):
    torch.save(changed_state(change), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.fault("a small checkpoint that claims 72 GB", promised="one message, before anything is allocated")
@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_small_file_that_claims_72_gigabytes_is_refused_before_anything_is_allocated(is_legacy, tmp_path):
    huge = torch.zeros(1, 1).expand(18_000_000, 1000)
    state = contents()["model_state_dict"] | {"entity_embeddings.weight": huge}
    torch.save({"state_dict": state}, tmp_path / "model.pt", _use_new_zipfile_serialization=not is_legacy)
    assert (tmp_path / "model.pt").stat().st_size < 20_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"claims 18,000,000,000 values \(72,000,000,000 bytes\), and the file"):
        load_checkpoint(tmp_path / "model.pt")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.fault("many large tensors that share few bytes", promised="one message, before anything is allocated")
def test_many_tensors_of_the_same_bytes_are_refused(tmp_path):
    same = torch.zeros(1000)
    torch.save({f"layer.{number}": same.view(10, 100) for number in range(1000)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"its tensors claim more than 4 times the .* bytes of the file"):
        read_torch_file(tmp_path / "model.pt")


def with_pickle(path: Path, data: bytes) -> Path:
    return written(path, change=lambda name: data if name.endswith("data.pkl") else None)


Edits = list[tuple[float, int]]
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4)
"""Places, as parts of the length, and the bytes that are put there."""


def check_that_an_edited_pickle_is_read_or_refused(edits: Edits, saved: Path, folder: Path) -> None:
    """Edit the pickle of a file whose checksums are right, as a person would who means harm."""
    members = {name: archive_bytes(saved, name) for name in zipfile.ZipFile(saved).namelist()}
    edited = bytearray(members["model/data.pkl"])
    for place, byte in edits:
        edited[int(place * (len(edited) - 1))] = byte
    with zipfile.ZipFile(folder / "edited.pt", "w") as archive:
        for name, data in (members | {"model/data.pkl": bytes(edited)}).items():
            archive.writestr(name, data)
    with contextlib.suppress(TracInDaskError):
        load_checkpoint(folder / "edited.pt")


def check_that_an_edited_file_of_the_older_format_is_read_or_refused(edits: Edits, old: bytes, folder: Path) -> None:
    edited = bytearray(old)
    for place, byte in edits:
        edited[int(place * (len(edited) - 1))] = byte
    (folder / "edited.pt").write_bytes(edited)
    with contextlib.suppress(TracInDaskError):
        load_checkpoint(folder / "edited.pt")


@pytest.fixture(scope="module")
def old() -> bytes:
    buffer = io.BytesIO()
    torch.save(contents(), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_edited_pickles_raise_no_other_errors_than_those_of_the_package(cases, saved, old, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edited")

    @settings(max_examples=cases, derandomize=True, database=None)
    @given(EDITS)
    def check(edits: Edits) -> None:
        check_that_an_edited_pickle_is_read_or_refused(edits, saved, folder)
        check_that_an_edited_file_of_the_older_format_is_read_or_refused(edits, old, folder)

    check()


@pytest.fixture(scope="module")
def texts_and_tensors() -> bytes:
    """A safetensors file, whose beginning says what tensors there are."""
    texts = {"learning_rate": "0.25", "epoch": "7", "model_config": json.dumps(contents()["model_config"])}
    return safetensors.torch.save(contents()["model_state_dict"], metadata=texts)


def test_edited_safetensors_files_are_read_or_refused_by_name(texts_and_tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("edited") / "edited.safetensors"
    header = 8 + int.from_bytes(texts_and_tensors[:8], "little")

    @settings(max_examples=NUM_EXAMPLES, database=None)
    @given(EDITS, st.sampled_from([header, len(texts_and_tensors)]), st.integers(0, 3))
    def check(edits: Edits, end: int, cut: int) -> None:
        edited = bytearray(texts_and_tensors)
        for place, byte in edits:
            edited[int(place * (end - 1))] = byte
        path.write_bytes(edited if cut else edited[: int(edits[0][0] * len(edited))])
        try:
            load_checkpoint(path)
        except TracInDaskError as error:
            assert str(path) in str(error)  # noqa: PT017 - an error is one of two right outcomes

    check()


HOSTILE = {
    "a table of two billion objects": (b"\x80\x02}r\xff\xff\xff\x7f.", "its pickle numbers object 2,147,483,647"),
    "a text of a terabyte": (b"\x80\x04\x8d\x00\x00\x00\x00\x00\x01\x00\x00.", "damaged"),
    "an array of a terabyte": (b"\x80\x05\x96\x00\x00\x00\x00\x00\x01\x00\x00.", "damaged"),
    "deep lists": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "more than 100 deep in each other"),
    "a call of os.system": (b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.", r"can run code \(posix\.system\)"),
    "another dtype's attribute": (b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00a\x85R.", r"can run code \(torch\.load\)"),
    "a function with other defaults": (
        b"\x80\x02ctorch\nSize\nN}X\x0c\x00\x00\x00__defaults__N\x85s\x86b.",
        "the file would change a function",
    ),
    "a class with another method": (
        b"\x80\x02cargparse\nNamespace\nN}X\x06\x00\x00\x00updateNs\x86b.",
        "damaged",
    ),
    "an array of three billion numbers": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01b\x87R.",
        "holds a Inert",
    ),
    "no end": (b"\x80\x02}", "damaged"),
    "a number of a million digits": (b"\x80\x02}X\x05\x00\x00\x00epochI" + b"9" * 1_000_000 + b"\ns.", "damaged"),
}


@pytest.mark.fault("a checkpoint that would run code", promised="one message; nothing is run")
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles_are_refused(kind, tmp_path):
    data, message = HOSTILE[kind]
    with pytest.raises(CheckpointError, match=message):
        read_contents(with_pickle(tmp_path / "model.pt", data))


def test_a_dictionary_that_holds_itself_ends(tmp_path):
    config: dict[str, object] = {"embedding_height": 2, "embedding_width": 2}
    config["itself"] = config["model"] = config
    torch.save(contents() | {"model_config": config}, tmp_path / "model.pt")
    assert load_checkpoint(tmp_path / "model.pt").config.embedding_dim == 4


@pytest.mark.fault(
    "an absurd size in a checkpoint's configuration", promised="one message, before anything is allocated"
)
@pytest.mark.parametrize("size", [pytest.param(10**5000, id="digits"), -3, 2.5, True, "large"])
def test_an_absurd_size_in_the_configuration_is_refused(size, tmp_path):
    torch.save(contents() | {"model_config": {"embedding_dim": size}}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"its configuration states embedding_dim .*, which is not a whole"):
        load_checkpoint(tmp_path / "model.pt")


OPTIMISERS = {
    "a list": [1],
    "no groups": {"state": {}, "param_groups": []},
    "groups of numbers": {"state": {}, "param_groups": [3]},
    "parameters twice": {"state": {}, "param_groups": [{"params": [0, 0], "lr": 0.1}]},
    "a state of numbers": {"state": {0: 1}, "param_groups": [{"params": [0], "lr": 0.1}]},
    "names of numbers": {"state": {}, "param_groups": [{"params": [0], "param_names": [1], "lr": 0.1}]},
}


@pytest.mark.fault("a broken state of an optimiser", promised="one message, where it is used")
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_broken_optimiser_is_refused_where_its_learning_rate_is_used(kind, tmp_path):
    torch.save(contents() | {"optimizer_state_dict": OPTIMISERS[kind]}, tmp_path / "model.pt")
    checkpoint = load_checkpoint(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"its optimizer_state_dict is damaged: .*; expected the state_dict"):
        checkpoint.usable_learning_rate()


def test_a_file_in_the_older_format_that_is_cut_off_is_refused(tmp_path):
    torch.save(contents(), tmp_path / "model.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "model.pt").read_bytes()
    for keep in (len(data) - 1, len(data) // 2, 300, 40, 20, 5):
        (tmp_path / "model.pt").write_bytes(data[:keep])
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(tmp_path / "model.pt")


def test_a_file_in_the_older_format_is_said_to_have_no_checksums(tmp_path):
    torch.save(contents(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(contents(), tmp_path / "new.pt")
    assert "has no checksums" in load_checkpoint(tmp_path / "old.pt").notes[0]
    assert load_checkpoint(tmp_path / "new.pt").notes == ()


def test_views_of_one_storage_are_read_from_both_formats(tmp_path):
    whole = torch.arange(24.0)
    parts = {"rows": whole.view(4, 6)[1:3], "columns": whole.view(4, 6).T[2:], "tail": whole[20:], "none": whole[:0]}
    for is_new in (True, False):
        buffer = io.BytesIO()
        torch.save(parts, buffer, _use_new_zipfile_serialization=is_new)
        (tmp_path / "model.pt").write_bytes(buffer.getvalue())
        found = read_torch_file(tmp_path / "model.pt")
        assert all(torch.equal(found[name], tensor) for name, tensor in parts.items())
