"""The tokenizer of the tiny checkpoints: byte-level BPE by Qwen2's pattern, a few dozen merges, ChatML's tokens."""

import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from make_tokenizer_goldens import CONTROLS, PHRASES, QWEN2

NUM_PLAIN = 300
SIZE = NUM_PLAIN + len(CONTROLS)  # less than the model's vocabulary, which is padded
ID = {token: NUM_PLAIN + i for i, token in enumerate(CONTROLS)}


def make():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        ["Wait, so the answer is 3.\n\n"] * 9 + PHRASES,
        trainers.BpeTrainer(vocab_size=NUM_PLAIN, initial_alphabet=alphabet, show_progress=False),
    )
    for token in CONTROLS:
        tokenizer.add_tokens([AddedToken(token, special=token.startswith("<|"), normalized=False)])
    assert tokenizer.get_vocab_size() == SIZE and all(tokenizer.token_to_id(t) == i for t, i in ID.items())
    return tokenizer


def write(folder, template, templates):
    text = json.dumps(json.loads(make().to_str()), ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    added = {str(i): {"content": t, "special": t.startswith("<|"), "normalized": False, "lstrip": False,
                      "rstrip": False, "single_word": False} for t, i in ID.items()}
    config = {"added_tokens_decoder": added, "bos_token": None, "eos_token": "<|im_end|>",
              "pad_token": "<|endoftext|>", "model_max_length": 512, "tokenizer_class": "Qwen2Tokenizer",
              "chat_template": (pathlib.Path(templates) / f"{template}.jinja").read_text(encoding="utf-8")}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n",
                                                  encoding="utf-8")
