#!/usr/bin/env python3
"""Makes the tokenizer's test data with the Hugging Face `tokenizers` package, and compares at length.

  train FOLDER                      tiny tokenizers (Qwen pattern, Llama 3 pattern, GPT-2 pattern) in FOLDER/<name>
  goldens FOLDER --big B --out F    one JSON line a text: {"text", "<name>": ids, "qwen2": ids}
  compare --fourstep P --tokenizer T --texts N --seed S
                                    N random texts through both; prints the first differences, exit status 1

Everything is a function of the seed. Written with tokenizers 0.23.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

PHRASES = [
    "The quick brown fox jumps over the lazy dog, doesn't it? I'LL say SHE'S right; they've won't can't we'd.",
    "Let x = 12 and y = 345. Then x + y = 357, so the answer is \\boxed{357}.\n\nWait, let me check that again.",
    "def f(n):\n    if n <= 1:\n        return n\n    return f(n - 1) + f(n - 2)\n\n\tprint(f\"{f(10):>8.3f}\")  # done\r\n",
    "Привет, мир! Съешь же ещё этих мягких французских булок. 你好，世界！一二三。 こんにちは 안녕하세요 각",
    "مرحبا بالعالم ١٢٣ नमस्ते दुनिया १२३ สวัสดีชาวโลก שלום עולם Γειά σου Κόσμε été naïve ﬁ ﬃ Å Å Ω",
    "😀👩‍👩‍👧‍👦🇩🇪 ¼ ² ① Ⅷ ½ € £ — “quotes” … \u200b\u200d\ufeff\u00ad\u2028\u2029\u0085\u180e\u3000\u00a0x",
]
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]


def words(rng, n):
    return " ".join(rng.choice(PHRASES).split(" ")[rng.randrange(4)] for _ in range(n))


def arithmetic(rng):
    a, b = rng.randrange(1000), rng.randrange(1000)
    return f"Step {rng.randrange(9)}: {a} + {b} = {a + b}.\n\nSo {a} * {b} = {a * b}, and then\n"


def train(folder):
    rng = random.Random(7)
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]
    invented = [" " + "".join(rng.choice(syllables) for _ in range(rng.randrange(2, 4))) for _ in range(300)]
    text = PHRASES * 20 + [arithmetic(rng) for _ in range(2000)] + invented * 3
    split = lambda regex: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    kinds = {
        "tiny": (split(QWEN2), normalizers.NFC(), 1019),
        "tiny_llama3": (split(LLAMA3), None, 700),
        "tiny_gpt2": (pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), normalizers.NFC(), 400),
    }
    for name, (pre_tokenizer, normalizer, size) in kinds.items():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizer
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet))
        target = pathlib.Path(folder) / name
        target.mkdir(parents=True, exist_ok=True)
        finish(name, tokenizer, target / "tokenizer.json")


def finish(name, tokenizer, path):
    if name == "tiny":
        for token in CONTROLS:
            special = token.startswith("<|")
            tokenizer.add_tokens([AddedToken(token, special=special, normalized=False)])
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if name == "tiny_llama3":
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<|bos|>", "<|eot|>")])
        bos = tokenizer.token_to_id("<|bos|>")
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", bos)]
                ),
            ]
        )
    if name == "tiny_gpt2":
        # Every flag that is supported, a token that contains another, and one that the byte alphabet could be.
        flags = [
            AddedToken("<mask>", lstrip=True, normalized=False, special=True),
            AddedToken("<mask>>", rstrip=True, normalized=False),
            AddedToken("[both]", lstrip=True, rstrip=True, normalized=False),
            AddedToken("cafe\u0301", normalized=True),
            AddedToken("\n\n\n", normalized=False),
            AddedToken("é", normalized=True),
            AddedToken("<｜User｜>", normalized=False),
        ]
        for token in flags:
            tokenizer.add_tokens([token])
    spec = json.loads(tokenizer.to_str())
    if name == "tiny_llama3":
        # Tokens that no merge reaches, which ignore_merges finds all the same; and the older spelling of merges.
        spec["model"]["ignore_merges"] = True
        for token in ("Ġanswer", "qzx", "Ġ345"):
            if token not in spec["model"]["vocab"]:
                spec["model"]["vocab"][token] = len(spec["model"]["vocab"])
        for token in spec["added_tokens"]:
            spec["model"]["vocab"].pop(token["content"], None)
        shift = len(spec["model"]["vocab"]) - spec["added_tokens"][0]["id"]
        for token in spec["added_tokens"]:
            token["id"] += shift
        template = spec["post_processor"]["processors"][1]
        template["special_tokens"]["<|bos|>"]["ids"] = [bos + shift]
        spec["model"]["merges"] = [" ".join(pair) for pair in spec["model"]["merges"]]
    path.write_text(json.dumps(spec, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    Tokenizer.from_file(str(path))


def any_character(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return chr(rng.randrange(0x80))
    if kind == 1:
        return chr(rng.randrange(0x20))
    if kind == 2:
        return rng.choice(" \t\n\r\v\f\u0085\u00a0\u1680\u180e\u2003\u2028\u2029\u202f\u205f\u3000\u200b\ufeff\x1c\x1f")
    if kind == 3:
        return chr(rng.randrange(0x300, 0x370))
    if kind == 4:
        return rng.choice("'sStTrREeVvmMlLdD\u017f\u212a")
    if kind == 5:
        return chr(rng.randrange(0xAC00, 0xD7A4)) if rng.randrange(2) else chr(rng.randrange(0x1100, 0x1200))
    while True:
        code = rng.randrange(0x110000) if kind == 6 else rng.randrange(0x3000)
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def nasty(rng, controls=CONTROLS):
    """One text: a mix of what tokenizers get wrong."""
    parts = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.randrange(9)
        if kind == 0:
            parts.append("".join(any_character(rng) for _ in range(rng.randrange(1, 20))))
        elif kind == 1:
            parts.append(rng.choice(" \n\t\r") * rng.randrange(1, 30))
        elif kind == 2:
            parts.append("".join(rng.choice(" \n\r\t\u3000") for _ in range(rng.randrange(1, 12))))
        elif kind == 3:
            parts.append(str(rng.randrange(10 ** rng.randrange(1, 30))))
        elif kind == 4:
            parts.append(rng.choice(controls))
        elif kind == 5:
            parts.append(rng.choice(PHRASES)[rng.randrange(20) :])
        elif kind == 6:
            parts.append(rng.choice("aAé你!") * rng.randrange(1, 60))
        elif kind == 7:
            parts.append(words(rng, rng.randrange(1, 8)))
        else:
            parts.append(rng.choice(["'s", "'LL", " 'Re", "it's", "x'ſ", "<|im_", "|>", "<think", "<mask>", "[both]"]))
    return "".join(parts)


def goldens(folder, big, out):
    names = ("tiny", "tiny_llama3", "tiny_gpt2")
    tokenizers = {name: Tokenizer.from_file(f"{folder}/{name}/tokenizer.json") for name in names}
    if big:
        tokenizers["qwen2"] = Tokenizer.from_file(f"{big}/tokenizer.json")
    rng = random.Random(11)
    gpt2 = ["<mask>", "<mask>>", "[both]", "cafe\u0301", "café", "\n\n\n", "é", "e\u0301", "<｜User｜>"]
    controls = CONTROLS + ["<|bos|>", "<|eot|>"] + gpt2
    fixed = ["", " ", "\n", "a", "é", "qzx answer 345 1234567", " <mask> x <mask>> y", "\u0000", "\U0010ffff"]
    texts = fixed + PHRASES + [nasty(rng, controls) for _ in range(110)]
    with open(out, "w", encoding="utf-8") as file:
        for text in texts:
            line = {"text": text}
            for name, tokenizer in tokenizers.items():
                line[name] = tokenizer.encode(text, add_special_tokens=False).ids
            # Decoding of a part that may begin and end within a character.
            ids = line["tiny"][1:-1]
            line["tiny_decoded"] = tokenizers["tiny"].decode(ids, skip_special_tokens=True)
            line["tiny_gpt2_decoded"] = tokenizers["tiny_gpt2"].decode(line["tiny_gpt2"], skip_special_tokens=False)
            file.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n")


def compare(program, folder, num_texts, seed):
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    contents = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    rng = random.Random(seed)
    texts = [nasty(rng, contents or CONTROLS) for _ in range(num_texts)]
    # And every code point, alone between letters, and in runs.
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts += ["a".join(chr(c) for c in codes[i : i + 64]) for i in range(0, len(codes), 64)]
    texts += ["".join(chr(c) for c in codes[i : i + 64]) for i in range(0, len(codes), 64)]
    texts += ["".join(f"'{chr(c)}b1{chr(c)}e\u0301" for c in codes[i : i + 64]) for i in range(0, len(codes), 64)]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    run = subprocess.run([program, "tokenize", folder], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    ours = [json.loads(line) for line in run.stdout.splitlines()]
    theirs = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    run = subprocess.run(
        [program, "tokenize", folder, "--decode"], input=run.stdout, stdout=subprocess.PIPE, check=True
    )
    decoded = [json.loads(line) for line in run.stdout.splitlines()]
    redecoded = tokenizer.decode_batch(theirs, skip_special_tokens=False)
    faults = [i for i in range(len(texts)) if ours[i] != theirs[i] or decoded[i] != redecoded[i]]
    for i in faults[:10]:
        print(f"text {json.dumps(texts[i])}\n  ours {ours[i]}\n  theirs {theirs[i]}\n  decoded {decoded[i] == redecoded[i]}")
    print(f"{len(texts)} texts, {sum(map(len, theirs))} tokens, {len(faults)} differences")
    return 1 if faults or len(ours) != len(texts) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("train")
    sub.add_argument("folder")
    sub = commands.add_parser("goldens")
    sub.add_argument("folder")
    sub.add_argument("--big")
    sub.add_argument("--out", required=True)
    sub = commands.add_parser("compare")
    sub.add_argument("--fourstep", required=True)
    sub.add_argument("--tokenizer", required=True)
    sub.add_argument("--texts", type=int, default=20000)
    sub.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.command == "train":
        return train(args.folder)
    if args.command == "goldens":
        return goldens(args.folder, args.big, args.out)
    return compare(args.fourstep, args.tokenizer, args.texts, args.seed)


if __name__ == "__main__":
    sys.exit(main())
