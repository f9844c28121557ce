"""The road from nothing to a Hugging Face folder, in the tiny size, on a CPU; and its parts against independent ones."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch

from training import evaluation, export, intervals, quantization, reinforce, supervised
from training import tokenizer as tokenizers
from training.inference import Engine
from training.model import Model
from training.muon import Muon
from training.policies import ESTIMATORS, Policy, PolicyState, fixed
from training.settings import FULL, TINY, changed, fourstep_program
from training.study import Study
from training.tasks import generate

ROOT = Path(__file__).resolve().parent.parent.parent
E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]


def nearest(x: float, grid: list[float]) -> float:
    """The grid's nearest value, ties to the even index."""
    return min(enumerate(grid), key=lambda item: (abs(x - item[1]), item[0] % 2))[1]


class Formats(unittest.TestCase):
    def test_e2m1_at_every_tie_and_beside_it(self):
        for low, high in itertools.pairwise(E2M1):
            tie = (low + high) / 2
            for x in (tie, np.nextafter(np.float32(tie), 9), np.nextafter(np.float32(tie), 0), high, 7.0):
                got = quantization.round_e2m1(torch.tensor([float(x), -float(x)]))
                self.assertEqual(got.tolist(), [nearest(float(x), E2M1), -nearest(float(x), E2M1)], x)

    def test_e4m3_at_every_tie(self):
        grid = [m * 2.0**-9 for m in range(8)] + [(1 + m / 8) * 2.0 ** (e - 7) for e in range(1, 16) for m in range(8)]
        grid = grid[:-1]  # the last code is NaN
        ties = [(a + b) / 2 for a, b in itertools.pairwise(grid)]
        want = [nearest(x, grid) for x in grid + ties]
        self.assertEqual(quantization.round_e4m3(torch.tensor(grid + ties)).tolist(), want)
        self.assertEqual(quantization.round_e4m3(torch.tensor([1e9])).item(), 448)

    def test_a_block_of_weights(self):
        """The worked example of docs/numerics.md's format: 16 weights k/32, tensor maximum 2."""
        signs = [1, -1, 1, 1, -1, 1, 1, -1, 1, 1, -1, 1, 1, -1, 1, -1]
        weights = torch.tensor([[s * (k + 1) / 32 for k, s in enumerate(signs)]])
        got = quantization.quantize_weight(weights, quantization.global_scale(2.0)) / 112
        codes = [1, 10, 2, 3, 12, 4, 5, 13, 5, 6, 14, 6, 6, 15, 7, 15]
        want = [E2M1[c & 7] * (-1 if c & 8 else 1) for c in codes]
        self.assertEqual(got.tolist()[0], want)


class Policies(unittest.TestCase):
    def test_replays_the_recorded_traces(self):
        lines = (ROOT / "tests/sampling/reset_traces.jsonl").read_text().splitlines()
        traces = [trace for trace in map(json.loads, lines) if trace.get("window", 32) == 32]
        self.assertGreater(len(traces), 3)
        for trace in traces:
            self.expect_temperatures(trace, trace["temperatures"])

    def test_estimators_are_the_programs(self):
        random = np.random.default_rng(6)
        traces = [{"id": f"{estimator} {decay}", "t_high": 1.0, "t_low": 0.3, "tau_0": 0.5, "window": 32, "estimator": estimator,
                   "ema_decay": decay, "entropies": random.gamma(0.5, 0.6, 150).astype(np.float32).tolist(),
                   "tokens": "".join(random.choice(list("wwwwwwnd"), 150))}
                  for estimator in ESTIMATORS for decay in (0.9, 0.5)]
        replayed = subprocess.run([fourstep_program(), "policy", "replay"], input="\n".join(map(json.dumps, traces)),
                                  capture_output=True, text=True, check=True).stdout
        for trace, line in zip(traces, replayed.splitlines(), strict=True):
            self.expect_temperatures(trace, json.loads(line)["temperatures"])

    def expect_temperatures(self, trace: dict, want: list[float]) -> None:
        state = PolicyState(1, [2], [1], 3, "cpu")
        policy = Policy("", trace["t_high"], trace["t_low"], trace["tau_0"], trace.get("token_gate_only", False),
                        estimator=trace.get("estimator", "hybrid"), ema_decay=trace.get("ema_decay", Policy.ema_decay))
        state.start(torch.tensor([0]), [policy])
        slot, got = torch.tensor([0]), []
        for entropy, letter in zip(trace["entropies"], trace["tokens"], strict=True):
            got.append(state.temperatures(slot, torch.tensor([entropy])).item())
            state.observe(slot, torch.tensor(["wnd".index(letter)]))
        np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=str(trace["id"]))


