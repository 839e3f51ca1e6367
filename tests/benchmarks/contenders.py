"""Who takes part in what: every contender of every experiment, as one table of settings each.

A chain's settings are the part of its YAML file in which it differs; `every_head` and `tagging_heads` in them go over
each head's own. A peer's are those of `run_trainer`. Its settings were chosen on validation rows only (`tune`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chain_core.config import merge
from chain_core.presets import PRESETS
from tests.benchmarks.jobs import Job
from tests.benchmarks.rows import DATA

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Contender:
    """One line of a table."""

    name: str
    title: str
    runner: str = "chain"
    settings: Settings = field(default_factory=dict)
    each: bool = False
    """A run of its own for each task, instead of one for all."""
    tasks: tuple[str, ...] = ()
    """Only these heads; none: all."""
    base: str = ""
    """The contender that it is compared with."""
    axis: str = ""
    """What it varies."""
    less: bool = False
    """Whether it is its base with something left out or made smaller: where it ends lower, that was worth having."""


@dataclass(frozen=True)
class Experiment:
    """One command that runs contenders."""

    name: str
    title: str
    data: tuple[str, ...]
    build: Callable[[int], list[Contender]]
    """The backbone's number of layers -> its contenders."""
    own_cache: bool = False


_TRAIN_FULL = {"epochs": 8, "batch_size": 32, "learning_rate": 1e-3, "backbone_learning_rate": 2e-4}
_CAREFUL = {"tuning": "lora", "epochs": 8, "batch_size": 32, "learning_rate": 1e-3}
_TEXTBOOK = {
    "tuning": "lora", "epochs": 8, "batch_size": 16, "learning_rate": 1e-3, "bf16": False, "pad": 128, "grouped": False,
    "cap_seconds": 120.0,
}  # fmt: skip


def build_race(layers: int) -> list[Contender]:
    lora = merge(FROZEN, {
        "chain": {"depth": 3, "links": {"dropout": 0.1}},
        "backbone": {"tuning": "lora", "layers": min(3, layers)},
        "train": {"epochs": 10, "batch_size": 32, "backbone_learning_rate": 1e-3},
    })  # fmt: skip
    return [
        Contender("fast", "chain, preset fast", settings={"preset": "fast"}),
        Contender("fast-4", "chain, preset fast, 4 epochs at a higher rate",
                  settings={"preset": "fast", "train": {"epochs": 4, "learning_rate": 3e-3}}),
        Contender("fast-tuned", "chain, preset fast, thresholds tuned",
                  settings={"preset": "fast", "tagging_heads": {"threshold": "tuned"}}),
        Contender("lora-joint", "LoRA, joint", "trainer", _CAREFUL),
        Contender("balanced", "chain, preset balanced", settings={"preset": "balanced"}),
        Contender("linear", "logistic regression on frozen vectors", "linear"),
        Contender("top-2", "chain, preset balanced, 2 layers",
                  settings={"preset": "balanced", "backbone": {"layers": min(2, layers)}}),
        Contender("lora-top", "chain, 3 links, LoRA in the top 3 layers", settings=lora),
        Contender("lora-each", "LoRA, a run a task", "trainer", _CAREFUL, each=True),
        Contender("thorough", "chain, preset thorough", settings={"preset": "thorough"}),
        Contender("thorough-plain", "chain, preset thorough, no CRF",
                  settings={"preset": "thorough", "tagging_heads": {"crf": "off"}}),
        Contender("full-crf", "chain without a link, all layers in full, CRF, 5 epochs",
                  settings={"preset": "thorough", "chain": {"depth": 0}, "train": {"epochs": 5}}),
        Contender("full-joint", "full fine-tuning, joint", "trainer",
                  {"tuning": "full", "epochs": 8, "batch_size": 32, "learning_rate": 2e-4, "head_learning_rate": 1e-3}),
        Contender("full-gentle", "full fine-tuning, joint, at half the rate, 5 epochs", "trainer",
                  {"tuning": "full", "epochs": 5, "batch_size": 32, "learning_rate": 1e-4, "head_learning_rate": 1e-3}),
        Contender("lora-links", "chain, 6 links, LoRA in all layers",
                  settings=merge(lora, {"backbone": {"layers": None}, "chain": {"depth": 6}})),
        Contender("textbook", "textbook LoRA, a run a task", "trainer", _TEXTBOOK, each=True),
    ]  # fmt: skip


