"""Decoding policies over a batch: the temperature of every token from token and step entropies (docs/policy.md).

A policy here is a row of numbers, so that sequences under different policies share a batch: a fixed temperature is
t_high = t_low.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

WINDOW = 32
# Sums are integers in units of 2^-36 nats, as the engine keeps them.  They are exact: while an answer is younger than the
# window, the window's mean must equal the answer's, or rounding decides which steps count as uncertain.
UNITS_PER_NAT = 2.0**36
ESTIMATORS = ("hybrid", "causal-mean", "ema-from-window", "ema-from-first")  # of a step's entropy


@dataclasses.dataclass(frozen=True)
class Policy:
    name: str
    t_high: float
    t_low: float
    tau_0: float = 0.0  # nats
    gate_only: bool = False  # the threshold is always tau_0
    top_p: float = 0.95
    estimator: str = "hybrid"
    ema_decay: float = 0.9


def fixed(temperature: float, top_p: float = 0.95) -> Policy:
    return Policy(f"fixed {temperature:g}", temperature, temperature, top_p=top_p)


class PolicyState:
    """State of `slots` sequences; every tensor is [slots] unless said otherwise."""

    def __init__(self, slots: int, blank_line: list[int], newline: list[int], vocab: int, device):
        zeros = lambda *shape, dtype=torch.float32: torch.zeros(slots, *shape, dtype=dtype, device=device)  # noqa: E731
        self.t_high, self.t_low, self.tau_0, self.top_p = zeros(), zeros(), zeros(), zeros()
        self.gate_only = zeros(dtype=torch.bool)
        self.estimator = zeros(dtype=torch.int64)  # index into ESTIMATORS
        self.ema_decay = zeros()
        self.ring = zeros(WINDOW, dtype=torch.int64)  # the last entropies, across steps, in units like the totals
        self.count, self.total = zeros(dtype=torch.int64), zeros(dtype=torch.int64)
        self.step_count, self.step_total = zeros(dtype=torch.int64), zeros(dtype=torch.int64)
        self.step_average = zeros(dtype=torch.float64)  # in units
        self.last, self.before_last = zeros(dtype=torch.int64), zeros(dtype=torch.int64)  # kinds of the last tokens
        # By id: 2 contains a blank line, 1 is exactly a newline.
        self.kind = torch.zeros(vocab, dtype=torch.int64, device=device)
        self.kind[newline] = 1
        self.kind[blank_line] = 2

    def start(self, slots: Tensor, policies: list[Policy]) -> None:
        for name in ("t_high", "t_low", "tau_0", "top_p", "gate_only", "ema_decay"):
            column = getattr(self, name)
            column[slots] = torch.tensor([getattr(p, name) for p in policies], dtype=column.dtype, device=column.device)
        self.estimator[slots] = torch.tensor([ESTIMATORS.index(p.estimator) for p in policies], device=self.estimator.device)
        for column in (self.ring, self.count, self.total, self.step_count, self.step_total, self.last, self.before_last):
            column[slots] = 0

    def temperatures(self, slots: Tensor, entropy: Tensor) -> Tensor:
        """T_t of each row, from entropies before t and H_t = `entropy` [rows], which then joins them."""
        last = self.last[slots]
        border = (last == 2) | ((last == 1) & (self.before_last[slots] == 1))
        step_count = self.step_count[slots].masked_fill(border, 0)
        step_total = self.step_total[slots].masked_fill(border, 0)
        count, total, ring = self.count[slots], self.total[slots], self.ring[slots]
        average, estimator = self.step_average[slots], self.estimator[slots]
        units = (entropy.double() * UNITS_PER_NAT).round().long()
        now, first = units.double(), count == 0
        mean = lambda sums, counts: sums.double() / counts.clamp(min=1).double()  # noqa: E731
        window_mean = torch.where(first, now, mean(ring.sum(-1), count.clamp(max=WINDOW)))
        h_step = torch.where(estimator <= 1, mean(step_total, step_count), average)
        h_step = torch.where(step_count < torch.where(estimator == 0, WINDOW, 1), window_mean, h_step)
        h_mean = torch.where(first, h_step, mean(total, count))
        uncertain = (h_step > h_mean) & ~self.gate_only[slots]
        hot = torch.where(uncertain, now >= h_step, entropy >= self.tau_0[slots])
        temperature = torch.where(hot, self.t_high[slots], self.t_low[slots])
        start = torch.where(estimator == 2, window_mean, now)
        past = torch.where(step_count == 0, start, average)
        self.step_average[slots] = torch.addcmul(now, self.ema_decay[slots].double(), past - now)
        self.ring[slots, count % WINDOW] = units
        self.count[slots], self.total[slots] = count + 1, total + units
        self.step_count[slots], self.step_total[slots] = step_count + 1, step_total + units
        return temperature

    def observe(self, slots: Tensor, tokens: Tensor) -> None:
        """The tokens drawn: where steps end."""
        self.before_last[slots] = self.last[slots]
        self.last[slots] = self.kind[tokens]
