#!/usr/bin/env python3
"""Makes tests/model/data/abacus_goldens.json: what transformers answers with models/abacus, by arg-max, in BF16.

  PYTHONPATH=. tools/make_abacus_goldens.py MODEL PROGRAM OUT    PROGRAM: the `fourstep` that makes and grades problems

One entry a problem: ids of prompt and continuation, and by how much each token of the continuation beats the second best
(logits). Two programs that round differently may part where that is small, and only there.
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


def answers(model, tokenizer, batch: list[dict]) -> list[dict]:
    """The problems of one task together, padded on the left."""
    prompts = [tokenizer.apply_chat_template([{"role": "user", "content": p["problem"]}], add_generation_prompt=True,
                                             return_dict=False) for p in batch]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    out = model.generate(ids, attention_mask=mask, max_new_tokens=MAX_TOKENS, do_sample=False, output_logits=True,
                         return_dict_in_generate=True, pad_token_id=0)
    best = torch.stack(out.logits, 1).float().topk(2).values  # [problems, tokens, 2]
    entries = []
    for row, (problem, prompt) in enumerate(zip(batch, prompts, strict=True)):
        tokens = out.sequences[row, longest:].tolist()
        if model.generation_config.eos_token_id[0] in tokens:
            tokens = tokens[: tokens.index(model.generation_config.eos_token_id[0]) + 1]
        margins = (best[row, : len(tokens), 0] - best[row, : len(tokens), 1]).tolist()
        entries.append({"id": problem["id"], "prompt": prompt, "tokens": tokens,
                        "margins": [round(m, 3) for m in margins]})
    return entries


def main() -> None:
    folder, program, out = sys.argv[1:]
    torch.set_num_threads(1)  # so small a model gains nothing from more
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    entries, right = [], 0
    for task in TASKS:
        batch = problems(program, task)
        replies = answers(model, tokenizer, batch)
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