_LINKS = 4
FROZEN: Settings = {
    "preset": "fast",
    "chain": {"depth": _LINKS},
    "train": {
        "epochs": 6, "batch_size": 16, "optimiser": "adamw", "learning_rate": 1e-3, "schedule": "linear",
        "average": 0.0, "prune": 0.0,
    },
}  # fmt: skip
"""What the ablations start from: one link more than they have found to be enough, every row in every epoch, AdamW, and
the weights of the last step."""


def build_depths(layers: int) -> list[Contender]:
    top = {"backbone": {"tuning": "full", "layers": min(2, layers)}, "train": _TRAIN_FULL}
    return [
        Contender(f"{name}-{depth}", f"{title}, depth {depth}",
                  settings=merge(merge(FROZEN, over), {"chain": {"depth": depth}}),
                  base=f"{name}-0" if depth else "", axis=title)
        for name, title, over in (("frozen", "frozen backbone", {}), ("top", "top 2 layers tuned in full", top))
        for depth in range(7)
    ]  # fmt: skip


def build_heads(layers: int) -> list[Contender]:
    names = tuple(DATA["atis6"].heads)
    joint = [
        Contender(f"heads-{count}", f"{count} heads" if count > 1 else "1 head", settings=FROZEN,
                  tasks=names[:count], axis="together")
        for count in range(1, len(names) + 1)
    ]  # fmt: skip
    return [*joint, Contender("alone", "a run a head", settings=FROZEN, each=True, base="heads-6", axis="alone")]


_LESS = {
    *("density-2", "density-4", "density-8"), *("budget-constant", "budget-growing", "budget-shrinking"),
    *("depth-0", "depth-1", "depth-2", "depth-3"), *("width-128", "tie-first", "tie-backbone", "lexical-off"),
}  # fmt: skip
_OTHER_BASES = {
    "tie-first": "attention",
    "tie-backbone": "init-copied",
    "init-copied": "init-backbone",
    "detach": "heads-supervised",
}


