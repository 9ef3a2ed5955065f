"""The entity types and relations of a synthetic graph: what exists, and which type each relation starts and ends at."""

import itertools
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracin_dask.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EntityType:
    """A kind of entity: its CURIE prefix and digits, its share of all entities, its rows per head beside others'."""

    prefix: str
    digits: int
    share: float
    activity: float


ENTITY_TYPES = (
    EntityType("CAID:CA", 1, 0.34, 0.5),
    EntityType("PUBCHEM.COMPOUND:", 1, 0.28, 0.5),
    EntityType("UniProtKB:P", 1, 0.10, 1.0),
    EntityType("NCBIGene:", 1, 0.05, 8.0),
    EntityType("CHEBI:", 1, 0.05, 4.0),
    EntityType("UMLS:C", 7, 0.05, 0.5),
    EntityType("NCBITaxon:", 1, 0.04, 0.3),
    EntityType("GO:", 7, 0.03, 1.0),
    EntityType("MONDO:", 7, 0.018, 3.0),
    EntityType("REACT:R-HSA-", 1, 0.017, 1.0),
    EntityType("HP:", 7, 0.012, 2.0),
    EntityType("UBERON:", 7, 0.010, 3.0),
    EntityType("CL:", 7, 0.003, 3.0),
)
"""In the order of size; the labels of one type follow each other when sorted as text."""

DRUG, DISEASE = "CHEBI:", "MONDO:"


@dataclass(frozen=True, slots=True)
class Relation:
    """A predicate with its qualifiers, from one entity type to another; `weight` is its pull among its head type's."""

    head: str
    predicate: str
    tail: str
    weight: float
    aspect: str = ""
    direction: str = ""
    subject_aspect: str = ""
    subject_direction: str = ""

    @property
    def edge(self) -> dict[str, str]:
        """Name the predicate and the qualifiers as edge maps do."""
        return {
            "object_aspect_qualifier": self.aspect,
            "object_direction_qualifier": self.direction,
            "predicate": f"biolink:{self.predicate}",
            "subject_aspect_qualifier": self.subject_aspect,
            "subject_direction_qualifier": self.subject_direction,
        }

    @property
    def edge_key(self) -> str:
        """Write the edge as the JSON text that is a key of an edge map."""
        return json.dumps(self.edge)


_VARIANT, _COMPOUND, _PROTEIN, _GENE = "CAID:CA", "PUBCHEM.COMPOUND:", "UniProtKB:P", "NCBIGene:"
_CONCEPT, _TAXON, _PROCESS, _PATHWAY = "UMLS:C", "NCBITaxon:", "GO:", "REACT:R-HSA-"
_PHENOTYPE, _ANATOMY, _CELL = "HP:", "UBERON:", "CL:"

