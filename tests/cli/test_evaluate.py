"""`tracin-dask evaluate`: compares results of runs with known explanations, in lists and among all influences."""

import json
import shutil

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import zarr
from click.testing import CliRunner
from scipy import stats

from tracin_dask import open_store, read_result
from tracin_dask.cli.actions.counted_scores import _Counter
from tracin_dask.cli.actions.known_in_graph import Neighbours
from tracin_dask.cli.main import group
from tracin_dask.errors import ConfigError, ResultError, ScoresError, TruthError

TESTS = (5, 11, 23)
"""Lines of the training file whose triples are explained."""
TRUE_LINES = (7, 30, 31, 200, 599)
"""Lines whose triples the user's own truth names."""


def label(number):
    return f"CHEBI:{number * 7}"


def relation(number):
    return f"predicate:{(number + 2) % 4}"


@pytest.fixture(scope="module")
def made(project, tmp_path_factory):
    """Run once: saved influences, exact ranks of the user's triples, and files of known explanations."""
    folder = tmp_path_factory.mktemp("evaluate")
    triples = [f"{label(h)}\t{relation(r)}\t{label(t)}" for h, r, t in project.lines.tolist()]
    (folder / "test.txt").write_text("".join(f"{triples[line]}\n" for line in TESTS))
    (folder / "true.txt").write_text("".join(f"{triples[line]}\n" for line in TRUE_LINES))
    pairs = [project.lines[line][[0, 2]].tolist() for line in TESTS]
    rows = [f'{label(head)},{label(tail)},"[{label(between)}]",P' for head, tail in pairs for between in (1, 2, 3)]
    (folder / "paths.csv").write_text("\n".join(["Drug,Disease,Intermediates,drugmechdb_path_id", *rows]) + "\n")
    edges = [dict(zip(("subject", "predicate", "object"), triples[line].split("\t"), strict=True)) for line in (50, 60)]
    edges.append({"subject": "X", "predicate": "none", "object": "Y"})
    (folder / "edges.jsonl").write_text("".join(json.dumps(edge) + "\n" for edge in edges))
    maps = ["--entity-to-id", project.folder / "node_dict.txt", "--relation-to-id", project.folder / "rel_dict.txt"]
    graph = ["--train", folder / "graph.zarr", "--test", folder / "test.txt", "--threads-per-worker", "1"]
    saved = ["--output-dir", folder / "why", "--save-scores", folder / "scores.zarr", "--rank-of", folder / "true.txt"]
    commands = [
        ["ingest", project.folder / "train.txt", "--output", folder / "graph.zarr", *maps],
        ["run", "--model-path", project.folder / "model.pt", *graph, *saved, "--top-k", "40"],
    ]
    for words in commands:
        done = CliRunner().invoke(group, list(map(str, words)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def evaluate(made, tool, tmp_path):
    """Evaluate the run; give what was printed and the JSON."""

    def command(*words, path=None):
        out = tmp_path / "out"
        done = tool("evaluate", path or made / "why", *words, "--output-dir", out, "--permutations", 200)
        assert done.exit_code == 0, done.output
        return done.output, json.loads((out / "evaluation.json").read_text())

    return command


def rows_of(contents, column, ranking):
    return [row for row in contents["per_test_triple"] if (row["column"], row["ranking"]) == (column, ranking)]


def everything(made):
    return ["--train", made / "graph.zarr", "--saved-scores", made / "scores.zarr"]


def test_exact_ranks_from_saved_influences_are_those_of_rank_of(made, evaluate):
    _, contents = evaluate("--truth", made / "true.txt", *everything(made))
    listed, counted = rows_of(contents, "is_true", "rank_of"), rows_of(contents, "is_true", "all")
    assert len(listed) == len(counted) == 3
    result = read_result(made / "why")
    for row, other, ranks in zip(listed, counted, result.ranks.rank, strict=True):
        assert row["num_true"] == row["num_known"] == other["num_true"] == len(ranks) >= len(TRUE_LINES)
        assert row["num_ranked"] == other["num_ranked"] == 600
        for name in ("first_rank", "average_precision", "reciprocal_rank", "coverage", "permutation_p", "hits_at_40"):
            assert row["numbers"][name] == other["numbers"][name], name
        assert other["numbers"]["first_rank"] == ranks.min()
        assert row["numbers"]["auc"] == pytest.approx(other["numbers"]["auc"], abs=1e-9)


@pytest.mark.parametrize("order", ["absolute", "signed"])
@pytest.mark.parametrize("hops", [None, 1])
def test_measures_among_all_influences_are_those_of_the_sorted_array(made, evaluate, project, order, hops):
    words = [] if hops is None else ["--within-hops", hops]
    _, contents = evaluate("--truth", made / "true.txt", *everything(made), "--order", order, *words)
    name = "all" if hops is None else "all_within_1_hops"
    scores = zarr.open_group(made / "scores.zarr", mode="r")
    lines, known = scores["train_index"][:], {tuple(project.lines[line]) for line in TRUE_LINES}
    triples = project.lines[lines]
    for test, row in enumerate(rows_of(contents, "is_true", name)):
        chosen = np.ones(600, bool)
        if hops:
            ends = project.lines[TESTS[test]][[0, 2]]
            chosen = np.isin(triples[:, 0], ends) | np.isin(triples[:, 2], ends)
        is_true = np.array([tuple(triple) in known for triple in triples[chosen]])
        influence = scores["influence"][test][chosen].astype(float)
        assert (row["num_ranked"], row["num_true"]) == (chosen.sum(), is_true.sum())
        values = {"influence": influence, "size": np.abs(influence)}
        cost = -values["size" if order == "absolute" else "influence"]
        ranks = np.flatnonzero(is_true[np.lexsort((lines[chosen], cost))]) + 1
        numbers = row["numbers"]
        assert numbers["first_rank"] == (ranks[0] if len(ranks) else None)
        if len(ranks) < 2:
            assert numbers["u_size"] is None
            continue
        assert numbers["average_precision"] == pytest.approx((np.arange(1, len(ranks) + 1) / ranks).mean())
        for kind, value in values.items():
            true, others = value[is_true], value[~is_true]
            whitney = stats.mannwhitneyu(true, others, method="asymptotic")
            smirnov = stats.ks_2samp(true, others, method="asymp")
            expected = {"u": whitney.statistic, "u_p": whitney.pvalue, "ks": smirnov.statistic, "ks_p": smirnov.pvalue}
            expected |= {"mean_rank_true": stats.rankdata(-value)[is_true].mean()}
            expected |= {"mean_rank_others": stats.rankdata(-value)[~is_true].mean()}
            found = {key: numbers[f"{key}_{kind}"] for key in expected}
            assert found.pop("u_p") == pytest.approx(
                expected.pop("u_p"), rel=1e-3
            )  # ties of duplicates are not counted
            assert found == pytest.approx(expected)
        area = numbers["u_size" if order == "absolute" else "u_influence"] / (is_true.sum() * (~is_true).sum())
        assert numbers["auc"] == pytest.approx(area)


@pytest.mark.parametrize("number", [1, 2, 30])
def test_counts_by_block_are_those_of_all_at_once(number):
    generator = np.random.default_rng(number)
    values, lines = generator.normal(size=200).round(1), generator.permutation(200)
    chosen = generator.choice(200, number, replace=False)
    counter = _Counter(lines=lines[chosen], values=values[chosen])
    for start in range(0, 200, 37):
        counter.add(values[start : start + 37], lines[start : start + 37])
    same = values == values[chosen][:, None]
    assert counter.larger.tolist() == (values > values[chosen][:, None]).sum(axis=1).tolist()
    assert counter.equal.tolist() == same.sum(axis=1).tolist()
    assert counter.earlier.tolist() == (same & (lines < lines[chosen][:, None])).sum(axis=1).tolist()


def test_many_equal_influences_share_their_ranks(made, tool, project, tmp_path):
    """With the rows of entities alone, most influences are exactly 0."""
    run = ["run", "--model-path", project.folder / "model.pt", "--train", made / "graph.zarr", "--test"]
    run += [made / "test.txt", "--parameters", "entity_embeddings.*", "--save-scores", tmp_path / "scores.zarr"]
    run += ["--output-dir", tmp_path / "why", "--rank-of", made / "true.txt", "--threads-per-worker", "1"]
    assert tool(*run).exit_code == 0
    words = ["--train", made / "graph.zarr", "--saved-scores", tmp_path / "scores.zarr", "--truth", made / "true.txt"]
    assert tool("evaluate", tmp_path / "why", *words, "--permutations", 100).exit_code == 0
    contents = json.loads((tmp_path / "why" / "evaluation" / "evaluation.json").read_text())
    scores, known = zarr.open_group(tmp_path / "scores.zarr", mode="r"), {tuple(project.lines[n]) for n in TRUE_LINES}
    lines = scores["train_index"][:]
    is_true = np.array([tuple(triple) in known for triple in project.lines[lines]])
    assert (scores["influence"][:] == 0).mean() > 0.5
    pairs = zip(rows_of(contents, "is_true", "all"), rows_of(contents, "is_true", "rank_of"), strict=True)
    for test, (counted, listed) in enumerate(pairs):
        size = np.abs(scores["influence"][test])
        whitney = stats.mannwhitneyu(size[is_true], size[~is_true], method="asymptotic")
        assert counted["numbers"]["u_size"] == whitney.statistic
        assert counted["numbers"]["u_p_size"] == pytest.approx(whitney.pvalue, rel=1e-3)
        assert counted["numbers"]["average_precision"] == listed["numbers"]["average_precision"]


def test_a_hop_leads_to_the_triples_of_head_and_tail_and_the_next_to_theirs(made, project):
    store = open_store(made / "graph.zarr")
    head, tail = project.lines[5][[0, 2]].tolist()
    near = {head, tail}
    for hops in (1, 2, 3):
        found = Neighbours(store=store, hops=hops).near([(head, 0, tail)])
        assert set(np.flatnonzero(found).tolist()) == near
        touching = [set(triple[[0, 2]].tolist()) for triple in project.lines]
        near = near.union(*(ends for ends in touching if ends & near))


def test_the_store_counts_what_lists_do_not_hold(made, evaluate, project):
    _, contents = evaluate("--paths", made / "paths.csv", "--train", made / "graph.zarr")
    for line, row in zip(TESTS, rows_of(contents, "in_path", "list"), strict=True):
        head, _, tail = project.lines[line].tolist()
        sets = [{head, tail, between} for between in (1, 2, 3)]
        known = [any({h, t} <= nodes for nodes in sets) for h, _, t in project.lines.tolist()]
        assert row["num_known"] == sum(known)
        assert row["numbers"]["coverage"] == row["num_true"] / sum(known)
    listed = rows_of(contents, "in_path", "list")
    assert contents["overall"][0]["num_known"] == sum(row["num_known"] for row in listed)


def test_files_and_screen_say_what_was_measured_and_how(made, evaluate, tmp_path):
    said, contents = evaluate("--edges", made / "edges.jsonl", "--paths", made / "paths.csv", "--seed", 4)
    assert max(map(len, said.splitlines()[:60])) <= 80
    stated = contents["unmatched"]["predicates of edges"]["stated"]
    assert (
        f"1 of {stated} predicates of edges are no label of a test triple or a listed training triple, e.g. none"
        in said
    )
    assert "3 of the 3 pairs with known paths are the ends of a test triple" in said
    assert "order: by |influence|, the largest first" in said
    assert contents["truth"]["edges"]["num_edges"] == 3
    assert len(contents["truth"]["paths"]["sha256"]) == 64
    assert (contents["seed"], contents["permutations"], contents["order"]["name"]) == (4, 200, "absolute")
    assert set(contents["definitions"]["columns"]) == {"is_ground_truth", "in_path", "on_specific_path"}
    assert contents["result"]["sha256"]
    table = pq.read_table(tmp_path / "out" / "per_test_triple.parquet")
    text = pa_csv.read_csv(tmp_path / "out" / "per_test_triple.csv")
    assert table.num_rows == text.num_rows == len(contents["per_test_triple"])
    assert table.column_names == text.column_names
    first = contents["per_test_triple"][0]
    assert table["average_precision"][0].as_py() == first["numbers"]["average_precision"]
    assert table["test_head_label"][0].as_py().startswith("CHEBI:")


def test_strict_columns_take_the_place_of_their_loose_twins(made, evaluate):
    _, contents = evaluate("--edges", made / "edges.jsonl", "--paths", made / "paths.csv", "--strict")
    assert {one["column"] for one in contents["overall"]} == {
        "is_ground_truth_strict",
        "in_path",
        "on_specific_path_strict",
    }


def test_the_same_seed_gives_the_same_numbers(made, evaluate):
    words = ["--truth", made / "true.txt", *everything(made)]
    first, again = (evaluate(*words)[1] for _ in range(2))
    assert first["overall"] == again["overall"]


def test_an_evaluation_is_replaced_but_no_other_file(made, tool, tmp_path):
    words = ["evaluate", made / "why", "--truth", made / "true.txt", "--output-dir", tmp_path, "--permutations", 0]
    assert tool(*words).exit_code == 0
    assert tool(*words).exit_code == 0
    (tmp_path / "evaluation.json").write_text('{"mine": 1}')
    with pytest.raises(ResultError, match=r"evaluation\.json: is no evaluation of tracin-dask, and stays"):
        tool(*words)


def test_what_is_missing_or_of_another_run_is_refused(made, tool, project, tmp_path):
    with pytest.raises(ConfigError, match="give known explanations with --edges, --paths or --truth"):
        tool("evaluate", made / "why")
    truth = ["--truth", made / "true.txt"]
    with pytest.raises(ConfigError, match="--saved-scores needs --train"):
        tool("evaluate", made / "why", *truth, "--saved-scores", made / "scores.zarr")
    with pytest.raises(ConfigError, match="--within-hops needs --train"):
        tool("evaluate", made / "why", *truth, "--within-hops", 2)
    with pytest.raises(TruthError, match=r"test\.txt, line 1: .*expected a JSON object"):
        tool("evaluate", made / "why", "--edges", made / "test.txt")
    other = tmp_path / "other.json"
    run = ["run", *project.options(), "--test-triple", *project.test_ids, "--output", other]
    assert tool(*run).exit_code == 0
    with pytest.raises(ConfigError, match=r"scores\.zarr: is of another run than the result: other test triples"):
        tool("evaluate", other, *truth, *everything(made))
    with pytest.raises(ScoresError, match=r"graph\.zarr: holds no influences of such a run"):
        tool("evaluate", made / "why", *truth, "--train", made / "graph.zarr", "--saved-scores", made / "graph.zarr")
    (tmp_path / "few.txt").write_text("a\tr\tb\n")
    ingest = ["ingest", tmp_path / "few.txt", "--output", tmp_path / "few.zarr"]
    assert tool(*ingest).exit_code == 0
    with pytest.raises(ConfigError, match=r"few\.zarr: holds other training triples than those of the result"):
        tool("evaluate", made / "why", *truth, "--train", tmp_path / "few.zarr")


def test_a_file_has_its_evaluation_beside_it_and_self_influence_takes_edges(project, made, tool, tmp_path):
    path = tmp_path / "self.json"
    run = ["run", *project.options(), "--mode", "self", "--output", path, "--save-scores", tmp_path / "self.zarr"]
    assert tool(*run).exit_code == 0
    words = ["--train", made / "graph.zarr", "--saved-scores", tmp_path / "self.zarr", "--permutations", 50]
    assert tool("evaluate", path, "--edges", made / "edges.jsonl", *words).exit_code == 0
    contents = json.loads((tmp_path / "self.evaluation" / "evaluation.json").read_text())
    assert rows_of(contents, "is_ground_truth", "all")[0]["num_true"] >= 2
    with pytest.raises(ResultError, match="self-influence and has no test triples"):
        tool("evaluate", path, "--paths", made / "paths.csv")
    with pytest.raises(ConfigError, match="--within-hops counts from a test triple"):
        tool("evaluate", path, "--edges", made / "edges.jsonl", *words, "--within-hops", 1)


def test_missing_influences_are_refused(made, tool, tmp_path):
    shutil.copytree(made / "scores.zarr", tmp_path / "scores.zarr")
    shutil.rmtree(tmp_path / "scores.zarr" / "influence" / "c")
    words = ["--truth", made / "true.txt", "--train", made / "graph.zarr", "--saved-scores", tmp_path / "scores.zarr"]
    with pytest.raises(ScoresError, match=r"scores\.zarr: influences of rows 0 to 600 are missing"):
        tool("evaluate", made / "why", *words)


def test_a_result_that_does_not_say_how_it_ranks_is_refused(made, tool, tmp_path):
    shutil.copytree(made / "why", tmp_path / "why")
    for path in (tmp_path / "why").glob("*.json"):
        contents = json.loads(path.read_text())
        del contents["run"]["num_training_triples"]
        path.write_text(json.dumps(contents))
    with pytest.raises(ResultError, match=r"why: no result .* 'num_training_triples' is missing"):
        tool("evaluate", tmp_path / "why", "--truth", made / "true.txt")
