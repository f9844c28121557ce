#!/usr/bin/env python3
"""Renders conversations with transformers' apply_chat_template: one JSON line each.

  make_chat_goldens.py [--templates FOLDER] [--out FILE | --check FILE]

FOLDER holds <name>.jinja for every name in NAMES. The templates in the repository write the same turns as the published
ones, in fewer words; --check with a folder of those that checkpoints carry proves it.
"""

import argparse
import json
import pathlib
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

BOS = {"deepseek-r1": "<｜begin▁of▁sentence｜>", "llama3": "<|begin_of_text|>"}
NAMES = [
    "qwen3",
    "qwen3-thinking",
    "deepseek-r1",
    "deepseek-r1-early",
    "chatml",
    "chatml-qwen2",
    "chatml-qwen2.5",
    "llama3",
    "llama3.1",
]


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


THOUGHT = "<think>\nFirst, 2 + 2.\n\nWait, 5.\n</think>\n\nIt is 4."
CONVERSATIONS = [
    [turn("user", "What is 2 + 2?")],
    [turn("user", "")],
    [turn("system", "Be brief."), turn("user", "Hi")],
    [turn("system", ""), turn("user", "Hi"), turn("assistant", "")],
    [turn("user", "a"), turn("assistant", THOUGHT), turn("user", "b")],
    [turn("user", "a"), turn("assistant", THOUGHT)],
    [turn("user", "a"), turn("assistant", THOUGHT), turn("assistant", "More."), turn("assistant", THOUGHT)],
    [turn("system", "S"), turn("user", "a"), turn("assistant", "b"), turn("user", "c"), turn("assistant", "d")],
    [turn("user", "a"), turn("assistant", "The answer.", reasoning_content="\n\nBecause.\n"), turn("user", "b")],
    [turn("user", "a"), turn("assistant", "\n\nThe answer.\n", reasoning_content="\n\nBecause.\n")],
    [turn("user", "a"), turn("assistant", "The answer.", reasoning_content=""), turn("assistant", "x</think>y")],
    [turn("user", "a"), turn("assistant", "no open tag</think>\n\n\nthe answer\n\n")],
    [turn("user", "a"), turn("assistant", "<think>a</think>b<think>c</think>d<think>")],
    [turn("user", "a"), turn("assistant", "<think>\n\n</think>\n\nb"), turn("user", "<think>c</think>")],
    [turn("assistant", "I begin."), turn("assistant", THOUGHT)],
    [turn("system", "One"), turn("system", "Two"), turn("user", "x"), turn("system", "Three"), turn("user", "y")],
    [turn("user", "q"), turn("assistant", THOUGHT), turn("user", "<tool_response>\n7\n</tool_response>")],
    [turn("user", "  spaces \n\t around \u00a0\u3000\u001c\n"), turn("assistant", " \n x \n "), turn("user", "\u2028")],
    [turn("user", "Ünïcödé 你好 🙂 e\u0301 \u0000 \\n \\ ' \" {{ x }} {% y %} <|im_end|>")],
    [turn("system", " \n "), turn("user", "\n"), turn("assistant", "<think></think>"), turn("user", "</think>")],
]
WITH_TOOLS = [
    [turn("user", "q"), turn("assistant", THOUGHT), turn("tool", "1"), turn("tool", "2"), turn("assistant", THOUGHT)],
    [turn("tool", "1"), turn("user", "q"), turn("tool", "2")],
]


def render(name, jinja, messages, options):
    bos = next((token for prefix, token in BOS.items() if name.startswith(prefix)), None)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=bos, chat_template=jinja)
    return tokenizer.apply_chat_template(messages, tokenize=False, date_string="26 Jul 2024", **options)


def lines_of(folder):
    lines = []
    for name in NAMES:
        jinja = (folder / f"{name}.jinja").read_text(encoding="utf-8")
        for messages in CONVERSATIONS + (WITH_TOOLS if name.startswith("qwen3") else []):
            for options in (
                {"add_generation_prompt": True},
                {"add_generation_prompt": False},
                {"add_generation_prompt": True, "enable_thinking": False},
            ):
                if "enable_thinking" in options and name != "qwen3":
                    continue
                rendered = render(name, jinja, messages, options)
                line = {"template": name, "messages": messages, **options, "rendered": rendered}
                lines.append(json.dumps(line, ensure_ascii=False))
    return lines


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=pathlib.Path, default=root / "tests/checkpoint/data/templates")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path)
    args = parser.parse_args()
    lines = lines_of(args.templates)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if args.check:
        expected = args.check.read_text(encoding="utf-8").split("\n")[:-1]
        different = [i for i, (a, b) in enumerate(zip(lines, expected)) if a != b]
        for i in different[:5]:
            print(f"expected {expected[i]}\nrendered {lines[i]}")
        print(f"{len(lines)} conversations, {len(expected)} expected, {len(different)} differences")
        return 1 if different or len(lines) != len(expected) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
