"""The table of cases: every way that the engines take, and the options that the recorded commit has."""

from collections.abc import Mapping
from types import MappingProxyType

from same_runs.case import Case

FEW = 3
"""Test triples for which a ConvE takes forward mode."""
MANY = 160
"""Test triples for which a ConvE takes the pair product, with Jacobians per head and long runs."""

CONVE = {
    "width-bce": Case(model="width", tests=FEW),
    "width-bce-one-test": Case(model="width", tests=1, options="--batch-size 100"),
    "width-bce-many-tests": Case(model="width", tests=MANY),
    "width-bce-many-tests-small-batches": Case(model="width", tests=MANY, options="--batch-size 192"),
    "width-bce-large-batches": Case(model="width", tests=FEW, options="--batch-size 20000"),
    "width-no-relation-region": Case(model="narrow", tests=FEW),
    "width-no-relation-region-many-tests": Case(model="narrow", tests=MANY),
    "width-sparse-many-tests": Case(model="width", tests=MANY, graph="sparse"),
    "large-many-tests": Case(model="large", tests=MANY),
    "large-score-saved-many-tests": Case(
        model="large", tests=MANY, options="--explain score --batch-size 700 --save-scores {output}/scores.zarr"
    ),
    "large-adam-many-tests": Case(model="large", tests=MANY, options="--preconditioner adam --batch-size 1000"),
    "width-bare-state-dict": Case(
        model="bare", tests=FEW, options="--embedding-height 4 --embedding-width 6 --learning-rate 0.02"
    ),
    "height-bce": Case(model="height", tests=FEW),
    "height-bce-many-tests": Case(model="height", tests=MANY, options="--batch-size 512"),
    "pickled-conve": Case(model="pickled-conve", tests=FEW, options="--trust-pickle"),
    "width-opponents": Case(model="width", tests=FEW, options="--rank-by opponents"),
    "height-proponents": Case(model="height", tests=FEW, options="--rank-by proponents"),
    "width-gradients-not-cached": Case(
        model="width", tests=FEW, options="--no-cache-test-gradients --batch-size 512", place="workers"
    ),
    "width-gradient-checkpointing": Case(model="width", tests=MANY, options="--use-gradient-checkpointing"),
    "height-gradient-checkpointing": Case(model="height", tests=FEW, options="--use-gradient-checkpointing"),
}

PARAMETERS = {
    "width-last-layers": Case(model="width", tests=FEW, options="--use-last-layers-only --num-last-layers 3"),
    "width-embeddings-only": Case(
        model="width", tests=FEW, options="--parameters 'entity_embeddings.*' 'relation_embeddings.*'"
    ),
    "width-convolution-only": Case(model="width", tests=MANY, options="--parameters 'conv1.*' 'bn0.*' 'bn1.*'"),
    "width-output-only": Case(model="width", tests=FEW, options="--parameters 'bn2.*' fc.bias"),
    "height-without-biases": Case(
        model="height", tests=FEW, options="--parameters '*_embeddings.*' 'bn*' 'conv1.*' 'fc.*'"
    ),
    "height-entity-bias-one-to-all": Case(
        model="height", tests=FEW, options="--parameters entity_bias 'fc.*' --loss one-to-all"
    ),
}

PRECISION = {
    "width-float64": Case(model="width", tests=FEW, options="--precision float64"),
    "height-float64-many-tests": Case(model="height", tests=MANY, options="--precision float64 --batch-size 512"),
    "width-bf16-emulated": Case(model="width", tests=FEW, options="--precision bf16-emulated"),
    "width-bf16-emulated-many-tests": Case(model="width", tests=MANY, options="--precision bf16-emulated"),
}

