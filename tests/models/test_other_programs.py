"""Checkpoints of other programs score and are differentiated as these programs do, or are refused."""

import copy

import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN, engine_for
from influence.any_model import ask
from models.other_programs import (
    NUM_ENTITIES,
    NUM_RELATIONS,
    Dettmers,
    Kelpie,
    LibKGEConvE,
    LibKGEModel,
    Reciprocal,
    Rows,
    complex_,
    distmult,
    fill,
    options_of,
    rotate,
    transe,
    write_libkge,
)

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.engine import parts_of
from tracin_dask.influence.losses import BinaryCrossEntropy
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.checkpoints.adam import adam_scales
from tracin_dask.models.checkpoints.checkpoint import check_fits
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile
from tracin_dask.models.conve.convert import convert_checkpoint
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.types import APPENDED

KIND = "tracin_dask.models.libkge.model:LibKGE"
CONVE = {
    "dettmers": lambda: (Dettmers(use_bias=True), {"embedding_height": 3}),
    "dettmers_unbiased": lambda: (Dettmers(use_bias=False), {"embedding_height": 3}),
    "kelpie": lambda: (Kelpie(), {}),
}
CONVE_NAMES = {
    "emb_e.weight": "entity_embeddings.weight",
    "emb_rel.weight": "relation_embeddings.weight",
    "b": "entity_bias",
    **{f"{kind}_embeddings": f"{kind}_embeddings.weight" for kind in ("entity", "relation")},
    **{
        f"{theirs}.{leaf}": f"{ours}.{leaf}"
        for leaf in ("weight", "bias")
        for theirs, ours in (
            ("batch_norm_1", "bn0"),
            ("batch_norm_2", "bn1"),
            ("batch_norm_3", "bn2"),
            ("convolutional_layer", "conv1"),
            ("hidden_layer", "fc"),
        )
    },
}
LIBKGE = {
    "distmult": lambda: ("distmult", LibKGEModel(Rows(distmult), 6, 6), {}),
    "complex": lambda: ("complex", LibKGEModel(Rows(complex_), 6, 6), {}),
    "transe 1": lambda: ("transe", LibKGEModel(Rows(transe(1.0)), 5, 5), {}),
    "transe 2": lambda: ("transe", LibKGEModel(Rows(transe(2.0)), 5, 5), {"l_norm": 2.0}),
    "transe 3": lambda: ("transe", LibKGEModel(Rows(transe(3.0)), 5, 5), {"l_norm": 3.0}),
    "rotate 1": lambda: ("rotate", LibKGEModel(Rows(rotate(1.0)), 6, 3), {}),
    "rotate 2": lambda: ("rotate", LibKGEModel(Rows(rotate(2.0)), 6, 3), {"l_norm": 2.0, "normalize_phases": False}),
    "conve": lambda: ("conve", LibKGEModel(LibKGEConvE(height=3, width=6), 19, 19), {}),
    "conve padded": lambda: (
        "conve",
        LibKGEModel(LibKGEConvE(height=4, width=4, padding=1, stride=2, bias=False), 17, 17),
        {"2D_aspect_ratio": 1, "padding": 1, "stride": 2, "convolution_bias": False},
    ),
}


def many_triples() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    limits = (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)
    return torch.stack([torch.randint(limit, (500,), generator=generator) for limit in limits], dim=1)


def assert_scores_equal(model, reference) -> None:
    triples = many_triples()
    exact = model.dtype == torch.float64
    with torch.no_grad():
        found, expected = model.score(triples).double(), reference.score(triples)
    largest = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=(1e-9 if exact else 1e-5) * largest)


def influences(engine) -> torch.Tensor:
    with torch.no_grad():
        prepared = prepare_question(engine, Question(), Targets(triples=TEST.numpy()), batch_size=5)
        scorer = make_scorer(engine, prepared, EachItsOwn(num_answers=len(TEST)))
        found = torch.empty(len(TRAIN), len(TEST), dtype=torch.float64)
        for part in parts_of(scorer, TRAIN.numpy(), torch.device("cpu")):
            found[torch.from_numpy(part.rows)] = part.influences
        return found / LEARNING_RATE


def assert_equal_autograd(truth, name: str, found: torch.Tensor) -> None:
    limit = truth.train_norms[name][:, None] * truth.test_norms[name]
    worst = float(((found - truth.products[name]).abs() - ROUNDING * limit).max())
    assert worst <= 0, name


