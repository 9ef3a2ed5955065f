"""A plan cuts the rows without gaps, chooses the batch by memory, and refuses what cannot fit."""

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import MemoryLimitError
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.cost import Keys, MultiplyAdds, Workload
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy
from tracin_dask.influence.reductions import group_totals
from tracin_dask.influence.reductions.group_totals import sums_bytes, totals_bytes
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.resources import Resources
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.inputs.groupings import PartGroups
from tracin_dask.runs.plan.memory import OUTCOMES_BESIDE, MemoryEstimate
from tracin_dask.runs.plan.plan import (
    LAST_TASKS,
    MERGE_FAN_IN,
    MOST_GROUPS,
    MOST_TASKS,
    MOST_TASKS_PER_SECOND,
    Plan,
    make_plan,
)
from tracin_dask.runs.reductions import reductions_of, top_of

FB15K = ConvEConfig(num_entities=14_541, num_relations=237)
GIB = 2**30


def plan_of(num_triples: int, batch_size: int, *, batches_per_task: int = 1, tasks_per_group: int = 1) -> Plan:
    return Plan(
        modes=Modes(),
        num_triples=num_triples,
        num_tests=1,
        batch_size=batch_size,
        task_rows=batches_per_task * batch_size,
        tasks_per_group=tasks_per_group,
        resources=Resources(memory_bytes=GIB),
        memory=MemoryEstimate(process=1, model=1, test_triples=1, batch=1, rows=1, kept={}),
        multiply_adds=MultiplyAdds(forward=1, lower=1, products=1),
        stages={},
    )


def planned(
    *,
    model: ConvEConfig = FB15K,
    num_triples: int = 272_115,
    num_tests: int = 16,
    gib: float = 2,
    num_workers: int = 1,
    num_checkpoints: int = 1,
    device_gib: float | None = None,
    num_groups: int = 0,
    keys: Callable[[int], Keys] | None = None,
    **options,
) -> Plan:
    config = RunConfig.of(**options)
    groupings = (PartGroups(part="head", num_groups=num_groups),) if num_groups else ()
    work = Workload(
        num_triples=num_triples,
        num_heads=num_triples // 20,
        num_pairs=num_triples // 2,
        num_tests=num_tests,
        num_checkpoints=num_checkpoints,
        num_columns=num_tests,
        most_keys=None if keys is None else lambda: keys,
        num_negatives=getattr(options.get("loss"), "num_negatives", 0),
        reductions=reductions_of(config, top=top_of(config.ranking, 0), groupings=groupings),
    )
    device_bytes = None if device_gib is None else int(device_gib * GIB)
    resources = Resources(
        num_workers=num_workers, threads_per_worker=1, memory_bytes=int(gib * GIB), device_bytes=device_bytes
    )
    return make_plan(model, work, config, resources)


@st.composite
def plans_and_done(draw) -> tuple[Plan, list[tuple[int, int]]]:
    """Draw a plan, and ranges on its grid of batches that are done, in any order."""
    batch_size, num_triples = draw(st.integers(1, 9)), draw(st.integers(1, 300))
    per_task, per_group = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    grid = [*range(0, num_triples, batch_size), num_triples]
    cuts = sorted(draw(st.sets(st.sampled_from(grid))))
    ranges = [pair for pair in itertools.pairwise(cuts) if draw(st.booleans())]
    plan = plan_of(num_triples, batch_size, batches_per_task=per_task, tasks_per_group=per_group)
    return plan, draw(st.permutations(ranges))


@given(plans_and_done())
def test_groups_cover_exactly_the_rows_that_are_not_done(case):
    plan, done = case
    tasks = [task for group in plan.groups(done) for task in group]
    rows = sorted(row for start, stop in [*tasks, *done] for row in range(start, stop))
    assert rows == list(range(plan.num_triples))