def build_ablations(layers: int) -> list[Contender]:
    """Each changes one thing of `base`, or, where it says so, of another contender."""
    last = layers
    links = {
        "kinds": [
            (kind, f"{kind} links", {"links": {"kind": kind}})
            for kind in ("linear", "bottleneck", "conv", "attention", "backbone")
        ],
        "density": [
            *[(f"density-{part}", f"density 1/{part}", {"links": {"density": 1 / part}}) for part in (2, 4, 8)],
            *[(course, f"{course} densities", {"densities": course}) for course in ("growing", "shrinking")],
        ],
        "budget": [
            (f"budget-{course}", f"500,000 parameters, {course}", {"budget": "500k", "densities": course})
            for course in ("constant", "growing", "shrinking")
        ],
        "width": [(f"width-{width}", f"width {width}", {"width": width}) for width in (128, 384)],
        "taps": [
            ("taps-last", "every link taps the last layer", {"taps": [last] * _LINKS}),
            ("taps-top", "taps the top layers", {"taps": [max(last - 3 + link, 0) for link in range(_LINKS)]}),
            ("taps-low", "taps from the embeddings on",
             {"taps": [round(link * last / (_LINKS - 1)) for link in range(_LINKS)]}),
        ],
        "init": [
            ("init-random", "random init", {"links": {"init": "random"}}),
            ("init-backbone", "backbone links, random init", {"links": {"kind": "backbone", "init": "random"}}),
            ("init-copied", "backbone links, the layers' weights", {"links": {"kind": "backbone", "init": "backbone"}}),
        ],
        "tie": [
            ("tie-first", "attention links, all tied to the first", {"links": {"kind": "attention", "tie": 1}}),
            ("tie-backbone", "links are the tapped layers", {"links": {"kind": "backbone", "tie": "backbone"}}),
        ],
        "lexical": [("lexical-off", "no lexical tap", {"lexical": "off"})],
    }  # fmt: skip
    contenders = [Contender("base", "4 links on the frozen backbone, 6 epochs", settings=FROZEN, axis="base")]
    contenders += [
        Contender(
            name,
            title,
            settings=merge(FROZEN, {"chain": over}),
            base=_OTHER_BASES.get(name, "base"),
            axis=axis,
            less=name in _LESS,
        )
        for axis, rows in links.items()
        for name, title, over in rows
    ]
    contenders += [
        Contender(f"depth-{depth}", f"depth {depth}", settings=merge(FROZEN, {"chain": {"depth": depth}}),
                  base="base", axis="depth", less=f"depth-{depth}" in _LESS)
        for depth in (0, 1, 2, 3, 6)
    ]  # fmt: skip
    whole = {
        "heads": [
            ("heads-supervised", "heads at every depth", {"every_head": {"depths": [1, 2, 3, 4]}}),
            ("heads-both", "heads at 0 and last", {"every_head": {"depths": [0, "last"]}}),
            ("heads-shared", "one head for every depth", {"every_head": {"depths": [1, 2, 3, 4], "share": True}}),
            ("detach", "heads at every depth, gradients stop at each link",
             {"every_head": {"depths": [1, 2, 3, 4]}, "chain": {"links": {"detach": True}}}),
            ("heads-mixture", "a learned mixture of depths", {"every_head": {"depths": [1, 2, 3, 4], "mixture": True}}),
            ("crf", "CRF", {"tagging_heads": {"crf": "on"}}),
        ],
        "losses": [
            ("uncertainty", "loss weights from uncertainty", {"train": {"loss_weights": "uncertainty"}}),
            ("smoothing", "label smoothing 0.05", {"every_head": {"label_smoothing": 0.05}}),
            ("focal", "focal loss, exponent 2", {"every_head": {"focal": 2.0}}),
            ("r-drop", "R-Drop 1", {"train": {"r_drop": 1.0}}),
            ("adversarial", "perturbed inputs, 0.5", {"train": {"adversarial": 0.5}}),
        ],
        "rows": [("prune", "8 epochs, most easy rows left out", {"train": {"epochs": 8, "prune": 0.9}})],
        "average": [
            ("average", "averaged weights, constant rate", {"train": {"schedule": "constant", "average": 0.1}}),
            ("constant", "constant rate", {"train": {"schedule": "constant"}}),
        ],
        "optimiser": [("muon", "links learn by Muon", {"train": {"optimiser": "muon"}})],
        "augmentation": [("augment", "two changed copies of each row", {"augment": {"copies": 2}})],
        "stages": [
            ("grown", "grows from 1 to 4 links",
             {"stages": [{"depth": 1, "epochs": 2}, {"depth": 2, "epochs": 2}, {"depth": 4, "epochs": 2}]}),
            ("heads-first", "heads alone for an epoch first",
             {"stages": [{"trains": ["heads"], "epochs": 1}, {"epochs": 5}]}),
            ("pretraining", "masked words for 2 epochs first",
             {"stages": [{"objective": "masked_lm", "epochs": 2}, {"epochs": 6}]}),
        ],
    }  # fmt: skip
    contenders += [
        Contender(name, title, settings=merge(FROZEN, over), base=_OTHER_BASES.get(name, "base"), axis=axis)
        for axis, rows in whole.items()
        for name, title, over in rows
    ]
    contenders.append(Contender("single", "a run a task", settings=FROZEN, each=True, base="base", axis="joint"))
    tuned = merge(FROZEN, {"backbone": {"layers": min(2, layers)}, "train": {"epochs": 8, "batch_size": 32}})
    rates = {
        "full": 2e-4,
        "lora": 1e-3,
        "rslora": 5e-4,
        "dora": 1e-3,
        "adalora": 2e-3,
        "ia3": 2e-3,
        "prefix": 2e-3,
        "norm": 1e-3,
    }
    contenders += [
        Contender(f"tuning-{name}", f"{name} in the top 2 layers",
                  settings=merge(tuned, {"backbone": {"tuning": name}, "train": {"backbone_learning_rate": rate}}),
                  base="base", axis="tuning")
        for name, rate in rates.items()
    ]  # fmt: skip
    every = {"depth": layers + 1, "taps": list(range(layers + 1))}
    contenders.append(
        Contender("tuned-last", "links and heads for 4 epochs first, then the top 2 layers in full as well",
                  settings=merge(tuned, {"backbone": {"tuning": "full"}, "train": {"backbone_learning_rate": 2e-4},
                                         "stages": [{"trains": ["links", "heads"], "epochs": 4}, {"epochs": 4}]}),
                  base="tuning-full", axis="stages")
    )  # fmt: skip
    plain = {"tagging_heads": {"crf": "off"}}
    full = merge(FROZEN, {"backbone": {"tuning": "full"}, "train": _TRAIN_FULL, **plain})
    contenders += [
        Contender("full-0", "all layers in full, no link", settings=merge(full, {"chain": {"depth": 0}}), axis="tuned"),
        Contender("full-3", "all layers in full, 3 links", settings=full, base="full-0", axis="tuned"),
        Contender("full-every", "all layers in full, a link for every layer",
                  settings=merge(full, {"chain": every}), base="full-0", axis="tuned"),
    ]  # fmt: skip
    return contenders