@pytest.fixture(params=CONVE)
def conve(request, tmp_path):
    """Give the name of a dialect, its program's model and file, and the sizes that the file does not state."""
    model, sizes = CONVE[request.param]()
    torch.save(fill(model).state_dict(), tmp_path / "theirs.model")
    return request.param, model, tmp_path / "theirs.model", sizes


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_conve_of_another_program_scores_as_there(conve, dtype):
    name, model, path, sizes = conve
    checkpoint = load_checkpoint(path, dtype=dtype, **sizes)
    assert checkpoint.format.name == name
    assert checkpoint.inverse_order == (APPENDED if name == "kelpie" else None)
    (note,) = checkpoint.notes
    assert note.startswith(f"recognised as a ConvE of {'Kelpie' if name == 'kelpie' else 'T. Dettmers'}")
    assert_scores_equal(checkpoint.model, model)


def test_influences_through_a_conve_of_another_program_equal_autograd(conve):
    _, model, path, sizes = conve
    ours = load_checkpoint(path, dtype=torch.float64, **sizes).model
    truth = ask(model, TRAIN, TEST)
    names = {theirs: CONVE_NAMES.get(theirs, theirs) for theirs in truth.products}
    assert set(ours.config.parameter_names) == set(names.values())
    for theirs, its_name in names.items():
        assert_equal_autograd(truth, theirs, influences(engine_for(ours, {its_name})))


def test_a_conve_of_another_program_is_converted_without_changing_a_bit(conve, tmp_path):
    name, model, path, sizes = conve
    convert_checkpoint(path, tmp_path / "made.pt", "pykeen", **sizes)
    assert_scores_equal(load_checkpoint(tmp_path / "made.pt", dtype=torch.float64).model, model)
    if name == "dettmers":  # the others lack biases that the file has
        convert_checkpoint(tmp_path / "made.pt", tmp_path / "again.pt", name)
        again = torch.load(tmp_path / "again.pt", weights_only=True)["model_state_dict"]
        assert all(torch.equal(again[part], tensor) for part, tensor in model.state_dict().items())


def test_a_conve_whose_images_are_not_those_of_kelpie_is_not_converted_to_it(tmp_path):
    torch.save(Dettmers(use_bias=True).state_dict(), tmp_path / "theirs.model")
    with pytest.raises(CheckpointError, match=r"images would be 3 high in the dialect kelpie, .* 20 high"):
        convert_checkpoint(tmp_path / "theirs.model", tmp_path / "kelpie.pt", "kelpie", embedding_height=3)


def test_an_image_of_a_dettmers_conve_that_could_have_two_sizes_is_refused(tmp_path):
    torch.save(Dettmers(use_bias=True, height=4, width=2 * 3).state_dict(), tmp_path / "two.model")
    with pytest.raises(CheckpointError, match=r"several image sizes give .*: 3×8, 4×6; .* --embedding-height"):
        load_checkpoint(tmp_path / "two.model")
    assert load_checkpoint(tmp_path / "two.model", embedding_height=4).model.config.embedding_width == 6


def test_the_image_of_a_kelpie_conve_is_the_one_that_kelpie_makes(tmp_path):
    """Images 5 high and 40 wide have as many features."""
    torch.save(Kelpie(width=10).state_dict(), tmp_path / "kelpie.pt")
    config = load_checkpoint(tmp_path / "kelpie.pt").model.config
    assert (config.embedding_height, config.embedding_width) == (20, 10)


def test_a_distmult_of_dettmers_repository_is_not_taken_for_a_conve(tmp_path):
    state = Dettmers(use_bias=True).state_dict()
    torch.save({name: state[name] for name in ("emb_e.weight", "emb_rel.weight")}, tmp_path / "distmult.model")
    with pytest.raises(CheckpointError, match="not a ConvE: it has none of its layers"):
        load_checkpoint(tmp_path / "distmult.model")


@pytest.fixture(params=[False, True], ids=["plain", "reciprocal"])
def is_reciprocal(request) -> bool:
    return request.param


@pytest.fixture(params=LIBKGE)
def libkge(request, is_reciprocal, tmp_path):
    """Give a model of LibKGE's, its name there, and its file."""
    name, model, settings = LIBKGE[request.param]()
    model = fill(model)
    if is_reciprocal:
        model = Reciprocal(model)
    write_libkge(tmp_path / "checkpoint_best.pt", model, options_of(name, reciprocal=is_reciprocal, **settings))
    return name, model, tmp_path / "checkpoint_best.pt"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_model_of_libkge_scores_as_there(libkge, is_reciprocal, dtype):
    name, model, path = libkge
    checkpoint = load_checkpoint(path, dtype=dtype)
    assert checkpoint.epoch == 20
    assert checkpoint.inverse_order == (APPENDED if is_reciprocal else None)
    assert checkpoint.notes[0].startswith(f"recognised as LibKGE's scorer {name}")
    assert_scores_equal(checkpoint.model, model)