@given(plans_and_done())
def test_tasks_start_on_the_grid_of_batches_and_are_no_longer_than_planned(case):
    plan, done = case
    for start, stop in (task for group in plan.groups(done) for task in group):
        assert start % plan.batch_size == 0
        assert 0 < stop - start <= plan.task_rows
        assert stop % plan.batch_size == 0 or stop == plan.num_triples


@given(plans_and_done())
def test_a_group_is_one_range_without_gaps(case):
    plan, done = case
    for group in plan.groups(done):
        assert 1 <= len(group) <= plan.tasks_per_group
        assert all(left[1] == right[0] for left, right in itertools.pairwise(group))


@given(plans_and_done())
def test_a_plan_counts_the_tasks_that_it_hands_out(case):
    plan, _ = case
    assert sum(map(len, plan.groups())) == plan.num_tasks


@given(
    st.integers(1, 50_000_000),
    st.integers(1, 512),
    st.integers(1, 1000),
)
def test_every_plan_has_few_enough_tasks_and_groups_of_whole_batches(num_triples, batch_size, num_workers):
    plan = planned(num_triples=num_triples, num_tests=1, num_workers=num_workers, batch_size=batch_size)
    assert plan.task_rows % batch_size == 0
    assert plan.num_tasks <= MOST_TASKS + 2 * num_workers * (1 + math.log(LAST_TASKS))
    assert -(-plan.num_tasks // plan.tasks_per_group) <= MOST_GROUPS


def test_a_large_job_has_work_for_every_worker():
    assert (
        planned(num_workers=8, num_triples=600_000).num_tasks >= 3 * 8
    )  # four for each, before whole batches are made of them


def unevenness(plan: Plan) -> float:
    """Let workers whose speeds differ by up to a fifth each take the next task when free: the last end / the ideal."""
    num_workers = plan.resources.num_workers
    speeds = [0.9 + 0.2 * number / num_workers for number in range(num_workers)]
    free = [(0.0, speed) for speed in speeds]
    for start, stop in (task for group in plan.groups() for task in group):
        at, speed = heapq.heappop(free)
        heapq.heappush(free, (at + (stop - start) / speed, speed))
    return max(free)[0] * sum(speeds) / plan.num_triples


@pytest.mark.parametrize("num_workers", [2, 3, 7, 8, 50, 200])
def test_workers_of_a_run_of_half_a_minute_end_at_about_the_same_time(num_workers):
    one = planned(num_triples=10_000_000)
    num_triples = int(one.num_triples * 30 * num_workers / one.worker_seconds)
    assert unevenness(planned(num_triples=num_triples, num_workers=num_workers)) < 1.02


def test_one_worker_gets_tasks_of_one_size():
    plan = planned(num_triples=10_000_000)
    sizes = {stop - start for group in plan.groups() for start, stop in group}
    assert len(sizes) <= 2  # the last may end where the rows end


@pytest.mark.parametrize("num_workers", [1, 4])
def test_rows_of_which_none_is_scored_are_cut_into_tasks(num_workers):
    plan = replace(
        planned(num_triples=1_000_000, num_workers=num_workers),
        num_scored=0,
        multiply_adds=MultiplyAdds(forward=0, lower=0, products=0),
    )
    tasks = [task for group in plan.groups() for task in group]
    assert (tasks[0][0], tasks[-1][1]) == (0, 1_000_000)


@pytest.mark.parametrize("num_workers", [10, 100, 1000])
def test_no_more_tasks_end_in_a_second_than_a_scheduler_can_hand_out(num_workers):
    plan = planned(num_triples=1_000_000_000, num_workers=num_workers)
    seconds = plan.last_task_rows * plan.worker_seconds / plan.num_triples
    assert num_workers / seconds <= MOST_TASKS_PER_SECOND
    assert plan.last_task_rows < plan.task_rows or num_workers == 1000


def test_a_given_batch_size_is_kept():
    assert planned(batch_size=37).batch_size == 37


def test_less_memory_gives_a_smaller_automatic_batch_size():
    roomy = planned(gib=4)
    tight = planned(gib=(roomy.memory.total - 1) / GIB)
    assert tight.batch_size < roomy.batch_size
    assert tight.memory.total <= tight.resources.memory_bytes


def test_an_automatic_batch_takes_no_more_than_a_quarter_of_the_memory():
    wide = replace(FB15K, output_channels=256)
    roomy, tight = (planned(model=wide, gib=gib, num_tests=100) for gib in (4, 1))
    assert tight.batch_size < roomy.batch_size
    assert tight.memory.batch <= GIB / 4 < roomy.memory.batch <= GIB


def test_a_rounded_copy_of_the_projection_is_planned():
    full, rounded = (planned(precision=name).memory.model for name in ("float32", "bf16-emulated"))
    assert rounded - full == 4 * FB15K.embedding_dim * FB15K.num_features


def shared(rows: int) -> Keys:
    """Share heads and pairs as FB15k-237's rows do."""
    return Keys(rows=rows, heads=rows // 19, pairs=rows // 3)


def test_a_gpu_gets_batches_that_the_memory_of_the_process_does_not_hold():
    tests = {"num_triples": 2_000_000, "num_tests": 16, "gib": 2}
    small, large = (planned(device_gib=gib, keys=shared, **tests) for gib in (8, 80))
    assert planned(**tests).batch_size <= 8192 < small.batch_size < large.batch_size
    assert large.memory.batch > 2 * GIB > large.memory.total  # on the host there are rows, not batches
    assert large.memory.on_device <= 80 * GIB
    with pytest.raises(MemoryLimitError, match=r"MiB of each GPU with batches of 262144.* a smaller --batch-size"):
        planned(device_gib=1, batch_size=262_144, keys=shared, **tests)


def test_gradient_checkpointing_plans_fewer_bytes_for_a_batch():
    kept, computed_again = (planned(batch_size=256, gradient_checkpointing=flag).memory for flag in (False, True))
    assert computed_again.batch < kept.batch
    assert replace(computed_again, batch=kept.batch) == kept


def test_more_test_triples_need_more_bytes_and_multiply_adds():
    few, many = planned(num_tests=100), planned(num_tests=200)
    assert few.memory.total < many.memory.total
    assert few.multiply_adds.products < many.multiply_adds.products
    assert few.worker_seconds < many.worker_seconds


def test_a_run_that_cannot_fit_is_refused_with_both_numbers_and_a_remedy():
    numbers = r"needs about [\d,]+ MiB per worker with batches of 16384, but a worker may take 1,024 MiB"
    with pytest.raises(MemoryLimitError, match=f"{numbers};.* what helps most is a smaller --batch-size"):
        planned(gib=1, batch_size=16384)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"gib": 0.25}, r"helps most is more memory per worker \(fewer --workers\)"),
        ({"gib": 1, "num_tests": 50_000, "batch_size": 1}, "helps most is fewer test triples at a time"),
        ({"gib": 1, "top_k": 1_000_000, "batch_size": 1}, "helps most is a smaller --top-k"),
    ],
)
def test_the_suggested_remedy_concerns_the_largest_part_of_memory(options, remedy):
    with pytest.raises(MemoryLimitError, match=remedy):
        planned(**options)


