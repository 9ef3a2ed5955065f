"""Methods: names with options of a run, from a YAML file; or baselines and numbers from elsewhere, which need none."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import yaml

from tracin_dask.errors import ConfigError, PlaceError
from tracin_dask.identity import Json
from tracin_dask.influence.losses import SLCWA, AnyLoss, BinaryCrossEntropy, OneToAll
from tracin_dask.places.files import read_bytes
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import local_path_of
from tracin_dask.runs.config import RunConfig, option_groups
from tracin_dask.validation.baselines import BASELINES

DEFAULT = "methods.yaml"
_OF_STUDIES = ("ranking", "masking", "saving")
"""Groups of options that a study sets itself."""
_SET = ("mode", "contrast", "together", "audit")
OWN = ("baseline", "scores", "checkpoints", "trainings")
"""What a method says besides options of a run."""
NUMBERS = ("damping", "learning_rate")
"""Options that YAML may give as whole numbers."""
_TEXT, _YES = ((str,), "a word"), ((bool,), "true or false")
_WHOLE, _NUMBER = ((int,), "a whole number"), ((int, float), "a number such as 3 or 0.001")
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "damping": _NUMBER,
    "learning_rate": ((int, float, list), "a number such as 0.001, or a list of them"),
    **dict.fromkeys(("landmarks", "landmarks_seed", "last_layers", "batch_size"), _WHOLE),
    **dict.fromkeys(("landmarks_near", "gradient_checkpointing", "cache_test_gradients"), _YES),
    "parameters": ((list,), "a list of patterns"),
}
"""What YAML must give for an option, where that is not a word."""
LOSSES: Mapping[str, Callable[[float], AnyLoss]] = {
    "bce": lambda _: BinaryCrossEntropy(),
    "one-to-all": lambda smoothing: OneToAll(label_smoothing=smoothing),
    "slcwa": lambda _: SLCWA(),
}
"""The losses by name, made with the label smoothing of the training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to find influences.

    Attributes
    ----------
    options
        Options of `RunConfig.of`; the loss by its name.
    baseline
        Name of a baseline in place of these; None for influences.
    scores
        Numbers from another tool in place of both: a NumPy file [test, training triple]; a relative path starts in
        the folder of the study.
    checkpoints
        `last`, `all`, or epochs, counted from 1.
    trainings
        Over how many trainings influences are averaged.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    baseline: str | None = None
    scores: str | None = None
    checkpoints: str | tuple[int, ...] = "last"
    trainings: int = 1

    def config(self, label_smoothing: float, **more: Any) -> RunConfig:  # noqa: ANN401 - every option has a type of its own
        """Make the configuration of a run.

        Raises
        ------
        ConfigError
            If a value is refused.
        """
        options: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.options.items()
        }
        options |= {name: float(options[name]) for name in NUMBERS if isinstance(options.get(name), int)}
        if "loss" in options:
            options["loss"] = _loss(str(options["loss"]), label_smoothing)
        return RunConfig.of(**options | more)

    def epochs(self, kept: tuple[int, ...]) -> tuple[int, ...]:
        """Choose among the epochs whose checkpoints are kept.

        Raises
        ------
        ConfigError
            If one is not kept.
        """
        if isinstance(self.checkpoints, str):
            return kept if self.checkpoints == "all" else kept[-1:]
        for epoch in self.checkpoints:
            if epoch not in kept:
                raise ConfigError(
                    f"the method {self.name!r} needs the checkpoint of epoch {epoch}, but those of "
                    f"{', '.join(map(str, kept))} are kept; give --checkpoint-epochs"
                )
        return self.checkpoints

    @property
    def identity(self) -> Json:
        """What tells the numbers of this method from others: all but its name and its trainings."""
        if self.scores is not None:
            return {"scores": self.scores}
        return [dict(self.options), self.baseline, self.checkpoints]

    @property
    def is_run(self) -> bool:
        """Tell whether its numbers are influences that runs compute."""
        return self.baseline is None and self.scores is None


