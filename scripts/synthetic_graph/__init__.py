"""Synthetic knowledge graphs: of any size, with types, hubs and heavy tails, equal for equal arguments.

How a graph is drawn
--------------------
1. Entities are shared out among 13 types (a CURIE prefix each), relations connect one type to another.
2. Heads: a share of the entities of each type that has relations. Their numbers of rows follow a power law, times the
   activity of the type, and sum up exactly.
3. A head of n rows takes about n^`relation_exponent` relations of its type, by weighted chance, and divides its rows
   among them by weight times a log-normal number.
4. Each group (head, relation) gets distinct tails. The tail of rank k in its type is drawn ∝ k^-`tail_exponent`, the
   same ranks for all relations, so that a hub is one for everybody. What repeats is drawn again, at last evenly, and
   a group has at most half of its type.
5. Test and validation triples are a uniform sample of the `treats` rows that are not the first of their group.
6. The lines are in uniformly random order.

Heads are worked through in blocks of about a million rows, and lines are shuffled through buckets on disk, so memory
depends on the entities and the model, not on the number of triples. The same bytes come out for the same arguments,
given the same versions of numpy and torch.

Where the numbers come from
---------------------------
Measured on training sets (the exponents of tails are Hill's estimate over the top tenth), beside the graph that the
defaults make, which has the triples, entities and relations of ROBOKOP:

======================================  =========  =============  =======  ==========
                                        FB15k-237  hetionet-lite  CoDEx-S  defaults
======================================  =========  =============  =======  ==========
triples                                   272,115         59,551   32,888  18,602,343
entities                                   14,541         19,943    2,034   1,446,771
relations                                     237             16       42          50
distinct heads per row                      0.051          0.196    0.052       0.075
distinct (head, relation) per row           0.343          0.350    0.318       0.170
rows in groups of at least 8                0.454          0.443    0.473       0.625
rows in groups of at least 32               0.196          0.234    0.109       0.297
rows in groups of at least 128              0.061          0.032    0.023       0.122
share of the most frequent relation         0.059          0.084    0.310       0.131
largest in-degree / rows                    0.023          0.004    0.025       0.003
largest out-degree / rows                   0.005          0.005    0.006       0.009
share of entities that are heads            0.950          0.586    0.837       0.982
exponent of rows per head                    2.23           1.23     1.96        1.44
exponent of rows per tail                    1.44           1.82     1.42        1.27
exponent b, relations of a head ≈ n^b        0.68           0.50     0.63        0.42
======================================  =========  =============  =======  ==========

`head_share` 0.97
    ROBOKOP has 0.08 distinct heads per row: nearly every entity is one, as in FB15k-237.
`degree_exponent` 1.6
    Between hetionet-lite, a sample that thins out small heads, and the two denser graphs.
`relation_exponent` 0.42
    Chosen so that ROBOKOP's size gives 0.15 to 0.2 distinct pairs per row; with 16 to 237 relations on 20 to 60 times
    fewer rows, the small graphs have 0.5 to 0.68.
`tail_exponent` 0.75
    A power law of ranks with exponent s gives in-degrees a tail of exponent 1/s: 0.55 for hetionet-lite, 0.7 for
    FB15k-237 and CoDEx-S; a little more, for hubs of 10⁴ to 10⁵ rows at ROBOKOP's size.
Shares and activities of the types, weights of the relations, the spread of the log-normal numbers
    Assumptions: the counts of the public vocabularies (MONDO, GO, UBERON, HP, CL) per 1.4 million entities, the rest
    variants, compounds and proteins; weights that give relation frequencies a range of about 200, as in FB15k-237.

To resemble another graph, set the exponents: `relation_exponent` 0.68 and `degree_exponent` 2 with the counts of
FB15k-237 give 0.31 distinct pairs per row, and 0.41, 0.13 and 0.03 of the rows in groups of at least 8, 32 and 128.
"""
