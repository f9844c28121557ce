"""Reinforcement at T = 1: group-relative policy gradient.  `python3 -m training.reinforce STATE --minutes 10`.

Under torchrun every GPU takes its share of a round's problems, and the gradients are summed.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from training import evaluation, tokenizer as tokenizers
from training.inference import LINEARS
from training.model import Model
from training.policies import fixed
from training.progress import Log
from training.sampler import Job, Reply
from training.settings import TASKS, Settings, add_arguments, chosen
from training.tasks import Problem, generate, grade

ROLL_BACK = 0.15  # accuracy lost against the best running mean that counts as a collapse
PADDING = 64  # sequences of a micro-batch are padded to a multiple of this many tokens
FORKS = (0.1, 0.7)  # nats: tokens between them are choices that a bonus can open; below it is copying and arithmetic
LARGEST_BONUS = 0.3


class Ranks:
    """The processes that train together, one a GPU; a single one outside torchrun."""

    def __init__(self):
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
        if torch.cuda.is_available():
            torch.cuda.set_device(self.device)
        if self.count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Over all ranks, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def means(self, values: list[float]) -> list[float]:
        """Of every value over the ranks, so that all decide alike."""
        total = self.sum(torch.tensor(values, dtype=torch.float64, device=self.device))
        return (total / self.count).tolist()


class Rounds:
    """The problems of each round, made ahead by a thread; a rank's share of `groups`, evenly over the tasks."""

    def __init__(self, settings: Settings, first_round: int, ranks: Ranks):
        if settings.reinforce.groups % (len(TASKS) * ranks.count):
            raise ValueError(f"reinforce.groups={settings.reinforce.groups}: expected a multiple of "
                             f"{len(TASKS)} tasks times {ranks.count} processes")
        self.settings, self.round, self.ranks, self.next = settings, first_round, ranks, None
        self.thread = None
        self._begin()

    def _make(self, number: int) -> None:
        each = self.settings.reinforce.groups // len(TASKS) // self.ranks.count
        seed = 900_000_000 + self.settings.seed * 1_000_000 + number * self.ranks.count + self.ranks.rank
        self.next = [p for task in TASKS for p in generate(
            task, "training", each, seed, knobs=self.settings.reinforce_knobs.get(task, ()), threads=2)]

    def _begin(self) -> None:
        self.thread = threading.Thread(target=self._make, args=(self.round,))
        self.thread.start()

    def take(self) -> list[Problem]:
        self.thread.join()
        problems, self.next = self.next, None
        self.round += 1
        self._begin()
        return problems


def advantages(rewards: np.ndarray) -> np.ndarray:
    """rewards [groups, samples] of 0 or 1: how much better than its group, in standard deviations."""
    centered = rewards - rewards.mean(1, keepdims=True)
    return centered / (rewards.std(1, keepdims=True) + 1e-4)