def read_methods(path: AnyPath | None = None) -> tuple[Method, ...]:
    """Read a file of methods; without one, that of the package.

    Raises
    ------
    ConfigError
        If the file is no YAML of this form, or a key or value is not known; the message names the method.
    """
    source = DEFAULT if path is None else str(path)
    data = files("tracin_dask.validation").joinpath(DEFAULT).read_bytes() if path is None else read_bytes(path)
    try:
        contents = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source} is no YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(contents, dict) or not contents:
        raise ConfigError(f"{source} names no methods; expected lines such as `cosine: {{normalize: cosine}}`")
    for name in contents:
        if not isinstance(name, str):
            raise ConfigError(f"{source} has a method named {name!r}; put the name into quotes")
    return tuple(_method(name, settings, source) for name, settings in contents.items())


def _method(name: str, settings: object, source: str) -> Method:
    where = f"{source}, method {name!r}"
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{where}: expected options, such as {{normalize: cosine}}, not {settings!r}")
    settings = dict(settings)  # an alias in YAML is the same dictionary
    _refuse_unknown(settings, where)
    own = {key: settings.pop(key) for key in OWN if key in settings}
    if isinstance(own.get("checkpoints"), list):
        own["checkpoints"] = tuple(own["checkpoints"])
    _refuse_wrong(own, where)
    others = [*settings, *(key for key in own if key != "scores")]
    if own.get("scores") is not None and others:
        raise ConfigError(f"{where}: scores are made elsewhere, and have no options; leave out {', '.join(others)}")
    _refuse_types(settings, where)
    if own.get("baseline") is not None and settings:
        raise ConfigError(f"{where}: a baseline has no options of a run; leave out {', '.join(settings)}")
    method = Method(name=name, options=settings, **own)
    try:
        method.config(0.0)
    except (ConfigError, TypeError, OverflowError) as error:
        raise ConfigError(f"{where}: {error}") from error
    return method


def known_options() -> tuple[str, ...]:
    """Name the options of a run that a method may set."""
    groups = option_groups()
    return tuple(name for name, group in groups.items() if group not in _OF_STUDIES and name not in _SET)


def _refuse_unknown(settings: Mapping[Any, object], where: str) -> None:
    known = (*known_options(), *OWN)
    for key in settings:
        if key not in known:
            meant = difflib.get_close_matches(str(key), known, 1)
            say = f"did you mean {meant[0]}?" if meant else f"known are {', '.join(known)}"
            raise ConfigError(f"{where}: there is no option {key!r}; {say}")


def _refuse_wrong(own: Mapping[str, Any], where: str) -> None:
    scores = own.get("scores")
    if scores is not None and not isinstance(scores, str):
        raise ConfigError(f"{where}: scores is {scores!r}; expected the path of a NumPy file")
    if scores is not None:
        _refuse_url(scores, where)
    baseline, checkpoints, trainings = own.get("baseline"), own.get("checkpoints", "last"), own.get("trainings", 1)
    if baseline is not None and baseline not in tuple(BASELINES):  # a list of YAML has no hash
        raise ConfigError(f"{where}: there is no baseline {baseline!r}; known are {', '.join(BASELINES)}")
    is_epochs = isinstance(checkpoints, tuple) and checkpoints and all(type(epoch) is int for epoch in checkpoints)
    if checkpoints not in ("last", "all") and not is_epochs:
        raise ConfigError(f"{where}: checkpoints is {checkpoints!r}; expected last, all, or a list of epochs")
    if type(trainings) is not int or trainings < 1:
        raise ConfigError(f"{where}: trainings is {trainings!r}; expected a whole number from 1 on")


def _refuse_url(scores: str, where: str) -> None:
    try:
        local_path_of(scores, "this NumPy file")
    except PlaceError as error:
        raise ConfigError(f"{where}: scores: {error}") from None


def _refuse_types(settings: Mapping[str, object], where: str) -> None:
    """Refuse values of another type than the option has, such as a number in quotes."""
    for name, value in settings.items():
        kinds, expected = _TYPES.get(name, _TEXT)
        items = value if isinstance(value, list) and name == "parameters" else []
        is_right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if not is_right or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{where}: {name} is {value!r}; expected {expected}")


def _loss(name: str, label_smoothing: float) -> AnyLoss:
    if name not in LOSSES:
        raise ConfigError(f"loss must be {', '.join(LOSSES)}, not {name!r}")
    return LOSSES[name](label_smoothing)
