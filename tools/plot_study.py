#!/usr/bin/env python3
"""Accuracy by temperature as an SVG: tools/plot_study.py training/results/study.json OUT.svg    (gnuplot draws it)

One line a numerics over the fixed temperatures of training.study, with 95 % intervals; ReSET at its T_high.
"""

import json
import subprocess
import sys

# Okabe and Ito's palette: told apart by the colour-blind, and in print by the marks.
STYLES = {"bf16": ("#0072B2", 7), "w4a16": ("#009E73", 9), "w4a4": ("#D55E00", 5)}
SPREAD = 0.006  # of the temperature: arms of one temperature stand beside each other


def block(arms: list[dict], shift: float) -> str:
    rows = sorted((arm["policy"]["t_high"] + shift, 100 * arm["mean"], 100 * arm["half_width"]) for arm in arms)
    return "\n".join(f"{t:g} {mean:.3f} {half:.3f}" for t, mean, half in rows)


def script(study: dict, out: str) -> str:
    data, plots = [], []
    for i, (numerics, (color, mark)) in enumerate(STYLES.items()):
        arms = [arm for arm in study["arms"].values() if arm["numerics"] == numerics]
        fixed = [arm for arm in arms if arm["policy"]["t_high"] == arm["policy"]["t_low"]]
        data.append(f"$fixed{i} << EOD\n{block(fixed, SPREAD * (i - 1))}\nEOD")
        plots.append(f"$fixed{i} with yerrorlines lc rgb '{color}' pt {mark} ps 0.8 lw 1.5 title '{numerics}, fixed T'")
        reset = [arm for name, arm in study["arms"].items() if arm["numerics"] == numerics and name.split(" ", 1)[1] == "reset 1/0.3"]
        if reset:
            data.append(f"$reset{i} << EOD\n{block(reset, 0.04 + SPREAD * (i - 1))}\nEOD")
            plots.append(f"$reset{i} with yerrorbars lc rgb '{color}' pt {mark - 1} ps 1.2 lw 1.5 title '{numerics}, ReSET 1.0 / 0.3'")
    problems = study["problems_a_task"] * len(study["tasks"])
    return "\n".join([
        *data,
        f"set terminal svg size 960,480 noenhanced font 'Helvetica,14' background '#ffffff'; set output '{out}'",
        f"set title 'abacus: right answers to {problems:,} evaluation problems, 95 % intervals'",
        "set xlabel 'temperature (ReSET: T_high, drawn beside 1.0)'; set ylabel 'right, %'",
        "set xrange [0.05:1.1]; set key rmargin center; set border 3; set tics nomirror; set grid y lc rgb '#dddddd'",
        "plot " + ", ".join(plots),
    ])


def main() -> None:
    source, out = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        study = json.load(file)
    subprocess.run(["gnuplot"], input=script(study, out), text=True, check=True)


if __name__ == "__main__":
    main()
