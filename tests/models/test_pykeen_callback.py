"""A training of PyKEEN leaves checkpoints and id maps from which its model can be explained."""

import subprocess
import sys

import pytest
import torch
from pykeen.datasets import Nations
from pykeen.models import ConvE, HolE, TransE, model_resolver
from pykeen.pipeline import pipeline
from pykeen.training import LCWATrainingLoop
from pykeen.triples import CoreTriplesFactory, TriplesFactory

import tracin_dask
from tracin_dask import TracInCheckpointTrainingCallback
from tracin_dask.errors import ConfigError, PlaceError
from tracin_dask.models.checkpoints.checkpoint import check_fits
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.places.files import locked_folder
from tracin_dask.places.place import BusyError
from tracin_dask.triples.idmap import id_maps_sha256, read_id_map
from tracin_dask.triples.text import read_triples

# PyKEEN asks for pinned memory on machines without a GPU, too, and gives schedulers the epoch
pytestmark = [
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
    pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning"),
]

SIZES = {"embedding_dim": 12, "embedding_height": 2, "embedding_width": 6, "kernel_height": 2, "output_channels": 3}


@pytest.fixture(scope="module")
def nations():
    return Nations().training


@pytest.fixture(scope="module")
def with_inverses():
    return Nations(create_inverse_triples=True).training


@pytest.fixture
def train(nations, tmp_path):
    """Train a small ConvE with PyKEEN's own loop; give the model."""

    def run(factory=nations, *, num_epochs=3, model=None, optimizer="adam", given=None, **settings):
        model = model or ConvE(factory, random_seed=0, **SIZES)
        callback = TracInCheckpointTrainingCallback(tmp_path / "model", given or factory, **settings)
        loop = LCWATrainingLoop(
            model=model,
            triples_factory=factory,
            optimizer=optimizer,
            optimizer_kwargs={"lr": 0.1} if isinstance(optimizer, str) else None,
            lr_scheduler="exponential",
            lr_scheduler_kwargs={"gamma": 0.5},
        )
        loop.train(factory, num_epochs=num_epochs, batch_size=64, use_tqdm=False, callbacks=callback)
        return model.eval()

    return run


def checkpoint_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "model" / "checkpoints").iterdir())


def read_maps(folder):
    return read_id_map(folder / "entity_to_id.tsv", "entity"), read_id_map(folder / "relation_to_id.tsv", "relation")


@pytest.mark.parametrize("graph", ["nations", "with_inverses"])
def test_the_last_callback_checkpoint_scores_like_the_pykeen_model(train, tmp_path, request, graph):
    factory = request.getfixturevalue(graph)
    model = train(factory)
    checkpoint = load_checkpoint(tmp_path / "model" / "checkpoints" / "checkpoint_epoch_3.pt")
    rows = [torch.arange(size) for size in (factory.num_entities, factory.num_relations, factory.num_entities)]
    triples = torch.cartesian_prod(*rows)
    with torch.no_grad():
        torch.testing.assert_close(
            checkpoint.model.score(triples), model.score_hrt(triples).squeeze(1), rtol=0, atol=1e-5
        )


def test_every_checkpoint_states_its_epoch_and_the_learning_rate_of_its_steps(train, tmp_path):
    train(num_epochs=3)
    checkpoints = [load_checkpoint(tmp_path / "model" / "checkpoints" / name) for name in checkpoint_files(tmp_path)]
    assert [checkpoint.learning_rate for checkpoint in checkpoints] == [0.1, 0.05, 0.025]
    assert [checkpoint.epoch for checkpoint in checkpoints] == [0, 1, 2]
    assert {checkpoint.format.name for checkpoint in checkpoints} == {"pykeen"}
    weights = [checkpoint.model.fc.weight for checkpoint in checkpoints]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_callback_checkpoints_have_sizes_and_the_optimizer_state(train, nations, tmp_path):
    train(num_epochs=1)
    contents = torch.load(tmp_path / "model" / "checkpoints" / "checkpoint_epoch_1.pt", weights_only=True)
    assert contents["model_config"] == {**SIZES, "kernel_width": 3, "num_entities": 14, "num_relations": 55}
    model = ConvE(nations, random_seed=1, **SIZES)
    model.load_state_dict(contents["model_state_dict"])
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.load_state_dict(contents["optimizer_state_dict"])
    assert optimizer.state[model.interaction.hr1d[0].weight]["step"] > 1
    assert contents["metrics"]["train_loss"] > 0


