"""What a search tries next, and which of its runs are not worth going on with: Optuna's samplers and pruners.

There is no study on disk: it is made anew from the trials whenever it is asked, so that the runs stay the only truth
and a crash can leave nothing twice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chain_core.errors import ConfigError
from chain_core.services.sweeps.axes import Axis, count_combinations, list_combinations
from chain_core.services.sweeps.sweep import MOST_RUNS, Sweep, Trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

TRIES = 8
"""How often the sampler is asked again where it gives a setting that was tried already."""
STARTUP = 8
"""Trials that are drawn at random, before the sampler has anything to learn from."""
_STATES = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def suggest(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The next setting, none of those tried; None where nothing else is left. The same trials, the same answer."""
    from optuna.samplers import TPESampler

    tried = [dict(trial.params) for trial in trials]
    study = _build_study(sweep, trials)
    for attempt in range(TRIES):
        seed = random.Random(f"{sweep.seed}/{len(trials)}/{attempt}").randrange(2**31)
        study.sampler = TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)
        asked = study.ask(_build_distributions(sweep.axes))
        params = {axis.path: _read(axis, asked.params[axis.path]) for axis in sweep.axes}
        if params not in tried:
            return params
    return _draw_untried(sweep, tried)


def _draw_untried(sweep: Sweep, tried: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    try:
        if count_combinations(sweep.axes) > 100 * MOST_RUNS:
            return None
    except ConfigError:
        return None  # fractions: the sampler insists on one point
    left = [params for params in list_combinations(sweep.axes) if params not in tried]
    return random.Random(f"{sweep.seed}/{len(tried)}").choice(left) if left else None


def find_losers(sweep: Sweep, trials: Sequence[Trial]) -> list[int]:
    """Numbers of the running trials that the pruner ends, by their scores so far."""
    from optuna.trial import Trial as Asked
    from optuna.trial import TrialState

    if sweep.pruner == "none":
        return []
    study = _build_study(sweep, ())
    losers = []
    # Those that ended come first: they are what the others are held against.
    for trial in sorted((trial for trial in trials if trial.scores), key=lambda trial: not trial.ended):
        study.add_trial(_build_trial(sweep, trial, "RUNNING"))
        asked, lost = Asked(study, study.trials[-1]._trial_id), False
        for epoch, score in trial.scores:
            asked.report(score, epoch)
            lost = asked.should_prune()
        if trial.state == "finished":
            study.tell(asked, trial.score, state=TrialState.COMPLETE)
        elif trial.state == "running" and lost:
            losers.append(trial.number)
    return losers


def _build_study(sweep: Sweep, trials: Sequence[Trial]) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
        "none": optuna.pruners.NopPruner,
    }[sweep.pruner]()
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.add_trials(_build_trial(sweep, trial, _STATES.get(trial.state, "RUNNING")) for trial in trials)
    return study


def _build_trial(sweep: Sweep, trial: Trial, state: str) -> Any:
    from optuna.trial import TrialState, create_trial

    if state == "COMPLETE" and trial.score is None:
        state = "FAIL"
    distributions = _build_distributions(sweep.axes)
    return create_trial(
        state=TrialState[state],
        value=trial.score if state == "COMPLETE" else None,
        params={axis.path: _write(axis, trial.params[axis.path]) for axis in sweep.axes},
        distributions=distributions,
        intermediate_values=dict(trial.scores) if state in ("COMPLETE", "PRUNED") else None,
    )


def _build_distributions(axes: Sequence[Axis]) -> dict[str, BaseDistribution]:
    return {axis.path: _build_distribution(axis) for axis in axes}


def _build_distribution(axis: Axis) -> BaseDistribution:
    """Listed values by their places, as numbers where they are numbers in order: near ones then count as near."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not axis.values:
        assert axis.low is not None
        assert axis.high is not None
        if axis.whole:
            return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        return FloatDistribution(axis.low, axis.high, log=axis.log)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in axis.values)
    if numbers and list(axis.values) == sorted(axis.values):
        return IntDistribution(0, len(axis.values) - 1)
    return CategoricalDistribution(range(len(axis.values)))


def _write(axis: Axis, value: Any) -> Any:
    return axis.values.index(value) if axis.values else value


def _read(axis: Axis, given: Any) -> Any:
    return axis.values[given] if axis.values else given
