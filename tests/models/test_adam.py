"""Adam's preconditioner is read from the optimiser's state of both dialects, or refused by name."""

from dataclasses import replace
from pathlib import Path

import oracle
import pytest
import torch
from influence.any_model import NUM_ENTITIES, NUM_RELATIONS, Bilinear, step
from models.conftest import PYKEEN_NAMES, TRAIN_PYTORCH
from pykeen.datasets import Nations
from pykeen.models import ConvE as PykeenConvE
from pykeen.models import TuckER
from pykeen.training import LCWATrainingLoop
from torch import Tensor, nn

from tracin_dask import TracInCheckpointTrainingCallback
from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.adam import adam_scales
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.load import load_checkpoint as load_any_checkpoint

NAMES = {
    "entity_embeddings.weight",
    "relation_embeddings.weight",
    *(f"{module}.{leaf}" for module in ("bn0", "conv1", "bn1", "fc", "bn2") for leaf in ("weight", "bias")),
}
OPTIMISERS = {
    "Adam": (torch.optim.Adam, {}),
    "AdamW": (torch.optim.AdamW, {"weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-5}),
    "AMSGrad": (torch.optim.Adam, {"amsgrad": True, "betas": (0.5, 0.5)}),
}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    """Take steps on fewer and fewer triples, so that AMSGrad's largest moments are not the last."""
    model.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for step in range(steps):
            optimizer.zero_grad()
            heads = torch.arange(2, 7 - step)
            model(heads, heads % 3).square().sum().backward()
            optimizer.step()
    model.eval()


@pytest.fixture
def made(make_model, tmp_path):
    """Train a model of the dialect train_pytorch, and save it with a change."""

    def make(kind: str = "Adam", *, groups=lambda model: model.parameters(), change=lambda _: None):
        model = make_model(TRAIN_PYTORCH, torch.float64)
        optimiser, options = OPTIMISERS[kind]
        optimizer = optimiser(groups(model), lr=0.01, **options)
        train(model, optimizer)
        contents = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
        change(contents)
        torch.save(contents, tmp_path / "model.pt")
        sizes = {"embedding_height": 3, "embedding_width": 5}
        return model, optimizer, load_checkpoint(tmp_path / "model.pt", **sizes, dtype=torch.float64)

    return make


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor], rtol: float = 1e-12) -> None:
    assert found.keys() == wanted.keys()
    for name, scale in wanted.items():
        torch.testing.assert_close(found[name], scale, rtol=rtol, atol=0)


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_the_adam_preconditioner_is_the_factor_of_an_optimizer_step(made, kind):
    model, optimizer, checkpoint = made(kind)
    found = adam_scales(checkpoint, NAMES)
    assert_equal(found, oracle.adam_scales(model, optimizer))
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    group = optimizer.param_groups[0]
    group.update(lr=1.0, weight_decay=0.0, betas=(0.0, group["betas"][1]))  # m is the gradient itself
    for number, weight in enumerate(model.parameters()):
        state = optimizer.state[weight]
        weight.grad = state["exp_avg_sq"].sqrt() * (-1) ** number
        state["exp_avg_sq"] /= group["betas"][1]  # so that it is the same after the step
        state["exp_avg_sq"] -= (1 - group["betas"][1]) / group["betas"][1] * weight.grad.square()
        state["step"] -= 1
    if kind != "AMSGrad":  # whose largest moment is not that of the gradient
        optimizer.step()
        for name, weight in model.named_parameters():
            torch.testing.assert_close(before[name] - weight, found[name] * weight.grad, rtol=1e-6, atol=1e-12)


def test_amsgrad_preconditioner_uses_the_largest_moments(made):
    def as_adam(contents) -> None:
        contents["optimizer_state_dict"]["param_groups"][0]["amsgrad"] = False

    largest, plain = (
        adam_scales(made("AMSGrad", change=change)[2], {"entity_embeddings.weight"})["entity_embeddings.weight"]
        for change in (lambda _: None, as_adam)
    )
    assert (largest <= plain).all()
    assert (largest < plain).any()


GROUPS = {
    "two groups": lambda model: [
        {"params": list(model.parameters())[:2]},
        {"params": list(model.parameters())[2:], "eps": 0.1, "betas": (0.9, 0.5)},
    ],
    "two groups with names": lambda model: [
        {"params": list(model.named_parameters())[3:]},
        {"params": list(model.named_parameters())[:3], "eps": 0.1, "betas": (0.9, 0.5)},
    ],
    "names in another order": lambda model: list(model.named_parameters())[::-1],
}


