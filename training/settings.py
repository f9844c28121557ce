"""Every number of the recipe, in three sizes: `full` is for a GPU, `small` for two cores and two hours, `tiny` for a test."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

TASKS = ("countdown", "dag", "ledger", "equation")
# Of the training examples.
SUPERVISED_SHARES = {"countdown": 0.30, "dag": 0.24, "ledger": 0.21, "equation": 0.21, "arithmetic": 0.04}


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    hidden: int = 384
    layers: int = 8
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 64
    intermediate: int = 1152
    vocab: int = 1024
    max_positions: int = 2048
    rope_theta: float = 1e6
    norm_epsilon: float = 1e-6


@dataclasses.dataclass(frozen=True)
class SupervisedSettings:
    rows: int = 64  # a step
    row_tokens: int = 1024
    steps: int = 20_000
    peak_rate: float = 3e-3
    optimizer: str = "muon"  # Muon for the blocks' matrices, AdamW for the rest, one rate for both; or "adamw" for all
    warm_up_steps: int = 200
    flat_share: float = 0.55  # of the steps; then linearly to 1 %
    weight_decay: float = 0.1
    clip: float = 1.0


@dataclasses.dataclass(frozen=True)
class ReinforceSettings:
    groups: int = 768  # problems a round
    samples: int = 8  # replies a problem
    rounds: int = 1000
    rate: float = 4e-5
    updates: int = 4  # a round: each token is seen once
    clip_low: float = 0.2
    clip_high: float = 0.28
    entropy_goal: float = 0.0  # nats: the 80th percentile of a round's entropies that a bonus works towards; 0: no bonus
    entropy_bonus: float = 0.02  # of the first round, for a nat of a reply's token, where an advantage is about 1
    max_tokens: int = 1024  # of a reply
    micro_batch_tokens: int = 65536
    anneal_share: float = 0.2  # of the time: the last part, in which the rate falls to a tenth; 0 for a run to continue
    compiled: bool = True  # the model's blocks


@dataclasses.dataclass(frozen=True)
class StudySettings:
    problems: int = 3072  # a task and arm
    calibration_problems: int = 512  # a task and candidate
    slots: int = 4096  # sequences in flight
    max_tokens: int = 1024  # of a reply
    top_p: float = 0.95
    levels: int = 8  # of a task's ladder of difficulty that are tried, from the easiest
    temperatures: tuple[float, ...] = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
    t_lows: tuple[float, ...] = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8)  # candidates of ReSET, with every higher t_high
    t_highs: tuple[float, ...] = (0.6, 0.8, 1.0, 1.2)


@dataclasses.dataclass(frozen=True)
class Settings:
    model: ModelSettings = ModelSettings()
    supervised: SupervisedSettings = SupervisedSettings()
    reinforce: ReinforceSettings = ReinforceSettings()
    study: StudySettings = StudySettings()
    tokenizer_traces: int = 4_000  # a task
    # Task -> knobs in place of the program's, for training and for reports: what a smaller model can learn.
    training_knobs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    reinforce_knobs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    evaluation_knobs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    seed: int = 1


FULL = Settings(
    reinforce_knobs={  # the hard end: a group that is always right carries as little signal as one that never is
        "countdown": ("numbers=5",),
        "dag": ("needed=14..24", "distractors=0..8"),
        "ledger": ("orders=8..10", "items=8..10", "shops=4..6", "asked=1..4", "length=10..16", "similar=80..100"),
        "equation": ("brackets=4..6", "coefficient=30..60", "solution=30..60"),
    },
    evaluation_knobs={  # what the study chose for the shipped model: training.study's difficulty
        "countdown": ("numbers=5",),
        "dag": ("needed=22",),
        "ledger": ("orders=10", "items=10", "shops=6", "asked=4", "similar=100", "length=8"),
        "equation": ("brackets=6", "coefficient=60", "solution=60"),
    },
)
SMALL = Settings(
    model=ModelSettings(hidden=256, layers=6, heads=4, kv_heads=2, head_dim=64, intermediate=768),
    supervised=SupervisedSettings(rows=16, row_tokens=512, steps=100_000),
    training_knobs={
        "countdown": ("numbers=3..4",),
        "dag": ("needed=2..8", "distractors=0..3"),
        "ledger": ("orders=2..4", "items=2..4", "shops=1..3", "asked=1..2", "length=4..5", "similar=0..50"),
        "equation": ("brackets=1..3", "coefficient=4..12", "solution=5..20"),
    },
    evaluation_knobs={
        "countdown": ("numbers=3",),
        "dag": ("needed=3", "distractors=1"),
        "ledger": ("orders=3", "items=3", "shops=2", "asked=2", "length=5", "similar=30"),
        "equation": ("brackets=2", "coefficient=9", "solution=12"),
    },
)
TINY = Settings(
    model=ModelSettings(hidden=128, layers=2, heads=2, kv_heads=1, head_dim=64, intermediate=256, vocab=512),
    supervised=SupervisedSettings(rows=2, row_tokens=512, steps=9, warm_up_steps=2),
    reinforce=ReinforceSettings(groups=4, samples=4, rounds=2, updates=2, max_tokens=16, micro_batch_tokens=4096,
                                compiled=False),
    study=StudySettings(problems=3, calibration_problems=2, slots=128, max_tokens=16, levels=2, temperatures=(0.1, 0.6),
                        t_lows=(0.3,), t_highs=(0.8, 1.0)),
    tokenizer_traces=200,
)
SIZES = {"full": FULL, "small": SMALL, "tiny": TINY}


def changed(settings: Settings, change: str) -> Settings:
    """`settings` with one number replaced: "seed=2", "supervised.rows=128".  The value is JSON, or else a string."""
    name, _, text = change.partition("=")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    part, _, field = name.rpartition(".")
    owner = getattr(settings, part, None) if part else settings
    if type(value) is int and type(getattr(owner, field, None)) is float:
        value = float(value)
    if not dataclasses.is_dataclass(owner) or type(getattr(owner, field, None)) is not type(value):
        raise ValueError(f"{change!r} names no number of the settings, or is of another type than it")
    owner = dataclasses.replace(owner, **{field: value})
    return dataclasses.replace(settings, **{part: owner}) if part else owner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE",
                        help="another number than the recipe's, such as seed=2 or supervised.rows=128; repeatable")


def chosen(arguments: argparse.Namespace) -> Settings:
    """The settings that the arguments of add_arguments name."""
    settings = SIZES[arguments.size]
    for change in arguments.changes:
        settings = changed(settings, change)
    return settings


def fourstep_program() -> str:
    """The product's binary, which makes and grades the problems: $FOURSTEP, or the release build."""
    return os.environ.get("FOURSTEP") or str(Path(__file__).resolve().parent.parent / "build/release/fourstep")
