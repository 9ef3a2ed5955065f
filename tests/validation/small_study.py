"""A small graph with a pattern that a model can learn, and studies of it that take seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tracin_dask.models.conve.model import ConvEConfig, Dropout
from tracin_dask.models.training.settings import TrainingConfig
from tracin_dask.triples.idmap import IdMap
from tracin_dask.validation.folder import GRAPH, StudyFolder
from tracin_dask.validation.graph import NOTHING, StudyGraph, store_of_triples
from tracin_dask.validation.methods import Method
from tracin_dask.validation.study import Study
from tracin_dask.validation.workers import Workers

NUM_ENTITIES, NUM_RELATIONS, GROUP = 16, 3, 4
SIZES = ConvEConfig(
    num_entities=NUM_ENTITIES,
    num_relations=NUM_RELATIONS,
    embedding_dim=12,
    embedding_height=4,
    embedding_width=3,
    output_channels=3,
)
SETTINGS = TrainingConfig(
    num_epochs=4,
    batch_size=16,
    learning_rate=0.02,
    use_gpu=False,
    dropout=Dropout(input=0.0, feature_map=0.1, output=0.1),
)
PLAIN, RANDOM = Method(name="plain"), Method(name="random", baseline="random")


def all_triples() -> np.ndarray:
    """Relation r leads from each entity of group g to all of group g + r + 1, of four groups in a circle."""
    found = [
        (head, relation, ((head // GROUP + relation + 1) * GROUP + more) % NUM_ENTITIES)
        for head in range(NUM_ENTITIES)
        for relation in range(NUM_RELATIONS)
        for more in range(GROUP)
    ]
    return np.array(found)


def graph_in(folder: Path) -> StudyGraph:
    """Make a graph of 178 training triples and 14 test triples."""
    triples = np.random.default_rng(5).permutation(all_triples())
    maps = (IdMap.of(f"e{number}" for number in range(NUM_ENTITIES)), IdMap.of(f"r{n}" for n in range(NUM_RELATIONS)))
    store = store_of_triples(triples[14:], maps, folder / GRAPH)
    return StudyGraph.of(store, triples[:14], NOTHING)


def study_in(folder: Path, *methods: Method, **changes: object) -> Study:
    """Make a study of that graph in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(
        graph=graph_in(folder),
        folder=StudyFolder(path=folder),
        workers=Workers(threads=1),
        model=SIZES,
        settings=SETTINGS,
        methods=methods or (PLAIN, RANDOM),
    )
    return replace(study, **changes)