@pytest.mark.parametrize("groups", GROUPS)
def test_the_adam_preconditioner_uses_settings_of_parameter_groups_and_names(made, groups):
    model, optimizer, checkpoint = made(groups=GROUPS[groups])
    wanted = {}
    for group in optimizer.param_groups:
        for name, weight in model.named_parameters():
            if any(weight is member for member in group["params"]):
                state = optimizer.state[weight]
                second = state["exp_avg_sq"] / (1 - group["betas"][1] ** int(state["step"]))
                wanted[name] = 1 / (second.sqrt() + group["eps"])
    assert_equal(adam_scales(checkpoint, NAMES), wanted)


def test_groups_without_names_whose_tensors_could_be_taken_for_one_another_are_refused(made):
    def weights_and_biases(model):
        biases = [weight for name, weight in model.named_parameters() if name.endswith("bias")]
        others = [weight for name, weight in model.named_parameters() if not name.endswith("bias")]
        return [{"params": others}, {"params": biases, "weight_decay": 0.1}]

    checkpoint = made(groups=weights_and_biases)[2]
    with pytest.raises(CheckpointError, match=r"groups without names, and several of them hold tensors of the shape"):
        adam_scales(checkpoint, NAMES)


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
def test_the_adam_preconditioner_of_a_pykeen_conve_has_our_shapes_in_float32(tmp_path):
    factory = Nations().training
    sizes = {"embedding_dim": 12, "embedding_height": 2, "embedding_width": 6, "kernel_height": 2, "output_channels": 3}
    model = PykeenConvE(triples_factory=factory, random_seed=0, **sizes)
    loop = LCWATrainingLoop(model=model, triples_factory=factory, optimizer="adam")
    callback = TracInCheckpointTrainingCallback(tmp_path, factory)
    loop.train(factory, num_epochs=2, batch_size=64, use_tqdm=False, callbacks=callback)
    theirs = oracle.adam_scales(model, loop.optimizer)
    ours = {name: theirs[PYKEEN_NAMES[name]] for name in (*NAMES, "entity_bias")}
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "checkpoint_epoch_2.pt")
    found = adam_scales(checkpoint, ours)
    assert found["entity_bias"].shape == (factory.num_entities,)
    assert {scale.dtype for scale in found.values()} == {torch.float32}
    assert_equal(found, ours | {"entity_bias": ours["entity_bias"].flatten()}, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
def test_the_adam_preconditioner_is_read_for_another_pykeen_model(tmp_path):
    factory, settings = Nations().training, {"embedding_dim": 5, "relation_dim": 3}
    model = TuckER(triples_factory=factory, random_seed=0, **settings)
    loop = LCWATrainingLoop(model=model, triples_factory=factory, optimizer="adam")
    callback = TracInCheckpointTrainingCallback(tmp_path, factory)
    loop.train(factory, num_epochs=2, batch_size=64, use_tqdm=False, callbacks=callback)
    checkpoint = load_any_checkpoint(tmp_path / "checkpoints" / "checkpoint_epoch_2.pt")
    found = adam_scales(checkpoint, checkpoint.config.parameter_names)
    assert_equal(found, oracle.adam_scales(model, loop.optimizer), rtol=1e-5)


class Frozen(Bilinear):
    """A model whose first parameter is not trained, and one that is called like a bias of ConvE's."""

    tables = Bilinear.tables | {"entity_bias": "entity"}

    def __init__(self, num_entities: int, num_relations: int) -> None:
        super().__init__(num_entities, num_relations)
        self.entities.requires_grad_(requires_grad=False)
        self.entity_bias = nn.Parameter(torch.zeros(num_entities, 1))

    def score(self, triples: Tensor) -> Tensor:
        return super().score(triples) + self.entity_bias[triples[:, 2], 0]


@pytest.mark.parametrize("of_all", [True, False])
def test_untrained_parameters_may_be_missing_in_the_optimizer(tmp_path, of_all):
    torch.manual_seed(0)
    model = Frozen(NUM_ENTITIES, NUM_RELATIONS).double()
    given = [weight for weight in model.parameters() if of_all or weight.requires_grad]
    optimizer = step(model, torch.tensor([[0, 1, 2], [3, 2, 1]]), given)
    contents = {"state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    torch.save(contents, tmp_path / "model.pt")
    description = ModelDescription(model=Frozen)
    checkpoint = load_any_checkpoint(tmp_path / "model.pt", description=description, dtype=torch.float64)
    wanted = {
        name: 1 / ((optimizer.state[weight]["exp_avg_sq"] / (1 - 0.999**3)).sqrt() + 1e-8)
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }
    assert_equal(adam_scales(checkpoint, checkpoint.config.parameter_names), wanted)


def without_state_of(number):
    return lambda contents: contents["optimizer_state_dict"]["state"].pop(number)


def test_untracked_tensors_may_lack_an_optimizer_state(made):
    model, optimizer, checkpoint = made(change=without_state_of(10))
    assert_equal(adam_scales(checkpoint, {"fc.bias"}), {"fc.bias": oracle.adam_scales(model, optimizer)["fc.bias"]})


def sgd(contents) -> None:
    """Put the state of another optimiser in place."""
    model = [nn.Parameter(torch.ones(2)) for _ in range(12)]
    contents["optimizer_state_dict"] = torch.optim.SGD(model, lr=0.1, momentum=0.9).state_dict()


def of_another_model(contents) -> None:
    contents["optimizer_state_dict"]["param_groups"][0]["params"].pop()


def swapped(contents) -> None:
    state = contents["optimizer_state_dict"]["state"]
    state[0], state[1] = state[1], state[0]


def set_state(number, **values):
    return lambda contents: contents["optimizer_state_dict"]["state"][number].update(values)


def set_group(**values):
    return lambda contents: contents["optimizer_state_dict"]["param_groups"][0].update(values)


REFUSED = {
    "no state": (lambda contents: contents.pop("optimizer_state_dict"), "model.pt: has no optimizer_state_dict, from"),
    "an empty state": (lambda contents: contents.update(optimizer_state_dict={}), "has no optimizer_state_dict, from"),
    "SGD": (sgd, r"is not of torch\.optim\.Adam or AdamW: the param_groups lack betas, eps, amsgrad"),
    "other counts": (of_another_model, "is of 11 parameter tensors, the model has 12"),
    "β2 = 1": (set_group(betas=(0.9, 1.0)), r"has the betas 0\.9, 1\.0; expected two numbers from 0 on and below 1"),
    "β2 < 0": (set_group(betas=(0.9, -0.5)), r"has the betas 0\.9, -0\.5; expected two"),
    "a single β": (set_group(betas=0.9), r"has the betas 0\.9; expected two"),
    "ε < 0": (set_group(eps=-1e-8), r"has eps -1e-08 and amsgrad False; expected a number from 0 on"),
    "ε = NaN": (set_group(eps=float("nan")), "has eps nan and amsgrad False"),
    "ε with 5,000 digits": (set_group(eps=10**5000), "has eps a number of 16,610 bits"),
    "AMSGrad 2": (set_group(amsgrad=2), "and amsgrad 2; expected a number from 0 on, and true or false"),
    "integers": (
        set_state(9, exp_avg_sq=torch.ones(15, dtype=torch.int64)),
        r"a tensor \(15,\) of torch\.int64 of step",
    ),
    "a text": (set_state(9, exp_avg_sq="large"), r"has as exp_avg_sq 'large' of step 3\.0 for fc\.bias"),
    "half a step": (set_state(9, step=torch.tensor(2.5)), r"of step 2\.5 for fc\.bias"),
    "a step that is no number": (set_state(9, step=torch.tensor(float("nan"))), r"of step nan for fc\.bias"),
    "endless steps": (set_state(9, step=float("inf")), r"of step inf for fc\.bias"),
    "several steps": (set_state(9, step=torch.ones(15)), r"of step a tensor \(15,\) of torch\.float32 for fc\.bias"),
    "no step": (without_state_of(10), r"has no exp_avg_sq and no step for bn2\.weight: the optimiser never"),
    "other shapes": (
        swapped,
        r"exp_avg_sq a tensor \(3, 15\) of torch\.float64 of step 3\.0 for entity_embeddings\.weight",
    ),
    "step 0": (set_state(8, step=torch.tensor(0.0)), r"of step 0\.0 for fc\.weight"),
    "NaN": (
        set_state(9, exp_avg_sq=torch.full((15,), torch.nan)),
        r"exp_avg_sq of fc\.bias has 15 values of 15 that give no finite 1 / \(√v̂ \+ ε\)",
    ),
    "below 0": (set_state(9, exp_avg_sq=-torch.ones(15)), r"exp_avg_sq of fc\.bias has 15 values of 15"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_checkpoints_without_a_usable_adam_state_are_refused_by_name(made, what):
    change, message = REFUSED[what]
    checkpoint = made(change=change)[2]
    with pytest.raises(CheckpointError, match=message):
        adam_scales(checkpoint, NAMES)


def test_an_adam_state_file_that_changed_after_loading_is_refused(made):
    checkpoint = made()[2]
    with pytest.raises(CheckpointError, match="it changed since it was loaded; load it again"):
        adam_scales(replace(checkpoint, sha256="0" * 64), NAMES)
    Path(checkpoint.path).unlink()
    with pytest.raises(CheckpointError, match="there is no such file"):
        adam_scales(checkpoint, NAMES)
