#!/usr/bin/env python3
"""Makes tests/model/data/abacus_goldens.json: what transformers answers with models/abacus, by arg-max, in BF16.

  PYTHONPATH=. tools/make_abacus_goldens.py MODEL PROGRAM OUT    PROGRAM: the `fourstep` that makes and grades problems

One entry a problem: ids of prompt and continuation, and by how much each token of the continuation beats every other one,
in logits of the same weights computed in FP32. Two programs that round to BF16 may part where that is small, and only there.
"""

import json
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.settings import FULL, TASKS

PROBLEMS_A_TASK, MAX_TOKENS = 8, 1024


def problems(program: str, task: str) -> list[dict]:
    command = [program, "tasks", "generate", task, "--split", "calibration", "--n", str(PROBLEMS_A_TASK), "--seed", "32"]
    for knob in FULL.evaluation_knobs[task]:
        command += ["--knob", knob]
    return [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]


def margins(exact, prompt: list[int], tokens: list[int]) -> list[float]:
    """By how much each of `tokens` beats every other token under the FP32 model `exact`; below 0 where it does not."""
    logits = exact(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1:-1]
    chosen = torch.tensor(tokens)[:, None]
    return [round(m, 3) for m in (logits.gather(1, chosen)[:, 0] - logits.scatter(1, chosen, -torch.inf).amax(1)).tolist()]


def answers(model, exact, tokenizer, batch: list[dict]) -> list[dict]:
    """The problems of one task together, padded on the left."""
    prompts = [tokenizer.apply_chat_template([{"role": "user", "content": p["problem"]}], add_generation_prompt=True,
                                             return_dict=False) for p in batch]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    out = model.generate(ids, attention_mask=mask, max_new_tokens=MAX_TOKENS, do_sample=False, pad_token_id=0)
    entries = []
    for row, (problem, prompt) in enumerate(zip(batch, prompts, strict=True)):
        tokens = out[row, longest:].tolist()
        if model.generation_config.eos_token_id[0] in tokens:
            tokens = tokens[: tokens.index(model.generation_config.eos_token_id[0]) + 1]
        entries.append({"id": problem["id"], "prompt": prompt, "tokens": tokens,
                        "margins": margins(exact, prompt, tokens)})
    return entries


@torch.no_grad()
def main() -> None:
    folder, program, out = sys.argv[1:]
    torch.set_num_threads(1)  # so small a model gains nothing from more
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    exact = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    entries, right = [], 0
    for task in TASKS:
        batch = problems(program, task)
        replies = answers(model, exact, tokenizer, batch)
        graded = subprocess.run([program, "tasks", "grade", task], check=True, capture_output=True, text=True, input="".join(
            json.dumps(p | {"response": tokenizer.decode(a["tokens"], skip_special_tokens=True)}) + "\n"
            for p, a in zip(batch, replies, strict=True))).stdout
        verdicts = [json.loads(line)["correct"] is True for line in graded.splitlines()]
        for entry, verdict in zip(replies, verdicts, strict=True):
            entries.append(entry | {"correct": verdict})
        right += sum(verdicts)
        print(f"{task}: {sum(verdicts)} of {len(verdicts)} right", flush=True)
    with open(out, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in entries) + "\n]\n")


if __name__ == "__main__":
    main()