def build_tune(layers: int) -> list[Contender]:
    """The peers' settings that a careful user would try: compared on validation."""
    careful = [
        Contender(
            f"lora-{rate:.0e}", f"LoRA, rate {rate:g}", "trainer", {**_CAREFUL, "learning_rate": rate}, axis="LoRA"
        )
        for rate in (3e-4, 1e-3, 2e-3)
    ]
    careful.append(Contender("lora-eager", "LoRA, rate 0.001, plain attention", "trainer",
                             {**_CAREFUL, "attention": "eager"}, axis="LoRA"))  # fmt: skip
    full = {"tuning": "full", "epochs": 8, "batch_size": 32, "head_learning_rate": 1e-3}
    return careful + [
        Contender(f"full-{rate:.0e}", f"full, rate {rate:g}", "trainer", {**full, "learning_rate": rate}, axis="full")
        for rate in (5e-5, 2e-4, 5e-4)
    ]


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment("race", "The race: chains and their peers", ("atis", "wnut17", "bbc"), build_race, own_cache=True),
        Experiment("depths", "Depths 0 to 6", ("atis", "wnut17", "bbc"), build_depths),
        Experiment("heads", "One to six heads", ("atis6",), build_heads),
        Experiment("ablate", "Ablations", ("atis", "wnut17"), build_ablations),
        Experiment("tune", "The peers' settings, chosen on validation", ("atis",), build_tune, own_cache=True),
    )
}


def build_jobs(
    experiment: Experiment,
    layers: int,
    *,
    data: list[str] | None = None,
    seeds: list[int],
    only: list[str] | None = None,
    uncapped: bool = False,
    **common: Any,
) -> list[Job]:
    """Every job of an experiment; `common` goes into each. What a preset says is written out: so a preset that has
    changed is measured anew."""
    jobs = []
    for name in data or experiment.data:
        for contender in experiment.build(layers):
            if not only or contender.name in only:
                for part, tasks in _split(contender, name):
                    settings = {k: v for k, v in contender.settings.items() if not (uncapped and k == "cap_seconds")}
                    settings = merge(PRESETS.get(settings.get("preset", ""), {}), settings)
                    jobs += [
                        Job(experiment.name, name, part, seed, contender.runner, settings, tasks,
                            own_cache=experiment.own_cache, **common)
                        for seed in seeds
                    ]  # fmt: skip
    return jobs


def _split(contender: Contender, data: str) -> list[tuple[str, tuple[str, ...]]]:
    """A contender's runs on one data set: (name, heads). None where it cannot take part or would be another's twin."""
    heads = DATA[data].heads
    if contender.runner == "linear":
        able = tuple(head for head, config in heads.items() if config["kind"] == "classification")
        return [(contender.name, able)] if able else []
    if not contender.each:
        return [(contender.name, contender.tasks)]
    if len(heads) == 1:
        return [] if contender.name != "textbook" else [(f"{contender.name}.{head}", (head,)) for head in heads]
    return [(f"{contender.name}.{head}", (head,)) for head in heads]
