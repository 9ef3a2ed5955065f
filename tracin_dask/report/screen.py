"""What the terminal shows of a result: the tables of one answer, the list of all answers, how they were made."""

import json

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracin_dask.report.group_table import largest_groups
from tracin_dask.report.prediction_words import prediction_table, rank_word
from tracin_dask.report.rank_table import rank_table
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.specificity import described, specificity_of
from tracin_dask.report.table import influence_tables
from tracin_dask.visible import visible


def answer_tables(result: InfluenceResult, test_index: int = 0, *, rows: int = 10) -> RenderableType:
    """Show one answer: the prediction, proponents and opponents, listed ranks, the largest groups; `rows` of each."""
    prediction = prediction_table(result, test_index, rows=rows)
    parts = [] if prediction is None else [prediction]
    parts += [influence_tables(result, test_index, rows=rows)]
    parts += [rank_table(result.ranks, result.labels, test_index, rows=rows)] if result.ranks is not None else []
    parts += [largest_groups(result, test_index, rows=rows)] if result.groups else []
    parts += [
        Text(
            visible(f"{name}: {json.dumps(values[test_index], ensure_ascii=False)}"), no_wrap=True, overflow="ellipsis"
        )
        for name, values in result.kept.items()
    ]
    return Group(*parts)


def list_of_answers(result: InfluenceResult, *, rows: int = 10) -> RenderableType:
    """List test triples, or sets of them, by their index, with the largest influence on each."""
    number = len(result.rankings)
    what = "Test triples" if result.sets is None else "Sets of test triples"
    title = f"{what}: {number:,}" if number <= rows else f"{what}: the first {rows:,} of {number:,}"
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    table.add_column("index", justify="right")
    for column in ("head", "relation", "tail") if result.sets is None else ("set",):
        table.add_column(column, overflow="fold")
    ranks = None if result.predictions is None or result.sets is not None else result.predictions.tail_ranks
    if ranks is not None:
        table.add_column("tail rank", justify="right")
    table.add_column("largest", justify="right")
    for index in range(min(rows, number)):
        ranking = result.rankings[index]
        largest = f"{ranking.influence[0]:+.3e}" if len(ranking) else "none"
        rank = [] if ranks is None else [rank_word(ranks, index)]
        table.add_row(str(index), *map(Text, answer_words(result, index)), *rank, largest)
    return table


def scored(result: InfluenceResult) -> str:
    """Say how much work the result took."""
    done, seconds, number = result.run["num_training_triples"], result.run["seconds"], len(result.rankings)
    tests = f" against {number:,} {answer_word(result)}s" if number > 1 else ""
    return f"scored {done:,} training triples{tests} in {seconds:.1f} s"


def ranked(result: InfluenceResult) -> list[str]:
    """Say how many of the training triples were ranked, where options leave some out."""
    if result.num_ranked is None:
        return []
    least, most = int(result.num_ranked.min()), int(result.num_ranked.max())
    number = f"{most:,}" if least == most else f"between {least:,} and {most:,}"
    each = "" if least == most else f" for each {answer_word(result)}"
    lines = [f"ranked {number} of {result.run['num_training_triples']:,} training triples{each}"]
    empty = int((result.num_ranked == 0).sum())
    if empty:
        lines.append(f"{empty:,} of {len(result.rankings):,} lists are empty: {why_nothing_is_ranked(result)}")
    return lines


def audited(result: InfluenceResult) -> list[str]:
    """Say how well plain automatic differentiation agrees, where a run was audited."""
    audit = result.run.get("audit")
    if audit is None:
        return []
    why = f"; {audit['why_not_all']}" if "why_not_all" in audit else ""
    if audit["largest_deviation"] is None:
        return [f"audit: nothing could be compared with plain automatic differentiation{why}"]
    rows = "1 training triple" if audit["rows"] == 1 else f"{audit['rows']:,} training triples"
    number, word = audit["test_triples"], answer_word(result)
    on = "" if number == 0 else f" on {number:,} {word}{'' if number == 1 else 's'}"
    deviation = f"deviate by at most {audit['largest_deviation']:.0e} from plain automatic differentiation"
    return [f"audit: the influences of {rows}{on} {deviation} (allowed: {audit['limit']:.0e}){why}"]


def specific(result: InfluenceResult) -> list[str]:
    """Say what the lists of several test triples have in common."""
    found = specificity_of(result)
    return [] if found is None else described(found, both_sides=result.run["rank_by"] == "absolute")


def why_nothing_is_ranked(result: InfluenceResult) -> str:
    """Name the options that leave no training triple."""
    options = [f"--{name.replace('_', '-')}" for name in result.run["masks"]]
    return f"{' and '.join(options)} left no training triple to rank"


def made(result: InfluenceResult) -> str:
    """Say when the result was made, by which model and with which loss."""
    run = result.run
    files = [checkpoint["path"] for checkpoint in run["checkpoints"]]
    model = files[0] if len(files) == 1 else f"{len(files)} checkpoints, {files[0]} to {files[-1]}"
    return f"{run['started']}, tracin-dask {run['tracin_dask_version']}, loss {run['loss']}, {model}"


def answer_word(result: InfluenceResult) -> str:
    """Say what each ranking is about."""
    return "test triple" if result.sets is None else "answer"


def answer_words(result: InfluenceResult, test_index: int) -> tuple[str, ...]:
    """Name a set, or a test triple with the other tail that it was compared with."""
    if result.sets is not None:
        return (visible(result.sets.names[test_index]),)
    triple, other = result.question(test_index)
    head, relation, tail = result.labels.call(triple)
    return (head, relation, tail if other is None else f"{tail}, not {result.labels.call([*triple[:2], other])[2]}")
