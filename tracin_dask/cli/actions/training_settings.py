"""From options to the sizes of a ConvE and the settings of its training."""

from tracin_dask.cli.options.training import SettingsFlags
from tracin_dask.models.conve.model import ConvEConfig, Dropout, image_size
from tracin_dask.models.training.settings import TrainingConfig
from tracin_dask.triples.idmap import IdMap


def model_config(entities: IdMap, relations: IdMap, options: SettingsFlags) -> ConvEConfig:
    """Give the sizes of the model of a graph; raises as `ConvEConfig`."""
    dim = options["embedding_dim"]
    height, width = image_size(dim, height=options["embedding_height"], width=options["embedding_width"])
    return ConvEConfig(
        num_entities=len(entities),
        num_relations=len(relations),
        embedding_dim=dim,
        embedding_height=height,
        embedding_width=width,
        output_channels=options["output_channels"],
        kernel_height=options["kernel_height"],
        kernel_width=options["kernel_width"],
    )


def training_config(options: SettingsFlags) -> TrainingConfig:
    """Give the settings that decide how a model is trained; raises as `TrainingConfig`."""
    return TrainingConfig(
        num_epochs=options["num_epochs"],
        batch_size=options["batch_size"],
        learning_rate=options["learning_rate"],
        label_smoothing=options["label_smoothing"],
        dropout=Dropout(
            input=options["input_dropout"],
            feature_map=options["feature_map_dropout"],
            output=options["output_dropout"],
        ),
    )