def test_the_callback_writes_checkpoints_at_its_frequency_and_after_the_last_epoch(train, tmp_path):
    train(num_epochs=5, frequency=2)
    assert checkpoint_files(tmp_path) == [f"checkpoint_epoch_{number}.pt" for number in (2, 4, 5)]
    last = load_checkpoint(tmp_path / "model" / "checkpoints" / "checkpoint_epoch_5.pt")
    assert (last.epoch, last.learning_rate) == (4, 0.1 / 2**4)


def test_id_maps_of_the_callback_follow_the_rows_of_the_tables(train, nations, tmp_path):
    train(num_epochs=1)
    entities, relations = read_maps(tmp_path / "model")
    assert {label: number for number, label in enumerate(entities.labels.to_pylist())} == nations.entity_to_id
    assert {label: number for number, label in enumerate(relations.labels.to_pylist())} == nations.relation_to_id
    found = read_triples(tmp_path / "model" / "train.txt", entities, relations)
    assert torch.equal(torch.from_numpy(found), nations.mapped_triples)
    checkpoint = load_checkpoint(tmp_path / "model" / "checkpoints" / "checkpoint_epoch_1.pt")
    sha256 = id_maps_sha256(entities, relations)
    check_fits(checkpoint, num_entities=14, num_relations=55, id_maps_sha256=sha256)
    assert checkpoint.id_maps_sha256 == sha256


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("RotatE", {"embedding_dim": 4}),
        ("TransE", {"embedding_dim": 4, "scoring_fct_norm": 2, "power_norm": True}),
        ("TuckER", {"embedding_dim": 4, "relation_dim": 3, "apply_batch_normalization": False}),
    ],
)
def test_callback_checkpoints_of_other_models_hold_their_description(train, with_inverses, tmp_path, name, settings):
    theirs = model_resolver.lookup(name)(triples_factory=with_inverses, random_seed=0, **settings)
    trained = train(with_inverses, num_epochs=1, model=theirs)
    checkpoint = load_checkpoint(tmp_path / "model" / "checkpoints" / "checkpoint_epoch_1.pt")
    assert checkpoint.format.description == ModelDescription(model=name, model_kwargs=settings)
    assert (checkpoint.epoch, checkpoint.learning_rate) == (0, 0.1)
    check_fits(checkpoint, num_entities=14, num_relations=110, id_maps_sha256=checkpoint.id_maps_sha256)
    triples = with_inverses.mapped_triples
    with torch.no_grad():
        torch.testing.assert_close(checkpoint.model(triples), trained.score_hrt(triples).flatten())


def test_the_callback_writes_inverse_triples_that_pykeen_trains_on(train, with_inverses, tmp_path):
    model = train(with_inverses, num_epochs=1)
    entities, relations = read_maps(tmp_path / "model")
    assert len(relations) == 110
    found = torch.from_numpy(read_triples(tmp_path / "model" / "train.txt", entities, relations))
    forward, backward = found.split(with_inverses.num_triples)
    label, number = next(iter(with_inverses.relation_to_id.items()))
    assert [relations.label(2 * number), relations.label(2 * number + 1)] == [label, f"{label}_inverse"]
    # what PyKEEN predicts with its own ids is what its table gives for ours
    ours = load_checkpoint(tmp_path / "model" / "checkpoints" / "checkpoint_epoch_1.pt").model
    given = with_inverses.mapped_triples
    with torch.no_grad():
        torch.testing.assert_close(ours.score(forward), model.predict_hrt(given).squeeze(1), rtol=0, atol=1e-5)
        inverse = model.score_hrt_inverse(forward.clone()).squeeze(1)  # it changes what it is given
        torch.testing.assert_close(ours.score(backward), inverse, rtol=0, atol=1e-5)


def trained_by_pipeline(dataset, folder, *, num_epochs, **more):
    """Train a ConvE by PyKEEN's pipeline, with a checkpoint after every second epoch."""
    callback = TracInCheckpointTrainingCallback(folder, dataset.training, frequency=2)
    return pipeline(
        dataset=dataset,
        model="ConvE",
        training_loop="lcwa",
        model_kwargs=SIZES,
        training_kwargs={"num_epochs": num_epochs, "use_tqdm": False, "callbacks": callback},
        evaluation_kwargs={"use_tqdm": False},
        random_seed=0,
        **more,
    )


