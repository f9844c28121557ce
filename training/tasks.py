"""Problems and verdicts, from the product's own program: training, evaluation and the shipped tool cannot disagree."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterable, Iterator

from training.settings import fourstep_program


@dataclasses.dataclass(frozen=True)
class Problem:
    id: str
    task: str
    text: str
    answer: str
    trace: str = ""


def generate(task: str, split: str, count: int, seed: int, *, traces: bool = False, knobs: Iterable[str] = (),
             threads: int = 1) -> Iterator[Problem]:
    """`count` problems, in the program's order.  `knobs` are "name=value" or "name=low..high"."""
    command = [fourstep_program(), "tasks", "generate", task, "--split", split, "--n", str(count), "--seed", str(seed),
               "--threads", str(threads)]
    if traces:
        command.append("--with-traces")
    for knob in knobs:
        command += ["--knob", knob]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        for line in program.stdout:
            fields = json.loads(line)
            yield Problem(fields["id"], task, fields["problem"], fields["answer"], fields.get("trace", ""))
    if program.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with status {program.returncode}")


def grade(problems: list[Problem], replies: list[str]) -> list[bool | None]:
    """One verdict a reply, in order: right, wrong, or None where it holds no answer."""
    verdicts: list[bool | None] = [None] * len(problems)
    for task in sorted({problem.task for problem in problems}):
        places = [i for i, problem in enumerate(problems) if problem.task == task]
        lines = "".join(
            json.dumps({"id": problems[i].id, "problem": problems[i].text, "answer": problems[i].answer,
                        "response": replies[i]}) + "\n" for i in places)
        output = subprocess.run([fourstep_program(), "tasks", "grade", task], input=lines, text=True, check=True,
                                stdout=subprocess.PIPE).stdout
        for i, line in zip(places, output.splitlines(), strict=True):
            verdicts[i] = json.loads(line)["correct"]
    return verdicts
