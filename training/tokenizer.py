"""The tokenizer: byte-level BPE with the Qwen pattern, trained on traces; files as a Hugging Face folder has them."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE

from training.settings import SUPERVISED_SHARES, Settings
from training.tasks import generate

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKS = ("<think>", "</think>")
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")
# The turns of Qwen3, so that whatever runs Qwen3 runs this too.
TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text()


def prompt_of(problem: str) -> str:
    return f"<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n"


def train(settings: Settings, folder: Path) -> Tokenizer:
    """Trains on prompts and traces of every task and writes tokenizer.json and tokenizer_config.json to `folder`."""
    tokenizer = Tokenizer(BPE(byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()

    def texts():
        for task in SUPERVISED_SHARES:
            for problem in generate(task, "training", settings.tokenizer_traces, seed=0, traces=True, threads=8,
                                    knobs=settings.training_knobs.get(task, ())):
                yield problem.text
                yield problem.trace.replace("<think>", "").replace("</think>", "")

    trainer = trainers.BpeTrainer(vocab_size=settings.model.vocab - len(SPECIAL) - len(MARKS), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKS])
    _check(tokenizer, settings.model.vocab)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "clean_up_tokenization_spaces": False, "errors": "replace",
        "model_max_length": settings.model.max_positions, "chat_template": TEMPLATE}, indent=2) + "\n")
    return tokenizer


def _check(tokenizer: Tokenizer, vocab: int) -> None:
    """What the decoding policy needs of a tokenizer: step borders are tokens of their own, and a newline is apart."""
    if tokenizer.get_vocab_size() > vocab:
        raise RuntimeError(f"{tokenizer.get_vocab_size()} entries, expected at most {vocab}")
    for text in ("\n\n", ".\n\n", "\n"):
        if len(tokenizer.encode(text, add_special_tokens=False).ids) != 1:
            raise RuntimeError(f"{text!r} is not one token")


def load(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def boundary_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids whose text contains a blank line, and ids whose text is exactly a newline."""
    texts = {i: tokenizer.decode([i], skip_special_tokens=False) for i in range(tokenizer.get_vocab_size())}
    return [i for i, text in texts.items() if "\n\n" in text], [i for i, text in texts.items() if text == "\n"]