def test_the_callback_works_in_a_pykeen_pipeline(tmp_path):
    dataset = Nations()
    result = trained_by_pipeline(dataset, tmp_path / "model", num_epochs=2)
    ours = load_checkpoint(tmp_path / "model" / "checkpoints" / "checkpoint_epoch_2.pt").model
    triples = dataset.training.mapped_triples
    with torch.no_grad():
        expected = result.model.eval().score_hrt(triples).squeeze(1)
        torch.testing.assert_close(ours.score(triples), expected, rtol=0, atol=1e-5)


def test_the_best_epoch_of_an_early_stopper_is_among_the_checkpoints(tmp_path):
    dataset = Nations()
    result = trained_by_pipeline(
        dataset,
        tmp_path / "model",
        num_epochs=40,
        optimizer_kwargs={"lr": 0.1},
        stopper="early",
        stopper_kwargs={"frequency": 2, "patience": 1, "evaluation_batch_size": 256},
    )
    assert result.stopper.stopped
    assert len(checkpoint_files(tmp_path)) < 20
    best = tmp_path / "model" / "checkpoints" / f"checkpoint_epoch_{result.stopper.best_epoch}.pt"
    triples = dataset.training.mapped_triples
    with torch.no_grad():
        expected = result.model.eval().score_hrt(triples).squeeze(1)
        torch.testing.assert_close(load_checkpoint(best).model.score(triples), expected, rtol=0, atol=1e-5)


def test_a_resumed_pykeen_training_keeps_its_folder(nations, tmp_path):
    model = ConvE(nations, random_seed=0, **SIZES)
    loop = LCWATrainingLoop(model=model, triples_factory=nations, optimizer="adam")
    for num_epochs in (2, 4):
        callback = TracInCheckpointTrainingCallback(tmp_path / "model", nations)
        going_on = {"continue_training": num_epochs > 2, "clear_optimizer": False}
        loop.train(nations, num_epochs, batch_size=64, use_tqdm=False, callbacks=callback, **going_on)
    assert checkpoint_files(tmp_path) == [f"checkpoint_epoch_{number}.pt" for number in (1, 2, 3, 4)]


