#!/usr/bin/env python3
"""Writes reset_traces.jsonl: traces of the ReSET policy by a direct reading of its formulas.

Every mean is taken anew over a list of fractions, so the oracle knows nothing of running sums or of rounding.
Entropies and tau_0 are multiples of 2^-12 (exact as float and as JSON number), on a coarse grid in half of the
traces so that ties are common.

Usage: make_reset_traces.py > reset_traces.jsonl
"""

import json
import random
from fractions import Fraction

UNIT = Fraction(1, 4096)
CASES = [(1, 8), (2, 60), (3, 120), (4, 200), (8, 200), (32, 300), (64, 300)]


def mean(values):
    return sum(values, Fraction(0)) / len(values)


def temperatures_of(trace):
    entropies = [Fraction(h) for h in trace["entropies"]]
    tokens, w, tau_0 = trace["tokens"], trace["window"], Fraction(trace["tau_0"])
    chosen, begin = [], 0
    for t, h in enumerate(entropies):
        if t >= 1 and (tokens[t - 1] == "d" or (t >= 2 and tokens[t - 2 : t] == "nn")):
            begin = t
        before, step = entropies[:t], entropies[begin:t]
        if not before:
            h_step = h_mean = h
        else:
            h_step = mean(step) if len(step) >= w else mean(before[-w:])
            h_mean = mean(before)
        tau = h_step if h_step > h_mean else tau_0
        chosen.append(trace["t_high"] if h >= tau else trace["t_low"])
    return chosen


def main():
    rng = random.Random(20260613)
    for index in range(4 * len(CASES)):
        window, length = CASES[index % len(CASES)]
        grid = 1 if index % 2 else 1024
        def entropy():
            units = int(min(rng.expovariate(2.0), 12.0) * 4096) // grid * grid
            return float(units * UNIT)
        trace = {
            "id": f"oracle-{index}",
            "t_high": rng.choice([0.8, 1.0, 1.2]),
            "t_low": rng.choice([0.0, 0.1, 0.3, 0.6]),
            "tau_0": float(rng.randrange(0, 5000) // grid * grid * UNIT),
            "window": window,
            "entropies": [entropy() for _ in range(length)],
            "tokens": "".join(rng.choices("wnd", [90, 9, 1] if index % 3 else [50, 40, 10], k=length)),
        }
        trace["temperatures"] = temperatures_of(trace)
        print(json.dumps(trace))


if __name__ == "__main__":
    main()