LOSSES = {
    "width-one-to-all": Case(model="width", tests=FEW, options="--loss one-to-all"),
    "width-one-to-all-smoothed": Case(model="width", tests=MANY, options="--loss one-to-all --label-smoothing 0.2"),
    "width-one-to-all-contrast": Case(
        model="width", tests=FEW, options="--loss one-to-all --contrast drug_delivery_device"
    ),
    "width-one-to-all-score": Case(model="width", tests=FEW, options="--loss one-to-all --explain score"),
    "height-one-to-all": Case(model="height", tests=FEW, options="--loss one-to-all --label-smoothing 0.1"),
    "width-slcwa": Case(model="width", tests=FEW, options="--loss slcwa --num-negatives 3 --negatives-seed 7"),
    "width-slcwa-many-tests": Case(model="width", tests=60, options="--loss slcwa --num-negatives 2"),
    "height-slcwa-contrast": Case(model="height", tests=FEW, options="--loss slcwa --contrast virus"),
    "height-one-to-all-contrast": Case(model="height", tests=FEW, options="--loss one-to-all --contrast virus"),
    "width-contrast": Case(model="width", tests=FEW, options="--contrast virus"),
    "height-contrast-many-tests": Case(model="height", tests=MANY, options="--contrast drug_delivery_device"),
    "width-score": Case(model="width", tests=FEW, options="--explain score"),
    "height-score-slcwa": Case(model="height", tests=FEW, options="--explain score --loss slcwa --num-negatives 2"),
}

CHECKPOINTS = {
    "width-three-checkpoints": Case(model="width-epochs", tests=FEW, options="--checkpoint-contributions"),
    "width-three-checkpoints-rates": Case(
        model="width-epochs", tests=FEW, options="--learning-rate 0.03 0.01 0.002 --checkpoint-contributions"
    ),
    "width-three-checkpoints-many-tests": Case(
        model="width-epochs", tests=MANY, options="--learning-rate-schedule {folder}/schedule.tsv"
    ),
    "height-two-checkpoints-one-to-all": Case(
        model="height-epochs", tests=FEW, options="--loss one-to-all --checkpoint-contributions"
    ),
    "height-two-checkpoints-cosine": Case(
        model="height-epochs", tests=FEW, options="--normalize cosine --checkpoint-contributions"
    ),
}

NORMALISED = {
    "width-cosine": Case(model="width", tests=FEW, options="--normalize cosine"),
    "width-relatif-many-tests": Case(model="width", tests=MANY, options="--normalize relatif"),
    "width-one-to-all-cosine": Case(model="width", tests=FEW, options="--normalize cosine --loss one-to-all"),
    "height-slcwa-cosine": Case(model="height", tests=FEW, options="--normalize cosine --loss slcwa --num-negatives 2"),
    "width-cosine-contrast": Case(model="width", tests=FEW, options="--normalize cosine --contrast virus"),
}

ADAM = {
    "width-adam": Case(model="width", tests=FEW, options="--preconditioner adam"),
    "width-adam-many-tests": Case(model="width", tests=MANY, options="--preconditioner adam"),
    "width-adam-all-parameters": Case(model="width", tests=FEW, options="--preconditioner adam --parameters '*'"),
    "width-adam-one-to-all": Case(model="width", tests=FEW, options="--preconditioner adam --loss one-to-all"),
    "height-adam-slcwa-contrast": Case(
        model="height", tests=FEW, options="--preconditioner adam --loss slcwa --contrast virus"
    ),
    "width-adam-cosine-checkpoints": Case(
        model="width-epochs", tests=FEW, options="--preconditioner adam --normalize cosine --checkpoint-contributions"
    ),
    "width-adam-slcwa-cosine": Case(
        model="width", tests=FEW, options="--preconditioner adam --loss slcwa --normalize cosine"
    ),
    "height-adam-one-to-all-relatif": Case(
        model="height", tests=FEW, options="--preconditioner adam --loss one-to-all --normalize relatif"
    ),
    "height-adam-self-one-to-all": Case(model="height", tests=0, options="--preconditioner adam --loss one-to-all"),
    "height-adam-self": Case(model="height-epochs", tests=0, options="--preconditioner adam"),
}

SELF = {
    "width-self": Case(model="width", tests=0),
    "height-self-one-to-all": Case(model="height", tests=0, options="--loss one-to-all"),
    "width-self-slcwa": Case(model="width", tests=0, options="--loss slcwa --num-negatives 2"),
    "width-self-checkpoints-saved": Case(
        model="width-epochs",
        tests=0,
        options="--group-by relation --save-scores {output}/scores.zarr --checkpoint-contributions",
    ),
}