KNOWN_RELATIONS = (
    Relation(DRUG, "treats", DISEASE, 0.8),
    Relation(_GENE, "interacts_with", _GENE, 1.0),
    Relation(_VARIANT, "is_sequence_variant_of", _GENE, 2.0),
    Relation(_COMPOUND, "related_to", _PROTEIN, 1.0),
    Relation(_PROTEIN, "actively_involved_in", _PROCESS, 1.0),
    Relation(DISEASE, "has_phenotype", _PHENOTYPE, 1.0),
    Relation(_PROCESS, "subclass_of", _PROCESS, 1.0),
    Relation(_CONCEPT, "close_match", _CONCEPT, 1.0),
    Relation(_TAXON, "derives_from", _TAXON, 1.0),
    Relation(_ANATOMY, "expresses", _GENE, 1.0),
    Relation(_PATHWAY, "has_participant", _PROTEIN, 1.0),
    Relation(_PHENOTYPE, "symptom_of", DISEASE, 1.0),
    Relation(_CELL, "has_part", _ANATOMY, 1.0),
    Relation(_GENE, "expressed_in", _ANATOMY, 4.0),
    Relation(DRUG, "affects", _GENE, 0.5, "expression", "increased"),
    Relation(DRUG, "affects", _GENE, 0.5, "expression", "decreased"),
    Relation(DRUG, "affects", _GENE, 0.3, "activity", "decreased"),
    Relation(DRUG, "affects", _GENE, 0.2, "activity", "increased"),
    Relation(_GENE, "gene_associated_with_condition", DISEASE, 0.4),
    Relation(_VARIANT, "contributes_to", _PHENOTYPE, 0.1),
    Relation(_VARIANT, "genetically_associated_with", DISEASE, 0.2),
    Relation(_COMPOUND, "affects", _PROTEIN, 0.3, "activity_or_abundance", "decreased"),
    Relation(_COMPOUND, "similar_to", _COMPOUND, 0.2),
    Relation(_COMPOUND, "in_taxon", _TAXON, 0.1),
    Relation(_GENE, "participates_in", _PATHWAY, 0.5),
    Relation(_GENE, "acts_upstream_of_or_within", _PROCESS, 0.6),
    Relation(_GENE, "enables", _PROCESS, 0.15),
    Relation(_GENE, "located_in", _PROCESS, 0.3),
    Relation(_GENE, "regulates", _GENE, 0.2),
    Relation(_GENE, "coexpressed_with", _GENE, 1.5),
    Relation(_GENE, "has_variant_part", _VARIANT, 0.5),
    Relation(_PROTEIN, "physically_interacts_with", _PROTEIN, 0.8),
    Relation(_PROTEIN, "colocalizes_with", _CELL, 0.1),
    Relation(DRUG, "directly_physically_interacts_with", DRUG, 0.4),
    Relation(DRUG, "causes", _PHENOTYPE, 0.5),
    Relation(DRUG, "contraindicated_in", DISEASE, 0.15),
    Relation(DRUG, "ameliorates_condition", DISEASE, 0.02),
    Relation(DRUG, "in_clinical_trials_for", DISEASE, 0.2),
    Relation(DISEASE, "correlated_with", DISEASE, 0.5),
    Relation(DISEASE, "disease_has_location", _ANATOMY, 0.3),
    Relation(DISEASE, "superclass_of", DISEASE, 0.4),
    Relation(_PHENOTYPE, "broad_match", _PHENOTYPE, 0.4),
    Relation(_ANATOMY, "lacks_part", _GENE, 0.1),
    Relation(_ANATOMY, "part_of", _ANATOMY, 0.3),
    Relation(_CELL, "has_increased_amount", _GENE, 0.6),
    Relation(_PROCESS, "occurs_in", _ANATOMY, 0.05),
    Relation(_PROCESS, "has_input", DRUG, 0.02),
    Relation(_CONCEPT, "coexists_with", _CONCEPT, 0.5),
    Relation(_CONCEPT, "manifestation_of", DISEASE, 0.3),
    Relation(_PATHWAY, "precedes", _PATHWAY, 0.05),
)
"""The first is the one that test triples are of. Every type is the head of one of the first 13."""

_ASPECTS = ("activity", "abundance", "expression", "secretion", "synthesis", "transport", "uptake", "degradation")
_DIRECTIONS = ("increased", "decreased", "upregulated", "downregulated")
_QUALIFIED = tuple(itertools.product(_ASPECTS, _DIRECTIONS, ("", *_ASPECTS), ("", *_DIRECTIONS)))
MAX_RELATIONS = len(KNOWN_RELATIONS) + len(_QUALIFIED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relations:
    """All relations of a graph in the order of their ids, which is that of their labels as text."""

    relations: tuple[Relation, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of relations."""
        return len(self.relations)

    @property
    def test_relation(self) -> int:
        """The id of the relation that test triples are of."""
        return self.relations.index(KNOWN_RELATIONS[0])

    def edge_map(self) -> dict[str, str]:
        """Map each edge to its label, in the order of the labels' numbers."""
        pairs = sorted(zip(self.labels, self.relations, strict=True), key=lambda pair: int(pair[0].split(":")[1]))
        return {relation.edge_key: label for label, relation in pairs}


def choose_relations(num_relations: int, random: np.random.Generator) -> Relations:
    """Take the known relations first, then the same type pairs with further qualifiers, and number them at random.

    Raises
    ------
    ConfigError
        If there are not so many.
    """
    if num_relations > MAX_RELATIONS:
        raise ConfigError(f"{num_relations:,} relations: there are words for {MAX_RELATIONS:,}; give at most that many")
    further = [_further_relation(number, random) for number in range(num_relations - len(KNOWN_RELATIONS))]
    chosen = [*KNOWN_RELATIONS[:num_relations], *further]
    numbers: NDArray[np.int64] = random.permutation(num_relations)
    labelled = sorted((f"predicate:{number}", relation) for number, relation in zip(numbers, chosen, strict=True))
    return Relations(
        relations=tuple(relation for _, relation in labelled), labels=tuple(label for label, _ in labelled)
    )


def _further_relation(number: int, random: np.random.Generator) -> Relation:
    like = KNOWN_RELATIONS[random.integers(len(KNOWN_RELATIONS))]
    # a stride that shares no factor with their number walks through all of them
    qualifiers = _QUALIFIED[number * 7 % len(_QUALIFIED)]
    return Relation(like.head, "associated_with", like.tail, 1 / (1 + number % 20), *qualifiers)