@pytest.mark.parametrize("num_tests", [0, 16, 256])
def test_every_checkpoint_counts_and_their_sum_takes_one_more_block(num_tests):
    one, four = (planned(num_checkpoints=n, batch_size=512, num_tests=num_tests, gib=8) for n in (1, 4))
    assert four.memory.model == 4 * one.memory.model
    assert four.memory.test_triples == 4 * one.memory.test_triples
    assert four.memory.batch == one.memory.batch + 512 * max(1, num_tests) * 4
    assert four.multiply_adds == one.multiply_adds.times(4)
    assert four.multiply_adds.total == 4 * one.multiply_adds.total
    assert four.worker_seconds == pytest.approx(4 * one.worker_seconds)
    assert (four.modes, four.memory.kept, four.memory.rows) == (one.modes, one.memory.kept, one.memory.rows)


def test_more_checkpoints_leave_less_for_a_batch():
    few, many = (planned(num_checkpoints=n, num_tests=256, gib=4) for n in (2, 15))
    assert many.batch_size < few.batch_size
    assert many.memory.total <= 4 * GIB


def test_too_many_checkpoints_are_refused_with_both_numbers_and_that_remedy():
    numbers = r"needs about [\d,]+ MiB per worker .* may take 2,048 MiB; .*the 90 checkpoints [\d,]+, the test"
    with pytest.raises(MemoryLimitError, match=rf"{numbers}.* helps most is fewer checkpoints \(--model-path\)"):
        planned(num_checkpoints=90)