class TestRefusals:
    """Before the first epoch, and with what to do."""

    def test_the_callback_refuses_a_frequency_below_one(self, train):
        with pytest.raises(ConfigError, match="frequency is 0; expected at least 1 epoch"):
            train(frequency=0)

    def test_the_callback_refuses_a_url(self, nations, s3_folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(PlaceError, match=rf"^{s3_folder} is a URL, but output_dir has to lie in the file system"):
            TracInCheckpointTrainingCallback(s3_folder, nations)
        assert not list(tmp_path.iterdir())

    def test_the_callback_refuses_an_unsupported_model(self, train, nations, tmp_path):
        with pytest.raises(ConfigError, match="the model is PyKEEN's HolE; the callback can describe ConvE, "):
            train(model=HolE(triples_factory=nations, embedding_dim=4, random_seed=0))
        assert not (tmp_path / "model").exists()

    def test_the_callback_refuses_settings_that_a_description_cannot_hold(self, train, nations):
        model = TransE(triples_factory=nations, embedding_dim=4, random_seed=0)
        model.entity_representations[0].normalizer = torch.tanh
        with pytest.raises(ConfigError, match=r"TransE with .* has other scores or other trained tensors"):
            train(model=model)

    def test_the_callback_refuses_several_input_channels(self, train, nations):
        model = ConvE(nations, embedding_dim=24, embedding_height=3, embedding_width=4, random_seed=0)
        with pytest.raises(ConfigError, match="the ConvE has 2 input channels; give it"):
            train(model=model)

    def test_the_callback_refuses_a_conve_without_batch_norm(self, train, nations):
        model = ConvE(nations, apply_batch_normalization=False, random_seed=0, **SIZES)
        with pytest.raises(ConfigError, match=r"PyKEEN's ConvE with other layers than its default ones: .*lacks"):
            train(model=model)

    def test_the_callback_refuses_triples_without_labels(self, nations, tmp_path):
        factory = CoreTriplesFactory.create(nations.mapped_triples)
        with pytest.raises(ConfigError, match=r"has no labels, which results need; give its with_labels"):
            TracInCheckpointTrainingCallback(tmp_path, factory)

    def test_the_callback_refuses_triples_of_another_graph(self, train, with_inverses):
        with pytest.raises(ConfigError, match="the model has 55 relations, triples_factory 110"):
            train(given=with_inverses)

    def test_the_callback_refuses_labels_that_a_file_cannot_hold(self, train, nations):
        renamed = {label.replace("a", "\t", 1): number for label, number in nations.entity_to_id.items()}
        factory = TriplesFactory(
            mapped_triples=nations.mapped_triples, entity_to_id=renamed, relation_to_id=nations.relation_to_id
        )
        with pytest.raises(ConfigError, match=r"labels that a file of lines cannot hold: .*wrong number of columns"):
            train(given=factory)

    def test_the_callback_refuses_a_gap_in_the_ids(self, nations, tmp_path):
        renamed = {label: number + (number == 13) for label, number in nations.entity_to_id.items()}
        triples = nations.mapped_triples[(nations.mapped_triples != 13).all(dim=1)]
        factory = TriplesFactory(mapped_triples=triples, entity_to_id=renamed, relation_to_id=nations.relation_to_id)
        with pytest.raises(ConfigError, match="14 entity labels for 15 ids; give every id from 0 to 14 one label"):
            TracInCheckpointTrainingCallback(tmp_path, factory)

    def test_the_callback_refuses_a_folder_with_checkpoints_of_another_training(self, train):
        train(num_epochs=2)
        with pytest.raises(ConfigError, match=r"checkpoint_epoch_1\.pt exists already, from another training"):
            train()

    def test_the_callback_refuses_a_folder_with_files_of_another_graph(self, train, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "train.txt").write_text("mine\n")
        with pytest.raises(
            ConfigError, match=r"train\.txt exists already with other contents; choose another output_dir"
        ):
            train()
        assert (tmp_path / "model" / "train.txt").read_text() == "mine\n"
        assert not list((tmp_path / "model").glob("*.part"))

    def test_the_callback_refuses_several_learning_rates(self, nations, tmp_path):
        model = ConvE(nations, random_seed=0, **SIZES)
        first, *others = model.parameters()
        callback = TracInCheckpointTrainingCallback(tmp_path / "model", nations)
        loop = LCWATrainingLoop(model=model, triples_factory=nations, optimizer="sgd", optimizer_kwargs={"lr": 0.1})
        callback.register_training_loop(loop)
        loop.optimizer = torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": others, "lr": 0.2}])
        with pytest.raises(ConfigError, match=r"several learning rates, \[0\.1, 0\.2\]; TracIn needs a single one"):
            callback.post_epoch(epoch=1, epoch_loss=0.5)


class TestWithoutPyKEEN:
    def test_importing_the_callback_without_pykeen_names_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pykeen.models", None)
        for name in [name for name in sys.modules if name.startswith("tracin_dask.models.pykeen.")]:
            monkeypatch.delitem(sys.modules, name)
        with pytest.raises(ConfigError, match=r"this needs PyKEEN \(.*\): pip install 'tracin-dask\[pykeen\]'"):
            tracin_dask.TracInCheckpointTrainingCallback  # noqa: B018 - the attribute is what imports it

    def test_no_other_module_imports_the_pykeen_callback(self):
        script = (
            "import sys; sys.modules['pykeen'] = None\n"
            "import tracin_dask.cli.actions.convert, tracin_dask.cli.actions.run, tracin_dask.cli.actions.train\n"
            "import tracin_dask.models.conve.verify\n"
            "names = set(tracin_dask.__all__) - {'TracInCheckpointTrainingCallback'}\n"
            "[getattr(tracin_dask, name) for name in names]"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


class TestOneFolder:
    def test_two_trainings_into_one_folder_are_refused(self, train, tmp_path):
        (tmp_path / "model").mkdir()
        with (
            locked_folder(tmp_path / "model"),
            pytest.raises(BusyError, match=r"model: process \d+ on .* is writing here"),
        ):
            train()

    def test_a_training_gives_its_folder_back(self, train, tmp_path):
        train()
        assert not (tmp_path / "model" / ".lock").exists()

    def test_a_training_of_the_same_process_takes_over_from_one_that_failed(self, train, tmp_path, monkeypatch):
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("out of memory")

        with monkeypatch.context() as patch:
            patch.setattr(LCWATrainingLoop, "_process_batch", fail)
            with pytest.raises(RuntimeError, match="out of memory"):
                train()
        train()
        assert (tmp_path / "model" / "checkpoints" / "checkpoint_epoch_3.pt").exists()
