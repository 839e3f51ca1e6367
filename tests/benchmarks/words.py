"""What the results say, in plain words: where a chain, or a part of it, helps, and where it does not."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmarks.contenders import EXPERIMENTS, Contender
from tests.benchmarks.jobs import Result
from tests.benchmarks.results import MINIMUM, Summary, group_results, judge, summarise
from tests.benchmarks.rows import DATA


def is_of(result: Result, experiment: str, data: str) -> bool:
    return (result["job"]["experiment"], result["job"]["data"]) == (experiment, data)


def summarise_all(results: Sequence[Result], experiment: str, data: str) -> dict[str, Summary]:
    """Contender -> summary, in the order of the experiment's table; runs of single tasks after it."""
    groups = group_results(results, experiment, data)
    order = [contender.name for contender in list_contenders(experiment)]
    names = [name for name in order if name in groups]
    names += [name for name in groups if name not in names and not _is_part(name, groups)]
    found = {name: summarise(name, groups[name]) for name in names}
    return {name: summary for name, summary in found.items() if summary.seeds}


def _is_part(name: str, groups: Mapping[str, Any]) -> bool:
    return name.partition(".")[0] != name and name.partition(".")[0] in groups


def list_contenders(experiment: str) -> list[Contender]:
    return EXPERIMENTS[experiment].build(6)


def render_plain_words(results: Sequence[Result]) -> str:
    """Where a chain helps and where it does not, from the verdicts alone."""
    said = []
    for name in DATA:
        summaries = summarise_all(results, "race", name)
        chains = [c.name for c in list_contenders("race") if c.runner == "chain" and c.name in summaries]
        for metric in DATA[name].metrics:
            for peer, summary in summaries.items():
                if peer in chains or metric not in summary.test:
                    continue
                titles = name_titles("race")
                for verdict, words in (("worse", "end below"), ("better", "end above")):
                    found = [c for c in chains if judge(summary.test[metric], summaries[c].test.get(metric)) == verdict]
                    if found:
                        listed = ", ".join(titles[c].removeprefix("chain, ") for c in found)
                        said.append((verdict, f"{name}, test {metric}: these chains {words} {titles[peer]}: {listed}"))
    for name in DATA:
        said += _say_ablations(results, name)
    if not said:
        return f"<p class='note'>Verdicts need {MINIMUM} seeds on each side.</p>"
    none = "<li>Nowhere so far.</li>"
    worse = "".join(_render_line(verdict, text) for verdict, text in said if verdict != "better")
    better = "".join(_render_line(verdict, text) for verdict, text in said if verdict == "better")
    return (
        "<h2>In plain words</h2><h3>Where a chain, or a part of it, does not help</h3>"
        f"<ul>{worse or none}</ul><h3>Where it does</h3><ul>{better or none}</ul>"
    )


def _render_line(verdict: str, text: str) -> str:
    return f"<li class='{verdict.replace(' ', '-')}'>{html.escape(text)}.</li>"


_ABLATED = {
    (False, "worse"): ("worse", "lower than what they are compared with"),
    (True, "better"): ("worse", "higher with less"),
    (False, "no difference"): ("no difference", "no difference"),
    (True, "no difference"): ("no difference", "as good with less"),
    (False, "better"): ("better", "higher"),
    (True, "worse"): ("better", "lower with less, which is what the rest is worth"),
}
"""(whether less is compared with more, the verdict on it) -> the verdict on what a chain has, and its words."""


def _say_ablations(results: Sequence[Result], data: str) -> list[tuple[str, str]]:
    summaries = summarise_all(results, "ablate", data)
    metric = DATA[data].metrics[0]
    said: dict[tuple[str, str], list[str]] = {}
    for contender in list_contenders("ablate"):
        if contender.base in summaries and contender.name in summaries:
            verdict = judge(summaries[contender.base].test.get(metric), summaries[contender.name].test.get(metric))
            if (contender.less, verdict) in _ABLATED:
                said.setdefault(_ABLATED[contender.less, verdict], []).append(contender.title)
    return [
        (verdict, f"{data}, ablations, test {metric}, {words}: {'; '.join(said[verdict, words])}")
        for verdict, words in _ABLATED.values()
        if (verdict, words) in said
    ]


def name_titles(experiment: str) -> dict[str, str]:
    return {contender.name: contender.title for contender in list_contenders(experiment)}