def micro_batches(sequences: list[np.ndarray], budget_tokens: int) -> list[list[int]]:
    """Indices, sorted by length and cut so that each batch, padded to its longest, stays within the budget."""
    parts, part, longest = [], [], 0
    for i in sorted(range(len(sequences)), key=lambda i: len(sequences[i])):
        longest = -(-len(sequences[i]) // PADDING) * PADDING
        if part and longest * (len(part) + 1) > budget_tokens:
            parts.append(part)
            part = []
        part.append(i)
    return parts + [part] if part else parts


def policy_loss(model: Model, tokens: torch.Tensor, old: torch.Tensor, weight: torch.Tensor, mask: torch.Tensor,
                clip: tuple[float, float], bonus: float, count: torch.Tensor) -> torch.Tensor:
    """Minus the clipped surrogate and `bonus` times the entropy of FORKS, summed over reply tokens, over `count`.
    tokens [rows, n + 1]; the others [rows, n]: old ln p, advantage, whether the target is a reply's token."""
    log_p = torch.log_softmax(model.logits(model(tokens[:, :-1])), -1)
    new = log_p.gather(-1, tokens[:, 1:, None])[..., 0]
    ratio = ((new - old) * mask).exp()
    clipped = ratio.clamp(1 - clip[0], 1 + clip[1])
    gain = torch.minimum(ratio * weight, clipped * weight)
    if bonus:
        entropy = -(log_p.exp() * log_p).sum(-1)
        gain = gain + bonus * entropy * ((entropy > FORKS[0]) & (entropy < FORKS[1]))
    return -(gain * mask).sum() / count


def next_bonus(bonus: float, missing_nats: float) -> float:
    """The entropy bonus of the next round: a tenth more for every tenth of a nat that the 80th percentile lacks."""
    return min(LARGEST_BONUS, bonus * float(np.exp(missing_nats)))


class Trainer:
    def __init__(self, settings: Settings, state: Path):
        self.settings, self.state, self.ranks = settings, state, Ranks()
        self.device = self.ranks.device
        self.tokenizer = tokenizers.load(state / "tokenizer")
        self.model = Model(settings.model).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.reinforce.rate, betas=(0.9, 0.95),
                                          fused=torch.cuda.is_available())
        self.rate = settings.reinforce.rate  # halved by every collapse
        self.bonus = settings.reinforce.entropy_bonus if settings.reinforce.entropy_goal else 0.0
        self.round, self.best, self.mean, self.seconds = 0, 0.0, None, 0.0
        self.path = state / "reinforce.pt"
        if self.path.exists():
            self._restore(self.path)
        else:
            saved = torch.load(state / "supervised.pt", map_location=self.device, weights_only=True)
            self.model.load_state_dict(saved["model"])
        r = settings.reinforce
        if r.compiled:
            for block in self.model.blocks:
                block.compile(dynamic=True)
        self.sampler = evaluation.make_sampler(self.model, self.tokenizer, "bf16", settings,
                                               r.groups * r.samples // self.ranks.count, r.max_tokens)

    def _restore(self, path: Path) -> None:
        saved = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.round, self.best, self.mean, self.seconds, self.bonus = (
            saved[k] for k in ("round", "best", "mean", "seconds", "bonus"))

    def save(self, path: Path) -> None:
        if self.ranks.rank != 0:
            return
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "round": self.round,
                    "best": self.best, "mean": self.mean, "seconds": self.seconds, "bonus": self.bonus},
                   path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    @torch.no_grad()
    def refresh_engine(self) -> None:
        """Copies the weights to where the captured graphs read them."""
        engine, model = self.sampler.engine, self.model
        engine.embedding.copy_(model.embedding)
        engine.norm.copy_(model.norm)
        for layer, block in zip(engine.layers, model.blocks, strict=True):
            for name in ("input_norm", "post_norm", "q_norm", "k_norm"):
                layer[name].copy_(getattr(block, name))
            for name in LINEARS:
                layer[name].weight.copy_(getattr(block, name))

    def sample(self, problems: list[Problem]) -> tuple[list[list[int]], list[Reply], np.ndarray, list[Problem]]:
        """Prompts, replies and rewards, `samples` of each problem next to each other."""
        samples = self.settings.reinforce.samples
        repeated = [problem for problem in problems for _ in range(samples)]
        prompts = evaluation.prompts_of(self.tokenizer, repeated)
        policy = fixed(1.0, top_p=1.0)
        jobs = [Job(prompt, policy, evaluation.stream_of(problem, self.round * samples + i % samples))
                for i, (prompt, problem) in enumerate(zip(prompts, repeated, strict=True))]
        replies = self.sampler.run(jobs)
        texts = self.tokenizer.decode_batch([reply.tokens for reply in replies], skip_special_tokens=True)
        right = np.array([v is True for v in grade(repeated, texts)], np.float32)
        right *= np.array([reply.finished for reply in replies])
        return prompts, replies, right, repeated

    def learn(self, prompts, replies, advantage: np.ndarray) -> float:
        """One pass over the replies whose group has a signal, in `updates` optimizer steps."""
        r = self.settings.reinforce
        useful = [i for i in range(len(replies)) if advantage[i] != 0 and replies[i].tokens]
        np.random.default_rng(self.round).shuffle(useful)
        norms = []
        for part in np.array_split(useful, r.updates):
            count = self.ranks.sum(torch.tensor(float(sum(len(replies[i].tokens) for i in part)), device=self.device))
            if count == 0:
                continue
            sequences = [np.array(prompts[i] + replies[i].tokens) for i in part]
            for rows in micro_batches(sequences, r.micro_batch_tokens):
                self._backward([part[k] for k in rows], prompts, replies, advantage, count)
            self._sum_gradients()
            norms.append(torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).item())
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return float(np.mean(norms)) if norms else 0.0

    def _sum_gradients(self) -> None:
        if self.ranks.count > 1:
            for parameter in self.model.parameters():
                if parameter.grad is None:  # no reply of this rank had a signal
                    parameter.grad = torch.zeros_like(parameter)
                self.ranks.sum(parameter.grad)

    def _backward(self, part, prompts, replies, advantage, count) -> None:
        longest = max(len(prompts[i]) + len(replies[i].tokens) for i in part)
        longest = -(-longest // PADDING) * PADDING + 1
        tokens = np.zeros((len(part), longest), np.int64)
        old, weight, mask = (np.zeros((len(part), longest - 1), np.float32) for _ in range(3))
        for row, i in enumerate(part):
            start, length = len(prompts[i]), len(replies[i].tokens)
            tokens[row, :start], tokens[row, start:start + length] = prompts[i], replies[i].tokens
            reply = slice(start - 1, start - 1 + length)
            old[row, reply], weight[row, reply], mask[row, reply] = replies[i].logprobs.numpy(), advantage[i], 1
        tensors = [torch.from_numpy(a).to(self.device) for a in (tokens, old, weight, mask)]
        r = self.settings.reinforce
        policy_loss(self.model, *tensors, (r.clip_low, r.clip_high), self.bonus, count).backward()

    def one_round(self, problems: list[Problem]) -> dict:
        started = time.monotonic()
        self.refresh_engine()
        prompts, replies, right, repeated = self.sample(problems)
        sampled = time.monotonic()
        groups = right.reshape(-1, self.settings.reinforce.samples)
        norm = self.learn(prompts, replies, advantages(groups).reshape(-1))
        by_task = {task: float(right[[p.task == task for p in repeated]].mean()) for task in TASKS}
        accuracy = float(np.mean(list(by_task.values())))
        entropies = torch.cat([r.entropies for r in replies]).numpy()
        self.round += 1
        fields = {"accuracy": accuracy, **by_task, "gradient_norm": norm,
                  "useful": float(((groups.mean(1) > 0) & (groups.mean(1) < 1)).mean()),
                  "finished": float(np.mean([r.finished for r in replies])),
                  "reply_tokens": float(np.mean([len(r.tokens) for r in replies])),
                  "entropy": float(entropies.mean()), "entropy_p80": float(np.percentile(entropies, 80)),
                  "entropy_bonus": self.bonus,
                  "sample_seconds": sampled - started, "learn_seconds": time.monotonic() - sampled}
        means = dict(zip(fields, self.ranks.means(list(fields.values())), strict=True))
        self.bonus = next_bonus(self.bonus, self.settings.reinforce.entropy_goal - means["entropy_p80"])
        return {"round": self.round, **means}

    def keep_or_roll_back(self, accuracy: float) -> bool:
        """Follows a running mean; keeps the best, goes back to it on a collapse.  True where it went back."""
        self.mean = accuracy if self.mean is None else 0.7 * self.mean + 0.3 * accuracy
        best_path = self.state / "reinforce_best.pt"
        if self.mean > self.best:
            self.best = self.mean
            if self.round % 5 == 0 or not best_path.exists():
                self.save(best_path)
        elif self.mean < self.best - ROLL_BACK and best_path.exists():
            round_now = self.round
            self._restore(best_path)
            self.round = round_now
            self.rate *= 0.5
            return True
        return False


def train(settings: Settings, state: Path, minutes: float | None) -> Model:
    trainer = Trainer(settings, state)
    log = Log(state / "reinforce.jsonl") if trainer.ranks.rank == 0 else None
    rounds = Rounds(settings, trainer.round, trainer.ranks)
    started = time.monotonic() - trainer.seconds
    saved_at = time.monotonic()
    while trainer.round < settings.reinforce.rounds:
        trainer.seconds = trainer.ranks.means([time.monotonic() - started])[0]
        if minutes and trainer.seconds >= 60 * minutes:
            break
        left = 1.0
        if minutes and settings.reinforce.anneal_share:
            left = (1 - trainer.seconds / (60 * minutes)) / settings.reinforce.anneal_share
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.rate * min(1.0, max(0.1, left))
        fields = trainer.one_round(rounds.take())
        went_back = trainer.keep_or_roll_back(fields["accuracy"])
        if log:
            log.write(seconds=round(time.monotonic() - started, 1), rolled_back=went_back, **fields)
        if time.monotonic() - saved_at > 60:
            trainer.save(trainer.path)
            saved_at = time.monotonic()
    trainer.save(trainer.path)
    rounds.thread.join()
    if dist.is_initialized():
        dist.destroy_process_group()
    return trainer.model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    add_arguments(parser)
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    train(chosen(arguments), arguments.state, arguments.minutes)


if __name__ == "__main__":
    main()