KEPT = {
    "width-groups": Case(
        model="width", tests=FEW, options="--group-by relation --group-by head --group-by tail --batch-size 300"
    ),
    "width-groups-of-a-file-many-tests": Case(
        model="width", tests=MANY, options="--group-by {folder}/sources.tsv --rank-by proponents"
    ),
    "height-groups-cosine": Case(model="height", tests=FEW, options="--group-by relation --normalize cosine"),
    "width-saved-scores": Case(model="width", tests=FEW, options="--save-scores {output}/scores.zarr"),
    "width-saved-scores-many-tests": Case(
        model="width", tests=MANY, options="--save-scores {output}/scores.zarr --batch-size 512"
    ),
    "width-saved-scores-one-to-all": Case(
        model="width", tests=FEW, options="--save-scores {output}/scores.zarr --loss one-to-all --batch-size 1000"
    ),
}

WORKERS = {
    "two-workers-width": Case(
        model="width-epochs",
        tests=FEW,
        options="--batch-size 256 --save-scores {output}/scores.zarr --checkpoint-contributions",
        place="workers",
    ),
    "two-workers-width-many-tests": Case(
        model="width", tests=MANY, options="--batch-size 256 --group-by head", place="workers"
    ),
    "two-workers-height-self": Case(model="height", tests=0, options="--batch-size 256", place="workers"),
    "two-workers-adam-cosine": Case(
        model="width",
        tests=FEW,
        options="--batch-size 512 --preconditioner adam --normalize cosine",
        place="workers",
    ),
    "two-workers-any-model": Case(
        model="own", tests=FEW, options="--batch-size 512 --loss slcwa --group-by relation", place="workers"
    ),
    "two-local-workers": Case(model="width", tests=FEW, options="--batch-size 256 --contrast virus", place="local"),
}

ANY_MODEL = {
    "rotate": Case(model="RotatE", tests=FEW),
    "rotate-slcwa": Case(model="RotatE", tests=FEW, options="--loss slcwa --num-negatives 3 --negatives-seed 5"),
    "distmult-many-tests": Case(model="DistMult", tests=60, options="--batch-size 700"),
    "complex-cosine": Case(model="ComplEx", tests=FEW, options="--normalize cosine"),
    "transe-self": Case(model="TransE", tests=0),
    "tucker": Case(model="TuckER", tests=FEW),
    "tucker-many-tests": Case(model="TuckER", tests=60),
    "tucker-adam": Case(model="TuckER", tests=FEW, options="--preconditioner adam"),
    "tucker-float64-contrast": Case(model="TuckER", tests=FEW, options="--precision float64 --contrast virus"),
    "tucker-core-only": Case(model="TuckER", tests=FEW, options="--parameters '*core_tensor'"),
    "distmult-adam-self": Case(model="DistMult", tests=0, options="--preconditioner adam"),
    "own-self": Case(model="own", tests=0),
    "own-adam-self-slcwa": Case(model="own-epochs", tests=0, options="--preconditioner adam --loss slcwa"),
    "own-checkpoints": Case(model="own-epochs", tests=FEW, options="--checkpoint-contributions"),
    "own-groups-saved": Case(
        model="own", tests=FEW, options="--group-by head --save-scores {output}/scores.zarr --batch-size 512"
    ),
    "own-score": Case(model="own", tests=FEW, options="--explain score"),
    "own-relatif-adam-slcwa": Case(
        model="own-epochs", tests=FEW, options="--normalize relatif --preconditioner adam --loss slcwa"
    ),
    "conve-without-batch-norm": Case(model="pickled-other-conve", tests=FEW, options="--trust-pickle"),
}

CASES: Mapping[str, Case] = MappingProxyType(
    CONVE
    | PARAMETERS
    | PRECISION
    | LOSSES
    | CHECKPOINTS
    | NORMALISED
    | ADAM
    | SELF
    | KEPT
    | WORKERS
    | {f"any-model-{name}": case for name, case in ANY_MODEL.items()}
)
