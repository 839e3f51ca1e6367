"""Jobs: done once, tried again after a failure, measured anew after a change, fair in their order."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from tests.benchmarks import jobs as module
from tests.benchmarks.jobs import Job, find_result, load_results, order_jobs, run_in_process, run_jobs, write_json
from tests.benchmarks.make import make_result

JOB = Job("race", "atis", "fast", 0, "chain", {"preset": "fast"}, rows=(1, 2, 3))


class Fake:
    def __init__(self, *errors: str) -> None:
        self.errors, self.done = list(errors), []

    def __call__(self, job, out):
        self.done.append(job.name)
        error = self.errors.pop(0) if self.errors else ""
        return {"error": error} if error else make_result(job, 0.5)


def run(jobs, out, fake, **options):
    return run_jobs(jobs, out, say=lambda line: None, run=fake, **options)


def test_what_is_there_is_skipped(tmp_path):
    both = [JOB, replace(JOB, seed=1)]
    first, second = Fake(), Fake()
    assert run(both[:1], tmp_path, first)
    assert run(both, tmp_path, second)
    assert (first.done, second.done) == (["race/atis/fast/0"], ["race/atis/fast/1"])
    assert len(load_results(tmp_path)) == 2


def test_failures_are_tried_again(tmp_path):
    assert run([JOB], tmp_path, Fake("out of luck"))
    assert find_result(JOB, tmp_path) is None
    assert load_results(tmp_path)[0]["error"] == "out of luck"
    again = Fake()
    run([JOB], tmp_path, again)
    assert again.done
    assert find_result(JOB, tmp_path)["test"]


def test_a_changed_contender_is_measured_anew(tmp_path):
    run([JOB], tmp_path, Fake())
    for changed in (replace(JOB, settings={"preset": "balanced"}), replace(JOB, rows=None), replace(JOB, epochs=1)):
        assert find_result(changed, tmp_path) is None


def test_time_is_up(tmp_path):
    fake = Fake()
    assert not run([JOB], tmp_path, fake, minutes=-1)
    assert not fake.done


def test_an_interrupted_call_leaves_what_was_done(tmp_path):
    def interrupt(job, out):
        if job.seed:
            raise KeyboardInterrupt
        return make_result(job, 0.5)

    with pytest.raises(KeyboardInterrupt):
        run([JOB, replace(JOB, seed=1)], tmp_path, interrupt)
    rest = Fake()
    run([JOB, replace(JOB, seed=1)], tmp_path, rest)
    assert rest.done == ["race/atis/fast/1"]


def test_an_interrupt_ends_the_running_process(tmp_path, monkeypatch):
    started = []

    class Process(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__(["sleep", "60"], **options)
            started.append(self)

        def wait(self, timeout=None):
            if len(started) == 1 and self.returncode is None and not hasattr(self, "asked"):
                self.asked = True
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(module.subprocess, "Popen", Process)
    with pytest.raises(KeyboardInterrupt):
        run_in_process(JOB, tmp_path)
    assert started[0].returncode is not None


def test_a_process_that_breaks_says_why(tmp_path):
    result = run_in_process(replace(JOB, runner="nobody"), tmp_path)
    assert "nobody" in result["error"]
    assert not list((tmp_path / "work").glob("*/job.json"))


def test_results_are_whole_or_not_there(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"x": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert json.loads(path.read_text()) == {"x": 1}


def test_contenders_take_turns():
    names = [Job("race", "atis", name, seed, "chain") for name in "abc" for seed in (0, 1)]
    assert [(job.seed, job.contender) for job in order_jobs(names)] == [
        (0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a"),
    ]  # fmt: skip
