"""Rows in flight: groups of one job, order and interleaving, skip, interrupt and cancel, failures that stay alone."""

from app.schema.events import ModelLoading, RowAdvanced, RowDropped, RowFailed, RowFinished, RowPreviewed
from tests.engine.formula import formula_engine, image_plans, run_to_end


def submit(engine, *plans):
    for job in plans:
        for plan in job:
            engine.submit(plan)


def pictures(events):
    return {(event.job, event.image): event.rgb for event in events if isinstance(event, RowFinished)}


def run(*plans, **scheduling):
    engine, runner, _ = formula_engine(**scheduling)
    submit(engine, *plans)
    return run_to_end(engine), runner


def step_until(engine, happened):
    events = []
    for _ in range(100):
        events.extend(engine.step())
        if any(happened(event) for event in events):
            return events
    raise AssertionError("it never happened")


def test_a_picture_shows_what_the_formula_says():
    # CFG 1: the guided mean is the positive prompt's length / 100, and Euler's steps to sigma 0 end around it.
    events, _ = run(image_plans("j", prompt="x" * 40, cfg_scale=1, steps=20))
    (finished,) = [event for event in events if isinstance(event, RowFinished)]
    assert (finished.width, finished.height, finished.partial) == (32, 32, False)
    mean = sum(finished.rgb) / len(finished.rgb)
    assert abs(mean - 0.4 * 255) < 8


def test_progress_counts_every_model_call():
    events, _ = run(image_plans("j"))
    calls = [(event.call, event.calls, event.steps) for event in events if isinstance(event, RowAdvanced)]
    assert calls == [(1, 4, 4), (2, 4, 4), (3, 4, 4), (4, 4, 4)]


def test_the_model_is_announced_before_it_is_loaded():
    engine, _, loaded = formula_engine()
    submit(engine, image_plans("j"))
    assert engine.step() == [ModelLoading(("j",), "Loading a")]
    assert loaded == []
    engine.step()
    assert loaded == ["a"]


def test_images_of_a_batch_share_calls_and_batches_follow_one_another():
    _, runner = run(image_plans("j", batch_size=2, batch_count=2))
    assert [rows for kind, rows in runner.groups if kind == "Evaluate"] == [2] * 8


def test_a_picture_has_the_same_bytes_alone_and_beside_another_job():
    first = image_plans("one", prompt="a house", seed=7, batch_size=2, sampler="Euler a")
    alone, _ = run(first)
    beside, _ = run(first, image_plans("two", owner="bob", prompt="a boat at sea", steps=9, sampler="DPM++ SDE"))
    assert len(pictures(alone)) == 2
    assert {key: pictures(beside)[key] for key in pictures(alone)} == pictures(alone)


def test_jobs_of_two_owners_interleave_and_jobs_of_one_owner_follow():
    events, _ = run(image_plans("one"), image_plans("two"), image_plans("three", owner="bob"))
    order = [event.job for event in events if isinstance(event, RowAdvanced)]
    assert order.index("three") < order.index("two")
    assert order[: order.index("two")].count("one") == 4


def test_a_row_that_fails_fails_alone():
    events, _ = run(image_plans("bad", prompt="fail"), image_plans("good", owner="bob"))
    (failed,) = [event for event in events if isinstance(event, RowFailed)]
    assert (failed.job, failed.code) == ("bad", "unexpected_failure")
    assert "the formula has no answer" in failed.message
    assert ("good", 0) in pictures(events)


def test_a_model_that_cannot_be_loaded_fails_its_jobs_and_no_others():
    events, _ = run(image_plans("bad", checkpoint="broken"), image_plans("good", owner="bob"))
    assert [event.job for event in events if isinstance(event, RowFailed)] == ["bad"]
    assert ("good", 0) in pictures(events)


def test_skip_ends_the_picture_in_flight_with_what_it_has_and_goes_on():
    engine, _, _ = formula_engine()
    submit(engine, image_plans("j", batch_count=2))
    events = step_until(engine, lambda event: isinstance(event, RowAdvanced) and event.call == 2)
    engine.skip("j")
    events.extend(run_to_end(engine))
    assert [event.partial for event in events if isinstance(event, RowFinished)] == [True, False]


