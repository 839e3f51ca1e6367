"""All results as one HTML page that opens anywhere: figures, tables and what they say, plainly."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from plotly.offline import get_plotlyjs

from tests.benchmarks.contenders import EXPERIMENTS, Contender
from tests.benchmarks.figures import (
    build_ablation_figure,
    build_curve_figure,
    build_line_figure,
    build_price_figure,
    choose_colours,
)
from tests.benchmarks.jobs import Result
from tests.benchmarks.markup import POLICY, STYLE, format_spread, mark, render_figure, render_table
from tests.benchmarks.reach import compute_reaches, format_ratio
from tests.benchmarks.results import MINIMUM, Spread, Summary, judge
from tests.benchmarks.rows import DATA
from tests.benchmarks.words import is_of, list_contenders, name_titles, render_plain_words, summarise_all

FIGURES = (
    ("total", "seconds in all", "{:,.1f}"), ("work", "without imports", "{:,.1f}"),
    ("cpu", "CPU seconds", "{:,.1f}"), ("epoch", "seconds an epoch", "{:,.2f}"),
    ("memory", "peak memory, MB", "{:,.0f}"), ("gpu_memory", "peak GPU memory, MB", "{:,.0f}"),
    ("trainable", "trainable parameters", "{:,.0f}"),
    ("kept", "disk kept, MB", "{:,.1f}"), ("written", "disk written, MB", "{:,.1f}"),
)  # fmt: skip
"""What tables show of a run's cost, as far as one has it: key, title, format."""