def test_too_many_checkpoints_for_a_gpu_are_refused_too():
    numbers = r"needs about [\d,]+ MiB of each GPU .* may take 1,024 MiB; .* and the 30 checkpoints [\d,]+ MiB"
    with pytest.raises(MemoryLimitError, match=rf"{numbers}; what helps most is fewer checkpoints \(--model-path\)"):
        planned(num_checkpoints=30, gib=8, device_gib=1)


GROUPS_HELP = r"helps most is fewer groups \(--group-by\), or fewer test triples at a time"


def test_too_many_groups_are_refused():
    with pytest.raises(MemoryLimitError, match=rf"the groups 25,\d{{3}} and a batch \d+ MiB; what {GROUPS_HELP}"):
        planned(num_tests=256, num_groups=500_000)


def test_too_many_groups_for_a_gpu_are_refused_too():
    with pytest.raises(MemoryLimitError, match=rf"of each GPU .*, the groups 7,\d{{3}} and the model .* {GROUPS_HELP}"):
        planned(num_tests=256, num_groups=500_000, gib=64, device_gib=4)


def test_groups_that_fit_leave_the_batch_less_room():
    assert planned(num_groups=400_000, gib=2).batch_size < planned(gib=2).batch_size


def test_outcomes_that_are_merged_at_a_time_count_once_groups_have_many_tasks():
    few, many = (planned(num_triples=n, num_groups=1000, num_workers=4) for n in (10**6, 10**9))
    assert few.tasks_per_group == 1
    assert many.tasks_per_group > MERGE_FAN_IN
    for plan, outcomes in ((few, 1), (many, MERGE_FAN_IN)):
        waiting = plan.memory.kept[group_totals.NAME].total - sums_bytes(1000, 16)
        assert waiting == (outcomes + OUTCOMES_BESIDE) * totals_bytes(1000, 16)


@settings(max_examples=30)
@given(st.integers(1, 10**9), st.integers(1, 300))
def test_no_more_outcomes_are_merged_than_were_counted(num_triples, num_workers):
    plan = planned(num_triples=num_triples, num_groups=1, num_workers=num_workers)
    waiting = plan.memory.kept[group_totals.NAME].total - sums_bytes(1, 16)
    counted = waiting // totals_bytes(1, 16) - OUTCOMES_BESIDE
    assert min(MERGE_FAN_IN, plan.tasks_per_group) <= counted


def test_a_run_that_cannot_fit_raises_a_memory_error():
    with pytest.raises(MemoryError, match="MiB"):
        planned(gib=0.1)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SLCWA(num_negatives=4)], ids=lambda loss: loss.name)
def test_norms_of_training_triples_are_planned_for_every_checkpoint(loss):
    options = {"loss": loss, "batch_size": 16, "num_tests": 1}
    plain, once, twice = (
        planned(**options, normalize=way, num_checkpoints=number)
        for way, number in (("none", 1), ("cosine", 1), ("cosine", 2))
    )
    assert once.multiply_adds.total > 1.5 * plain.multiply_adds.total
    assert twice.multiply_adds.total == 2 * once.multiply_adds.total
    assert once.worker_seconds > plain.worker_seconds
    assert once.memory.batch > 1.5 * plain.memory.batch
