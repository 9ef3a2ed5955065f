"""Events that a run sends through Dask's scheduler; `client.get_events(TOPIC)` returns them.

Each is a dictionary with `event` and `run` (an id), and:

- start: `triples`, `tasks`, `resumed_triples`, `test_triples`
- rows: `group` and `task` (named by their first rows), `rows` that a worker scored since its last report of this task;
  Dask adds the `worker`
- best: `triples`, the strongest training triples so far of the first test triples
- end: `outcome`

The event `lists` is for the page alone; it has a topic of its own, LISTS_TOPIC, whose events the scheduler does not
keep. `word` says what the run ranks training triples for, such as "test triple", and `total` how many of these there
are. `lists` has the name of each of the first ones, `test`, and its `triples`: (influence, head, relation, tail), the
strongest first.
"""

TOPIC = "tracin-dask"
LISTS_TOPIC = f"{TOPIC}/lists"
SCORE_TASK = "score-rows-"
"""Prefix of the keys of scoring tasks, which are ("score-rows-RUN", first row, row after the last)."""
FINISHED = "finished"
PAGE = "tracin"
"""Path of the page on the dashboard."""


def progress_topic(run: str) -> str:
    """Name the topic that carries the progress of one run to its client."""
    return f"{TOPIC}-{run}"