def test_interrupt_also_drops_what_has_not_begun():
    engine, _, _ = formula_engine()
    submit(engine, image_plans("j", batch_count=3))
    events = step_until(engine, lambda event: isinstance(event, RowAdvanced))
    engine.interrupt("j")
    events.extend(run_to_end(engine))
    assert [event.image for event in events if isinstance(event, RowFinished)] == [0]
    assert [event.image for event in events if isinstance(event, RowDropped)] == [1, 2]


def test_skip_before_there_is_anything_to_see_drops_the_picture():
    engine, _, _ = formula_engine()
    submit(engine, image_plans("j"))
    engine.step()
    engine.step()
    engine.skip("j")
    assert run_to_end(engine) == [RowDropped("j", 0)]


def test_cancel_drops_everything_of_that_job():
    engine, _, _ = formula_engine()
    submit(engine, image_plans("one", batch_count=2), image_plans("two", owner="bob"))
    for _ in range(6):
        engine.step()
    engine.cancel("one")
    events = run_to_end(engine)
    assert [event for event in events if isinstance(event, RowDropped)] == [RowDropped("one", 0), RowDropped("one", 1)]
    assert set(pictures(events)) == {("two", 0)}


def test_each_plan_ends_in_exactly_one_event():
    events, _ = run(image_plans("bad", prompt="fail", batch_count=2), image_plans("good", batch_size=3))
    ends = [(event.job, event.image) for event in events if isinstance(event, RowFinished | RowFailed | RowDropped)]
    assert sorted(ends) == [("bad", 0), ("bad", 1), ("good", 0), ("good", 1), ("good", 2)]


def test_thumbnails_are_made_for_watched_jobs_only():
    engine, _, _ = formula_engine()
    engine.watch({"two"})
    submit(engine, image_plans("one"), image_plans("two", owner="bob"))
    previews = [event for event in run_to_end(engine) if isinstance(event, RowPreviewed)]
    assert {event.job for event in previews} == {"two"}
    assert len(previews[0].rgb) == previews[0].width * previews[0].height * 3


def test_a_checkpoint_with_a_wrong_preview_table_is_drawn_without_previews(caplog):
    engine, _, _ = formula_engine()
    engine.watch({"j"})
    submit(engine, image_plans("j"))
    step_until(engine, lambda event: isinstance(event, ModelLoading))
    engine.step()
    engine._pipelines.kept(engine._pipelines.in_use).preview = ((0.0, 0.0, 0.0),)
    events = run_to_end(engine)
    assert [type(event) for event in events if not isinstance(event, RowAdvanced)] == [RowFinished]
    assert caplog.text.count("cannot be previewed") == 1


def test_two_jobs_with_two_checkpoints_each_get_theirs_without_needless_swaps():
    engine, _, loaded = formula_engine(patience=1000)
    submit(engine, image_plans("one", checkpoint="a"), image_plans("two", owner="bob", checkpoint="b"))
    events = run_to_end(engine)
    assert set(pictures(events)) == {("one", 0), ("two", 0)}
    assert loaded == ["a", "b"]


def test_a_job_for_another_model_does_not_wait_for_the_end_of_a_long_one():
    # One second passes at each look at the clock: the patience is over long before the first job is.
    ticks = iter(range(100_000))
    engine, _, _ = formula_engine(patience=5, clock=lambda: next(ticks))
    submit(engine, image_plans("long", batch_count=20), image_plans("short", owner="bob", checkpoint="b"))
    ended = [event.job for event in run_to_end(engine) if isinstance(event, RowFinished)]
    assert "short" in ended[:10]


def test_without_patience_rows_survive_the_swaps_of_their_models():
    swapping, _ = run(image_plans("one", checkpoint="a"), image_plans("two", owner="bob", checkpoint="b"), patience=0.0)
    calm, _ = run(image_plans("one", checkpoint="a"), image_plans("two", owner="bob", checkpoint="b"))
    assert pictures(swapping) == pictures(calm)


def test_before_each_group_its_rows_are_written_down():
    told = []
    engine, _, _ = formula_engine()
    engine._before_group = told.append
    submit(engine, image_plans("j", batch_size=2, steps=2))
    run_to_end(engine)
    assert told[0] == [("j", 0, 0), ("j", 1, 0)]
    assert told[-1] == [("j", 0, 4), ("j", 1, 4)]
