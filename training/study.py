"""The reference study: what NVFP4 costs the model and what decoding policies win back.

`python3 -m training.study STATE` does, and keeps in STATE, in this order (with `--only`, one of them, so that several GPUs
can share the arms):
1. difficulty.json   knobs of each task such that BF16 at T = 0.6 solves about two thirds (calibration problems);
2. calibration.json  tau_0, the best fixed temperature and ReSET's T_low and T_high (calibration problems, W4A4);
3. study.json        every arm on evaluation problems that nothing before has seen, with intervals; arms_*.json and bits_*.npz on the way.
The arms are written down here, before evaluation problems are touched.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

from training import evaluation, intervals, stream, tokenizer as tokenizers
from training.evaluation import Arm
from training.inference import calibrate_input_scales
from training.model import Model
from training.policies import ESTIMATORS, Policy, fixed
from training.progress import Log
from training.settings import TASKS, Settings, add_arguments, chosen
from training.tasks import Problem, generate

# From easy to hard; knobs not named keep their defaults.
_LEDGER = ["orders=10", "items=10", "shops=6", "asked=4", "similar=100"]
LADDERS = {
    "countdown": [["numbers=4"], ["numbers=5"]],
    "dag": [["needed=20"], ["needed=22"], ["needed=24"], *(["needed=24", f"distractors={n}"] for n in (6, 8, 10, 12))],
    "ledger": [[*_LEDGER, f"length={n}"] for n in (8, 9, 10, 11, 12, 13, 14, 16)],
    "equation": [["brackets=4"], ["brackets=5", "coefficient=40"], ["brackets=6", "coefficient=50", "solution=50"],
                 ["brackets=6", "coefficient=60", "solution=60"]],
}
WANTED_ACCURACY = 0.65
PUBLISHED = {"t_high": 1.0, "t_low": 0.3}  # the paper's T_high; its T_low is 0.1 to 0.4 by model
PERCENTILES = (75, 80, 85)
PHASES = ("difficulty", "calibration", "arms_w4a4", "arms_bf16", "arms_w4a16", "study")


class Study:
    def __init__(self, settings: Settings, state: Path, weights: Path):
        self.settings, self.state = settings, state
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.log = Log(state / "study.jsonl")
        self.tokenizer = tokenizers.load(state / "tokenizer")
        self.model = Model(settings.model).to(self.device)
        saved = torch.load(weights, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        for parameter in self.model.parameters():  # what ships is BF16
            parameter.data = parameter.data.bfloat16().float()
        self.samplers: dict[str, evaluation.Sampler] = {}
        self.input_scales = calibrate_input_scales(self.model, self._calibration_text())
        torch.save({k: v.cpu() for k, v in self.input_scales.items()}, state / "input_scales.pt")

    def _calibration_text(self) -> list[list[int]]:
        """256 training examples, prompt and trace: what activation ranges are measured on."""
        count = 64 if self.device == "cuda" else 2
        examples = [p for task in TASKS for p in generate(task, "training", count, seed=77, traces=True)]
        return [(e & (stream.LOSS_BIT - 1)).tolist() for e in stream.encode_examples(self.tokenizer, examples)]

    def run(self, numerics: str, problems: list[Problem], policies: list[Policy]) -> list[evaluation.ArmResult]:
        if numerics not in self.samplers:
            for sampler in self.samplers.values():
                evaluation.free(sampler)
            self.samplers = {numerics: evaluation.make_sampler(
                self.model, self.tokenizer, numerics, self.settings, self.settings.study.slots,
                self.settings.study.max_tokens, self.input_scales)}
        return evaluation.run_policies(self.samplers[numerics], self.tokenizer, problems, policies)

    def kept(self, name: str, make) -> dict:
        """What STATE/name.json holds, made and written first where it is missing."""
        path = self.state / f"{name}.json"
        if not path.exists():
            started = time.monotonic()
            path.write_text(json.dumps(make(), indent=1) + "\n")
            self.log.write(phase=name, seconds=time.monotonic() - started)
        return json.loads(path.read_text())

    def phase(self, name: str) -> dict:
        """One of PHASES, done where it has not been."""
        if name.startswith("arms_"):
            return self.kept(name, lambda: self.run_arms(name.removeprefix("arms_")))
        return self.kept(name, {"difficulty": self.difficulty, "calibration": self.calibrate, "study": self.evaluate}[name])

    # --- 1
    def difficulty(self) -> dict:
        count = max(4, self.settings.study.calibration_problems // 2)
        ladders = {task: LADDERS[task][: self.settings.study.levels] for task in TASKS}
        problems, places = [], []
        for task in TASKS:
            for level, knobs in enumerate(ladders[task]):
                problems += generate(task, "calibration", count, 1000 + level, knobs=knobs, threads=os.cpu_count() or 1)
                places.append((task, level))
        right = self.run("bf16", problems, [fixed(0.6)])[0].correct.reshape(len(places), count).mean(1)
        ladder = {task: [] for task in TASKS}
        for (task, level), accuracy in zip(places, right.tolist(), strict=True):
            ladder[task].append({"knobs": ladders[task][level], "accuracy": accuracy})
            self.log.write(task=task, knobs=" ".join(ladders[task][level]), accuracy=accuracy)
        chosen = {task: min(levels, key=lambda level: abs(level["accuracy"] - WANTED_ACCURACY))["knobs"]
                  for task, levels in ladder.items()}
        return {"problems_a_level": count, "ladder": ladder, "knobs": chosen}

    def problems(self, split: str, each: int, seed: int) -> list[Problem]:
        knobs = self.phase("difficulty")["knobs"]
        return [p for task in TASKS for p in generate(task, split, each, seed, knobs=knobs[task], threads=os.cpu_count() or 1)]

    def by_task(self, correct: np.ndarray) -> list[np.ndarray]:
        return np.split(correct, len(TASKS))

    # --- 2
    def calibrate(self) -> dict:
        each = self.settings.study.calibration_problems
        problems = self.problems("calibration", each, seed=1)
        policies = [fixed(t) for t in self.settings.study.temperatures]
        results = self.run("w4a4", problems, policies)
        base = results[[p.t_high for p in policies].index(0.6)]
        entropies = torch.cat([reply.entropies for reply in base.replies]).numpy().astype(np.float64)
        tau = {str(p): float(np.percentile(entropies, p)) for p in PERCENTILES}
        tau_by_task = {}
        for task, part in zip(TASKS, np.split(np.arange(len(problems)), len(TASKS)), strict=True):
            values = torch.cat([base.replies[i].entropies for i in part]).numpy().astype(np.float64)
            tau_by_task[task] = {str(p): float(np.percentile(values, p)) for p in PERCENTILES}
        score = lambda result: float(result.correct.mean())  # noqa: E731
        fixed_scores = {f"{p.t_high:g}": score(r) for p, r in zip(policies, results, strict=True)}
        grid = [Policy(f"reset {high:g}/{low:g}", high, low, tau["80"])
                for high in self.settings.study.t_highs for low in self.settings.study.t_lows if low < high]
        grid_scores = {p.name: score(r) for p, r in zip(grid, self.run("w4a4", problems, grid), strict=True)}
        paper = [p for p in grid if p.t_high == PUBLISHED["t_high"]]
        best = max(grid, key=lambda p: grid_scores[p.name])
        best_paper = max(paper, key=lambda p: grid_scores[p.name])
        return {"problems": len(problems), "tau": tau, "tau_by_task": tau_by_task,
                "mean_entropy": float(entropies.mean()), "fixed": fixed_scores, "reset": grid_scores,
                "best_temperature": float(max(fixed_scores, key=fixed_scores.get)),
                "tuned": {"t_high": best.t_high, "t_low": best.t_low},
                "paper_t_low": best_paper.t_low}

    # --- 3
    def arms(self) -> list[Arm]:
        """Declared before evaluation problems are touched: they depend on calibration alone."""
        c = self.phase("calibration")
        tau = c["tau"]["80"]
        policies = [fixed(t) for t in self.settings.study.temperatures]
        arms = [Arm(numerics, policy) for numerics in ("bf16", "w4a16", "w4a4") for policy in policies]
        resets = [
            Policy("reset 1/0.3", PUBLISHED["t_high"], PUBLISHED["t_low"], tau),
            Policy("reset 1/chosen", 1.0, c["paper_t_low"], tau),
            Policy("reset tuned", c["tuned"]["t_high"], c["tuned"]["t_low"], tau),
            Policy("gate 1/chosen", 1.0, c["paper_t_low"], tau, gate_only=True),
            Policy("gate tuned", c["tuned"]["t_high"], c["tuned"]["t_low"], tau, gate_only=True),
        ]
        resets += [Policy(f"reset 1/0.3 {estimator}", PUBLISHED["t_high"], PUBLISHED["t_low"], tau, estimator=estimator)
                   for estimator in ESTIMATORS[1:]]
        arms += [Arm("w4a4", policy) for policy in resets]
        arms += [Arm("bf16", policy) for policy in resets[:3]]
        arms.append(Arm("w4a16", resets[2]))
        return arms

    def comparisons(self) -> list[tuple[str, str]]:
        """The headline family: arm against base."""
        best = f"w4a4 fixed {self.phase('calibration')['best_temperature']:g}"
        family = [("w4a4 fixed 0.6", "bf16 fixed 0.6"), ("w4a4 reset 1/chosen", "w4a4 fixed 0.6"),
                  ("w4a4 reset tuned", "w4a4 fixed 0.6"), ("w4a4 reset tuned", best),
                  ("w4a4 reset 1/chosen", "w4a4 gate 1/chosen"), ("bf16 reset tuned", "bf16 fixed 0.6"),
                  ("bf16 fixed 1", "bf16 fixed 0.6")]
        family += [(f"w4a4 reset 1/0.3 {estimator}", "w4a4 reset 1/0.3") for estimator in ESTIMATORS[1:]]
        return [pair for pair in dict.fromkeys(family) if pair[0] != pair[1]]

    def evaluate(self) -> dict:
        table, bits = {}, {}
        for numerics in ("w4a4", "bf16", "w4a16"):
            table |= self.phase(f"arms_{numerics}")
            packed = np.load(self.state / f"bits_{numerics}.npz")
            bits |= {name: np.unpackbits(packed[name]).astype(bool) for name in packed}
        each = self.settings.study.problems
        bits = {name: b[: each * len(TASKS)] for name, b in bits.items()}  # packing padded them to whole bytes
        return {"problems_a_task": each, "tasks": list(TASKS), "arms": table, "comparisons": self._compare(bits)}

    def run_arms(self, numerics: str) -> dict:
        """The arms of one numerics; STATE/bits_NUMERICS.npz gets the verdicts, a bit a problem."""
        arms = [arm for arm in self.arms() if arm.numerics == numerics]
        problems = self.problems("evaluation", self.settings.study.problems, seed=2)
        results, table = self.run(numerics, problems, [arm.policy for arm in arms]), {}
        for arm, result in zip(arms, results, strict=True):
            by_task = self.by_task(result.correct)
            mean, half = intervals.mean_over_tasks(by_task)
            table[arm.name] = {"numerics": arm.numerics, "policy": vars(arm.policy), "mean": mean, "half_width": half,
                               "tasks": {t: float(v.mean()) for t, v in zip(TASKS, by_task, strict=True)},
                               "answered": float(result.answered.mean()), "tokens": float(result.tokens.mean())}
            self.log.write(arm=arm.name, mean=mean, half_width=half, **table[arm.name]["tasks"])
        np.savez_compressed(self.state / f"bits_{numerics}.npz",
                            **{arm.name: np.packbits(r.correct) for arm, r in zip(arms, results, strict=True)})
        return table

    def _compare(self, bits: dict[str, np.ndarray]) -> dict:
        rows, p_values = {}, {}
        for arm, base in self.comparisons():
            if arm not in bits or base not in bits:
                continue
            pair = self.by_task(bits[arm]), self.by_task(bits[base])
            difference, half = intervals.paired_difference(*pair)
            name = f"{arm} - {base}"
            p_values[name] = intervals.mcnemar(*pair)
            rows[name] = {"difference": difference, "half_width": half, "p": p_values[name],
                          "tasks": {t: float(a.mean() - b.mean()) for t, a, b in zip(TASKS, *pair, strict=True)}}
        for name, p in intervals.holm(p_values).items():
            rows[name]["p_holm"] = p
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path)
    add_arguments(parser)
    parser.add_argument("--weights", type=Path, help="default: STATE/reinforce.pt")
    parser.add_argument("--only", choices=PHASES, default="study")
    arguments = parser.parse_args()
    study = Study(chosen(arguments), arguments.state, arguments.weights or arguments.state / "reinforce.pt")
    study.phase(arguments.only)


if __name__ == "__main__":
    main()
