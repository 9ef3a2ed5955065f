"""The entities of a synthetic graph: how many of each type, their labels in id order, and their readable names."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synthetic_graph.vocabulary import ENTITY_TYPES, EntityType
from tracin_dask.errors import ConfigError

MIN_OF_A_TYPE = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entities:
    """All entities by id; those of one type follow each other.

    `types` are in the order of their ids, `starts` has the first id of each and at last the number of entities.
    """

    types: tuple[EntityType, ...]
    starts: NDArray[np.int64]
    labels: pa.StringArray

    def __len__(self) -> int:
        """Return the number of entities."""
        return len(self.labels)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many entities each type has."""
        return np.diff(self.starts)

    def type_index(self, prefix: str) -> int:
        """Return the place of a type in `types`."""
        return next(index for index, kind in enumerate(self.types) if kind.prefix == prefix)


def make_entities(num_entities: int, random: np.random.Generator) -> Entities:
    """Share the entities out among the types and give each a CURIE; ids are in the order of the labels as text.

    Raises
    ------
    ConfigError
        If there are too few for every type.
    """
    types = tuple(sorted(ENTITY_TYPES, key=lambda kind: kind.prefix))
    least = MIN_OF_A_TYPE * len(types)
    if num_entities < least:
        raise ConfigError(
            f"{num_entities:,} entities: the {len(types)} entity types need {MIN_OF_A_TYPE} each; give {least} or more"
        )
    shares = np.array([kind.share for kind in types])
    sizes = MIN_OF_A_TYPE + np.floor((num_entities - least) * shares / shares.sum()).astype(np.int64)
    sizes[np.argmax(sizes)] += num_entities - sizes.sum()
    labels = pa.concat_arrays([_labels(kind, size, random) for kind, size in zip(types, sizes.tolist(), strict=True)])
    return Entities(types=types, starts=np.concatenate([[0], np.cumsum(sizes)]), labels=labels)


def _labels(kind: EntityType, number: int, random: np.random.Generator) -> pa.StringArray:
    """Number entities with gaps, as curated vocabularies do."""
    codes = pa.array(np.cumsum(random.integers(1, 6, number))).cast(pa.string())
    padded = pc.utf8_lpad(codes, kind.digits, "0")
    labels = pc.binary_join_element_wise(kind.prefix, padded, "")
    return labels.take(pc.sort_indices(labels))


_QUALITIES = (
    "acute", "chronic", "familial", "early-onset", "benign", "human", "mitochondrial", "putative", "α-", "β-", "N,N-",
    "(R,S)-", "2,4-", "X-linked", "soluble", "5′-", "non-coding",
)  # fmt: skip  # several words a line
_STEMS = (
    "carcinoma", "Sjögren's syndrome", "receptor", "kinase", "naïve T cell", "oxide", 'the "orphan" factor', "lactate",
    "fibrosis, pulmonary", "binding", "transport", "Ménière's disease", "phosphatase", "cortex", "neuropathy", "acid",
    "transcript variant", "membrane protein", "deficiency, partial",
)  # fmt: skip  # several words a line
_SHARE_WITH_NUMBER = 0.9


def make_names(num_entities: int, random: np.random.Generator) -> pa.StringArray:
    """Make readable names: some repeat, some hold commas, quotes and letters beyond ASCII."""
    qualities, stems = (
        pa.array(words).take(pa.array(random.integers(len(words), size=num_entities))) for words in (_QUALITIES, _STEMS)
    )
    numbers = pa.array(random.integers(1, num_entities + 1, num_entities)).cast(pa.string())
    numbered = pa.array(random.random(num_entities) < _SHARE_WITH_NUMBER)
    plain = pc.binary_join_element_wise(qualities, stems, " ")
    return pc.if_else(numbered, pc.binary_join_element_wise(plain, numbers, " "), plain)