class Statistics(unittest.TestCase):
    def test_mcnemar_is_the_binomial_tail(self):
        a = [np.array([True] * 9 + [False] * 2 + [True] * 5)]
        b = [np.array([False] * 9 + [True] * 2 + [True] * 5)]
        want = 2 * sum(math.comb(11, k) for k in range(3)) / 2**11
        self.assertAlmostEqual(intervals.mcnemar(a, b), want, places=12)

    def test_holm(self):
        self.assertEqual(intervals.holm({"a": 0.01, "b": 0.04, "c": 0.03}), {"a": 0.03, "c": 0.06, "b": 0.06})


class Optimizer(unittest.TestCase):
    def test_batched_muon_is_torchs(self):
        torch.manual_seed(3)
        shapes = [(96, 32), (32, 96), (96, 32), (64, 64), (32, 96)]
        ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
        theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
        optimizers = (Muon(ours, lr=0.05, weight_decay=0.1),
                      torch.optim.Muon(theirs, lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"))
        start = [p.detach().clone() for p in ours]
        for _ in range(3):
            for a, b in zip(ours, theirs, strict=True):
                a.grad = torch.randn(a.shape)
                b.grad = a.grad.clone()
            for optimizer in optimizers:
                optimizer.step()
        for a, b, s in zip(ours, theirs, start, strict=True):  # BF16 sums may be taken in another order
            self.assertLess(((a - b).norm() / (b - s).norm()).item(), 0.02)


class Reinforcement(unittest.TestCase):
    def test_groups_are_shared_out_evenly_or_refused(self):
        with self.assertRaisesRegex(ValueError, "reinforce.groups=6: expected a multiple of 4 tasks times 1"):
            reinforce.Rounds(changed(TINY, "reinforce.groups=6"), 0, reinforce.Ranks())

    def test_the_entropy_bonus_opens_choices_and_leaves_certain_tokens_alone(self):
        class Head(torch.nn.Module):  # logits that are its parameters, whatever the tokens
            def __init__(self, logits):
                super().__init__()
                self.rows = torch.nn.Parameter(logits)
            def forward(self, tokens):
                return self.rows[None]
            def logits(self, states):
                return states

        logits = torch.tensor([[8.0, 0.0, -9.0], [2.0, 0.0, -9.0], [0.0, 0.0, 0.0]])  # 0.003, 0.37 and 1.1 nats
        row = torch.zeros(1, 3)
        for bonus, opened in ((0.0, [0, 0, 0]), (0.5, [0, 1, 0])):
            model = Head(logits.clone())
            old = torch.log_softmax(logits, -1)[None, :, 0]
            reinforce.policy_loss(model, torch.zeros(1, 4, dtype=torch.int64), old, row, torch.ones(1, 3), (0.2, 0.2),
                                  bonus, torch.tensor(3.0)).backward()
            step = -model.rows.grad
            self.assertEqual([bool(s[1] > 1e-6 and s[0] < -1e-6) for s in step], [bool(o) for o in opened])

    def test_the_entropy_bonus_follows_what_is_missing(self):
        self.assertGreater(reinforce.next_bonus(0.01, 0.2), 0.012)
        self.assertLess(reinforce.next_bonus(0.01, -0.2), 0.0085)
        self.assertEqual(reinforce.next_bonus(0.29, 1.0), reinforce.LARGEST_BONUS)
        self.assertEqual(reinforce.next_bonus(0.0, 1.0), 0.0)


class Settings(unittest.TestCase):
    def test_a_change_replaces_one_number(self):
        got = changed(changed(FULL, "seed=2"), "supervised.optimizer=adamw")
        self.assertEqual((got.seed, got.supervised.optimizer, got.supervised.rows), (2, "adamw", FULL.supervised.rows))

    def test_a_change_that_names_nothing_is_refused(self):
        for change in ("seed", "seed=a", "x=1", "supervised=1", "supervised.rows=1.5", "nothing.rows=1"):
            with self.assertRaisesRegex(ValueError, change):
                changed(FULL, change)


class Road(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(2)
        cls.folder = tempfile.TemporaryDirectory()
        cls.state = Path(cls.folder.name)
        tokenizers.train(TINY, cls.state / "tokenizer")
        supervised.train(TINY, cls.state, None, workers=1)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def log(self, name: str) -> list[dict]:
        return [json.loads(line) for line in (self.state / f"{name}.jsonl").read_text().splitlines()]

    def test_1_supervised_training_learns_and_resumes(self):
        self.assertLess(self.log("supervised")[0]["loss"], math.log(TINY.model.vocab) - 0.5)
        before = (self.state / "supervised.pt").stat().st_mtime_ns
        supervised.train(TINY, self.state, None, workers=1)  # every step is done: no further one
        self.assertEqual(self.log("supervised")[-1]["step"], TINY.supervised.steps)
        self.assertGreater((self.state / "supervised.pt").stat().st_mtime_ns, before)

    def test_2_decoding_token_by_token_gives_the_trainers_logits(self):
        model = self.model("supervised.pt")
        tokens = torch.randint(0, TINY.model.vocab, (2, 40))
        engine = Engine(model, "bf16", 2, 64)
        with torch.no_grad():
            want = model.logits(model(tokens))
            engine.prefill(tokens[:, :30], torch.tensor([1, 0]))
            for position in range(30, 40):
                got = engine.decode(tokens[:, position], torch.full((2,), position), torch.tensor([1, 0]))
                error = (got - want[:, position]).abs().max() / want.std()
                self.assertLess(error.item(), 0.1)  # BF16 keeps 8 bits; a wrong position or head gives about 1

    def test_3_reinforcement_runs_and_resumes(self):
        reinforce.train(TINY, self.state, None)
        rounds = [line["round"] for line in self.log("reinforce")]
        self.assertEqual(rounds, list(range(1, TINY.reinforce.rounds + 1)))
        reinforce.train(TINY, self.state, None)
        self.assertEqual(len(self.log("reinforce")), len(rounds))

    def test_4_the_study_is_whole(self):
        study = Study(TINY, self.state, self.state / "reinforce.pt")
        study.phase("study")
        result = json.loads((self.state / "study.json").read_text())
        self.assertEqual({arm["numerics"] for arm in result["arms"].values()}, {"bf16", "w4a16", "w4a4"})
        self.assertIn("w4a4 reset tuned", result["arms"])

    def test_5_transformers_reads_what_is_exported(self):
        from transformers import AutoModelForCausalLM, AutoTokenizer
        model, folder = self.model("reinforce.pt"), self.state / "folder"
        export.export(model, self.state / "tokenizer", folder)
        theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        problem = next(iter(generate("dag", "calibration", 1, 3)))
        ids = tokenizer.apply_chat_template([{"role": "user", "content": problem.text}], add_generation_prompt=True,
                                            return_dict=False)
        self.assertEqual(ids, evaluation.prompts_of(tokenizers.load(self.state / "tokenizer"), [problem])[0])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.data = parameter.data.bfloat16().float()
            want = theirs(torch.tensor([ids])).logits.float()
            got = model.logits(model(torch.tensor([ids])))
        self.assertLess(((got - want).abs().max() / want.std()).item(), 0.1)

    def model(self, name: str) -> Model:
        model = Model(TINY.model)
        model.load_state_dict(torch.load(self.state / name, weights_only=True)["model"])
        return model


if __name__ == "__main__":
    unittest.main()