def render_page(results: Sequence[Result], rate: Sequence[dict] = (), gpu: Sequence[dict] = ()) -> str:
    """The whole page from single results."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<meta name='viewport' content='width=device-width,initial-scale=1'><title>Chain benchmark</title>"
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body><h1>Chain benchmark</h1>",
        _render_preface(results),
        render_plain_words(results),
        _render_reaches(results),
        _render_rates(rate),
    ]
    for name, render in _SECTIONS.items():
        data = [data for data in DATA if any(is_of(result, name, data) for result in results)]
        if data:
            parts.append(f"<h2>{html.escape(EXPERIMENTS[name].title)}</h2>")
            parts += [render(name, spec, summarise_all(results, name, spec)) for spec in data]
    parts += [_render_gpu(gpu), _render_errors(results), "</body></html>"]
    return "\n".join(parts)


def _render_preface(results: Sequence[Result]) -> str:
    machines = {}
    for result in results:
        if "machine" in result:
            m = result["machine"]
            line = f"{m['cpu']}, cores: {m['cores']}, threads: {m['threads']}, torch {m['torch']}, Python {m['python']}"
            line += f", {m['gpu']}" if m.get("gpu") else ""
            machines[line + f", bf16 {'native' if m['native_bf16'] else 'not native'}"] = None
    backbones = {result["job"]["backbone"] for result in results}
    quick = any(result["job"]["rows"] or result["job"]["epochs"] for result in results)
    text = (
        "Same machine, rows, splits and seeds for all; contenders take turns. Figures are medians over seeds, with "
        "[lowest – highest]. Seconds count from the start of the process: imports, loading, features and validation "
        "included. Settings and best weights are chosen on validation rows; test rows are scored once."
    )
    warning = (
        "<p class='worse'>Some runs used fewer rows or epochs (a quick look): not to be cited.</p>" if quick else ""
    )
    where = "".join(f"<li>{html.escape(line)}</li>" for line in machines)
    named = html.escape(", ".join(sorted(backbones)) or "none")
    return f"<p class='note'>{text}</p>{warning}<p>Backbone: {named}.</p><ul>{where}</ul>"


def _render_reaches(results: Sequence[Result]) -> str:
    reaches = compute_reaches(results)
    if not reaches:
        return ""
    rows = [
        [
            name_titles("race")[reach.chain], name_titles("race")[reach.peer], f"{reach.target:.4f}",
            f"{reach.peer_seconds:,.1f}",
            f"{reach.chain_seconds:,.1f}" if reach.chain_seconds is not None
            else f"not reached ({reach.reached} of {reach.seeds} seeds)",
            format_ratio(reach.ratio) if reach.ratio else "–",
            format_ratio(reach.bare_ratio) if reach.bare_ratio else "–", f"1/{1 / reach.bar:.0f}",
            mark("met" if reach.passed else "missed", reach.passed),
            f"{reach.chain_test:.4f} / {reach.peer_test:.4f}",
        ]
        for reach in reaches
    ]  # fmt: skip
    header = ["chain", "peer", "slot F1 on validation that the peer ends with", "peer's seconds to it",
              "chain's seconds to it", "ratio", "without imports", "bar", "",
              "test slot F1 at the end, chain / peer"]  # fmt: skip
    return "<h2>Seconds to LoRA's slot F1, ATIS</h2>" + render_table(header, rows, left=2)


def _render_rates(rates: Sequence[dict]) -> str:
    if not rates:
        return ""
    header = ["epoch of", "products", "billion multiply-adds", "bare seconds", "epoch's seconds", "share", "wanted", ""]
    rows = [
        [
            f"{rate['data']}, {rate['name']}, {rate['rows']:,} rows, {rate['precision']}", f"{rate['products']:,}",
            f"{rate['multiply_adds'] / 1e9:,.1f}", f"{rate['bare_seconds']:.3f}", f"{rate['epoch_seconds']:.3f}",
            f"{rate['share']:.2f}", f"{rate['target']:.2f}",
            mark("met" if rate["share"] >= rate["target"] else "missed", rate["share"] >= rate["target"]),
        ]
        for rate in rates
    ]  # fmt: skip
    return "<h2>A chain's epoch beside its bare matrix products</h2>" + render_table(header, rows)


def _render_race(experiment: str, data: str, summaries: Mapping[str, Summary]) -> str:
    titles = name_titles(experiment)
    chains = [contender.name for contender in list_contenders(experiment) if contender.runner == "chain"]
    colours = choose_colours(list(summaries), chains)
    parts = [f"<h3>{html.escape(DATA[data].title)}</h3>"]
    for metric in DATA[data].metrics:
        if any(point["metrics"].get(metric) is not None for s in summaries.values() for c in s.curves for point in c):
            parts.append(f"<h4>Quality against time: {html.escape(metric)}, validation rows</h4>")
            parts.append(render_figure(build_curve_figure(summaries, metric, titles, colours, chains)))
    metric = DATA[data].metrics[0]
    parts.append(f"<h4>What the end costs: {html.escape(metric)}, test rows</h4>")
    parts.append(render_figure(build_price_figure(summaries, metric, titles, colours, chains)))
    parts.append(_render_costs(experiment, data, summaries))
    return "".join(parts)


def _render_costs(experiment: str, data: str, summaries: Mapping[str, Summary], split: str = "test") -> str:
    """Final quality and cost of every contender."""
    titles, metrics = name_titles(experiment), DATA[data].metrics
    best = {
        metric: max(
            (getattr(s, split)[metric].median for s in summaries.values() if metric in getattr(s, split)), default=None
        )
        for metric in metrics
    }
    shown = [figure for figure in FIGURES if any(figure[0] in summary.figures for summary in summaries.values())]
    rows = []
    for name, summary in summaries.items():
        mark = " ≈" if summary.extrapolated else ""
        cells = [html.escape(titles.get(name, name)) + mark]
        cells += [format_spread(getattr(summary, split).get(metric), "{:.4f}", best[metric]) for metric in metrics]
        cells += [format_spread(summary.figures.get(key), form) for key, _, form in shown]
        rows.append([*cells, str(len(summary.seeds))])
    note = ""
    if any(summary.extrapolated for summary in summaries.values()):
        note = (
            "<p class='note'>≈: measured for a while only; its seconds are extrapolated, its quality is not known.</p>"
        )
    return (
        render_table(["", *(f"{split} {m}" for m in metrics), *(title for _, title, _ in shown), "seeds"], rows) + note
    )


def _render_tune(experiment: str, data: str, summaries: Mapping[str, Summary]) -> str:
    return f"<h3>{html.escape(DATA[data].title)}</h3>" + _render_costs(experiment, data, summaries, "validation")


def _render_depths(experiment: str, data: str, summaries: Mapping[str, Summary]) -> str:
    parts = [f"<h3>{html.escape(DATA[data].title)}</h3>"]
    by_axis: dict[str, dict[float, Summary]] = {}
    for contender in list_contenders(experiment):
        if contender.name in summaries:
            depth = float(contender.name.rpartition("-")[2])
            by_axis.setdefault(contender.axis, {})[depth] = summaries[contender.name]
    for metric in DATA[data].metrics:
        lines = {
            axis: {d: s.test[metric] for d, s in found.items() if metric in s.test} for axis, found in by_axis.items()
        }
        parts.append(f"<h4>{html.escape(metric)}, test rows, over depth</h4>")
        parts.append(render_figure(build_line_figure(lines, "depth", f"test {metric}")))
    epochs = {
        axis: {d: s.figures["epoch"] for d, s in found.items() if "epoch" in s.figures}
        for axis, found in by_axis.items()
    }
    parts.append("<h4>Seconds an epoch over depth</h4>")
    parts.append(render_figure(build_line_figure(epochs, "depth", "seconds an epoch, validation included")))
    return "".join(parts) + _render_verdicts(experiment, data, summaries)


def _render_heads(experiment: str, data: str, summaries: Mapping[str, Summary]) -> str:
    parts = [f"<h3>{html.escape(DATA[data].title)}</h3>"]
    counts = {float(n.partition("-")[2]): s for n, s in summaries.items() if n.startswith("heads-")}
    lines = {
        "seconds an epoch, all heads together": {
            n: s.figures["epoch"] for n, s in counts.items() if "epoch" in s.figures
        }
    }
    parts.append("<h4>Seconds an epoch over the number of heads</h4>")
    parts.append(render_figure(build_line_figure(lines, "heads", "seconds an epoch, validation included")))
    return "".join(parts) + _render_verdicts(experiment, data, summaries)


def _render_ablations(experiment: str, data: str, summaries: Mapping[str, Summary]) -> str:
    parts = [f"<h3>{html.escape(DATA[data].title)}</h3>"]
    axes = {contender.name: contender.axis for contender in list_contenders(experiment)}
    palette = choose_colours(list(dict.fromkeys(axes.values())), list(dict.fromkeys(axes.values()))[::2])
    colours = {name: palette.get(axes.get(name, ""), "#52606d") for name in summaries}
    for metric in DATA[data].metrics:
        parts.append(f"<h4>{html.escape(metric)}, test rows</h4>")
        parts.append(render_figure(build_ablation_figure(summaries, metric, name_titles(experiment), "base", colours)))
    return "".join(parts) + _render_verdicts(experiment, data, summaries)


def _render_verdicts(experiment: str, data: str, summaries: Mapping[str, Summary]) -> str:
    """Each contender against its base: medians, spreads and a verdict a metric, on test and on validation rows."""
    metrics, rows, axis = DATA[data].metrics, [], None
    header = [
        "",
        "against",
        *(f"test {metric}" for metric in metrics),
        "on validation",
        "seconds an epoch",
        "trainable",
        "seeds",
    ]
    contenders = {contender.name: contender for contender in list_contenders(experiment)}
    for name, summary in summaries.items():
        contender = contenders.get(name, Contender(name, name))
        if contender.axis != axis:
            axis = contender.axis
            rows.append([axis, *[""] * (len(header) - 1)])
        base = summaries.get(contender.base)
        cells = [html.escape(contender.title), html.escape(contenders[contender.base].title) if base else ""]
        for metric in metrics:
            cell = format_spread(summary.test.get(metric), "{:.4f}")
            cells.append(cell + (_verdict(base.test.get(metric), summary.test.get(metric)) if base else ""))
        main = metrics[0]
        on_validation = format_spread(summary.validation.get(main), "{:.4f}")
        cells.append(
            on_validation + (_verdict(base.validation.get(main), summary.validation.get(main)) if base else "")
        )
        cells += [
            format_spread(summary.figures.get(key), form)
            for key, form in (("epoch", "{:,.2f}"), ("trainable", "{:,.0f}"))
        ]
        rows.append([*cells, str(len(summary.seeds))])
    note = (
        "A verdict says better or worse only where no seed of the one comes near any of the other: their ranges do not "
        f"meet and their medians lie further apart than either is wide, {MINIMUM} seeds a side at least. Of equals, "
        "chance alone parts one pair in 23: among many comparisons, one or two differences are nothing."
    )
    return render_table(header, rows, left=2) + f"<p class='note'>{note}</p>"


def _verdict(base: Spread | None, other: Spread | None) -> str:
    verdict = judge(base, other)
    change = f"{other.median - base.median:+.4f} " if base and other else ""
    return (
        "" if not change else f"<br><small>{change}</small><span class='{verdict.replace(' ', '-')}'>{verdict}</span>"
    )


_SECTIONS: Mapping[str, Callable[[str, str, Mapping[str, Summary]], str]] = {
    "race": _render_race,
    "depths": _render_depths,
    "heads": _render_heads,
    "ablate": _render_ablations,
    "tune": _render_tune,
}


def _render_gpu(speeds: Sequence[dict]) -> str:
    if not speeds:
        return ""
    header = [
        "backbone shape", "device", "mode", "tokens a second", "TFLOP/s", "share of the peak", "trainable",
        "memory, MB",
    ]  # fmt: skip
    rows = [
        [
            f"{speed['shape']}: {speed['num_hidden_layers']} x {speed['hidden_size']}",
            f"{speed['device']}, {speed['precision']}, "
            f"peak {2 * speed['peak_multiply_adds_per_second'] / 1e12:.1f} TFLOP/s",
            mode, f"{figures['tokens_per_second']:,.0f}", f"{2 * figures['multiply_adds_per_second'] / 1e12:.2f}",
            f"{figures['share']:.1%}", f"{figures.get('trainable', 0):,}",
            f"{figures['memory_mb']:,.0f}" if "memory_mb" in figures else "–",
        ]
        for speed in speeds
        for mode, figures in speed["modes"].items()
    ]  # fmt: skip
    return "<h2>Larger backbones: speed</h2>" + render_table(header, rows, left=3)


def _render_errors(results: Sequence[Result]) -> str:
    failed = [(result["job"], result["error"]) for result in results if result.get("error")]
    if not failed:
        return ""
    lines = "".join(
        f"<li>{html.escape('/'.join(str(job[key]) for key in ('experiment', 'data', 'contender', 'seed')))}: "
        f"{html.escape(error)}</li>"
        for job, error in failed
    )
    return f"<h2>Runs that failed</h2><p class='note'>The same call tries them again.</p><ul>{lines}</ul>"