def test_all_tails_of_a_model_of_libkge_score_as_one_by_one(libkge):
    ours = load_checkpoint(libkge[2], dtype=torch.float64).model
    pairs = many_triples()[:5, :2]
    assert not ours.why_no_tails
    with torch.no_grad():
        found = ours.score_all_tails({}, pairs)
        every = torch.cat([pairs.repeat_interleave(NUM_ENTITIES, 0), torch.arange(NUM_ENTITIES).repeat(5)[:, None]], 1)
    torch.testing.assert_close(found.flatten(), libkge[1].score(every).detach(), rtol=1e-9, atol=1e-9)


def test_influences_through_a_model_of_libkge_equal_autograd(libkge):
    _, model, path = libkge
    ours = load_checkpoint(path, dtype=torch.float64).model
    truth = ask(model, TRAIN, TEST)
    names = {theirs: theirs.removeprefix("_base_model.") for theirs in truth.products}
    assert set(ours.config.parameter_names) == set(names.values())
    for theirs, its_name in names.items():
        tracked = frozenset({its_name})
        for forward in (False, True):
            engine = GradientEngine(
                model=ours,
                tracked=tracked,
                loss=BinaryCrossEntropy(),
                learning_rate=LEARNING_RATE,
                modes=GradientModes(has_dense=ours.config.dense_size(tracked) > 0, forward=forward),
            )
            assert_equal_autograd(truth, theirs, influences(engine))


def test_workers_make_the_same_model_of_libkge(libkge):
    checkpoint = load_checkpoint(libkge[2], dtype=torch.float64)
    triples = many_triples()
    sent = checkpoint.format.restore(checkpoint.format.dump(checkpoint.model), dtype=torch.float64)
    for model in (CheckpointFile.of(checkpoint).load().model, sent):
        assert torch.equal(model.score(triples), checkpoint.model.score(triples))


@pytest.mark.fault("id maps without the reciprocal relations of LibKGE", promised="one message with the order")
def test_maps_without_reciprocal_relations_are_refused_with_the_order_of_libkge(tmp_path):
    write_libkge(tmp_path / "r.pt", Reciprocal(LIBKGE["complex"]()[1]), options_of("complex", reciprocal=True))
    checkpoint = load_checkpoint(tmp_path / "r.pt")
    with pytest.raises(
        CheckpointError, match=r"4 relations, the id map has 2; .* models of its kind have .* in the rows r, R \+ r"
    ):
        check_fits(checkpoint, num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS // 2)


def test_adams_steps_are_read_by_the_names_of_libkges_tensors(is_reciprocal, tmp_path):
    """With reciprocal relations the layers come before the tables."""
    name, model, _ = LIBKGE["conve"]()
    model = fill(model)
    if is_reciprocal:
        model = Reciprocal(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
    model.score(many_triples()).square().sum().backward()
    optimizer.step()
    write_libkge(tmp_path / "a.pt", model, options_of(name, reciprocal=is_reciprocal), optimizer=optimizer)
    checkpoint = load_checkpoint(tmp_path / "a.pt", dtype=torch.float64)
    assert checkpoint.learning_rate == 0.25
    found = adam_scales(checkpoint, checkpoint.config.parameter_names)
    for theirs, parameter in model.named_parameters():
        expected = 1 / (parameter.grad.abs() + 1e-8)
        torch.testing.assert_close(found[theirs.removeprefix("_base_model.")], expected, rtol=1e-9, atol=0)


def test_files_of_early_versions_of_libkge_are_read_by_their_names(tmp_path):
    _, model, _ = LIBKGE["complex"]()
    state = fill(model).state_dict()
    model.state_dict = lambda: {name.replace("._embeddings", ".embeddings"): tensor for name, tensor in state.items()}
    write_libkge(tmp_path / "early.pt", model, options_of("complex"))
    assert_scores_equal(load_checkpoint(tmp_path / "early.pt", dtype=torch.float64).model, model)


@pytest.fixture
def write(tmp_path):
    """Write a model of LibKGE's with other options than its own."""

    def written(name: str, options):
        _, model, _ = LIBKGE[name]()
        write_libkge(tmp_path / "other.pt", fill(model), options)
        return tmp_path / "other.pt"

    return written


@pytest.mark.fault("tensors of LibKGE without their configuration", promised="refused until the model is stated")
def test_tensors_of_libkge_without_its_configuration_are_refused_until_the_model_is_stated(write):
    path = write("transe 3", None)
    with pytest.raises(CheckpointError, match=r"holds no configuration.*score differently.*--model-description"):
        load_checkpoint(path)
    description = {"model": KIND, "model_kwargs": {"scorer": "transe", "l_norm": 3.0}}
    checkpoint = load_checkpoint(path, description=description, dtype=torch.float64)
    assert_scores_equal(checkpoint.model, LIBKGE_MODEL["transe 3"])
    assert CheckpointFile.of(checkpoint).load().model.config == checkpoint.config


LIBKGE_MODEL = {"transe 3": fill(LIBKGE["transe 3"]()[1])}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scorer": "transe"}, "the settings of transe are l_norm, not none"),
        ({"scorer": "transe", "l_norm": 0.5}, "l_norm is 0.5; expected a number from 1 on"),
        ({"scorer": "transe", "l_norm": "2"}, "l_norm is '2'; expected a number from 1 on"),
        ({"scorer": "transh"}, "scorer is 'transh'; expected one of complex, conve, distmult, rotate, transe"),
        ({"scorer": "rotate", "l_norm": 1.0}, "no rotate has rows of 5 numbers for entities and 5 for relations"),
        ({"scorer": "complex"}, "no complex has rows of 5 numbers for entities and 5 for relations"),
        ({"l_norm": 1.0}, "LibKGE refuses .* missing .* argument: 'scorer'"),
        ({"scorer": "conve", "embedding_height": 1, "stride": 1, "padding": 0}, "conve has a convolution"),
    ],
)
def test_a_description_that_is_not_of_the_tensors_is_refused(write, settings, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(write("transe 3", None), description=ModelDescription(model=KIND, model_kwargs=settings))


@pytest.mark.parametrize("given", [{"scorer": "transe", "l_norm": 1.0}, {"scorer": "distmult"}])
def test_a_description_that_contradicts_the_configuration_is_refused(write, given):
    path = write("transe 3", options_of("transe", l_norm=3.0))
    with pytest.raises(CheckpointError, match=r"description has .*, and the file's configuration (3\.0|'transe')"):
        load_checkpoint(path, description=ModelDescription(model=KIND, model_kwargs=given))


@pytest.mark.fault("a RotatE whose sign is not known", promised="refused until it is stated")
def test_a_rotate_of_a_version_with_the_opposite_sign_is_refused_until_it_is_stated(write):
    options = options_of("rotate")
    del options["rotate"]["normalize_phases"]
    path = write("rotate 1", options)
    with pytest.raises(CheckpointError, match=r"does not state rotate.normalize_phases: .* opposite sign"):
        load_checkpoint(path)
    description = {"model": KIND, "model_kwargs": {"scorer": "rotate", "l_norm": 1.0}}
    assert load_checkpoint(path, description=description).format.name == "LibKGE's scorer rotate, l_norm 1.0"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("distmult", {"model": "rescal"}, "names the model 'rescal'; those that can be explained are complex, conve"),
        ("distmult", {"model": ["distmult"]}, "names the model a list"),
        ("distmult", {"model": 10**5000}, "names the model a number of 16,610 bits"),
        ("transe 3", {"model": "transe", "transe": {}}, "has transe.l_norm None, which is no number"),
        ("transe 3", {"model": "transe", "transe": {"l_norm": 10**5000}}, "has transe.l_norm a number of 16,610 bits"),
        ("distmult", {"lookup_embedder": {"normalize": "L2"}}, "lookup_embedder.normalize 'L2': .* normalises rows"),
        ("conve", {"conve": {"2D_aspect_ratio": 1, "stride": 1, "padding": 0}}, "gives no image of a row's 18 numbers"),
        ("conve", {"conve": {"2D_aspect_ratio": 0.5, "stride": 1, "padding": 0}}, "do not give the 48 features of"),
        ("conve", {"conve": {"2D_aspect_ratio": 2, "stride": 1, "padding": 9**9}}, "do not give the 48 features of"),
        ("conve", {"conve": {"2D_aspect_ratio": 2, "stride": 0, "padding": 0}}, "stride is 0; expected a whole number"),
    ],
)
def test_a_configuration_of_libkge_that_does_not_say_the_score_is_refused(write, name, changes, message):
    path = write(name, options_of(name.partition(" ")[0]) | changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_a_model_whose_two_copies_of_a_tensor_differ_is_refused(tmp_path):
    model = Reciprocal(fill(LIBKGE["distmult"]()[1]))
    model._base_model = copy.deepcopy(model._base_model)
    model._base_model._entity_embedder._embeddings.weight.data += 1
    write_libkge(tmp_path / "twice.pt", model, options_of("distmult", reciprocal=True))
    with pytest.raises(CheckpointError, match="holds two different tensors _entity_embedder"):
        load_checkpoint(tmp_path / "twice.pt")


def test_the_size_of_an_image_is_not_taken_for_a_model_of_libkge(write):
    with pytest.raises(ConfigError, match="embedding_height and embedding_width are for ConvE checkpoints"):
        load_checkpoint(write("conve", options_of("conve")), embedding_height=3)
