#!/usr/bin/env python3
"""Writes a Hugging Face folder with random BF16 weights, in the shape of a published model, to measure speed with.

    tools/make_random_checkpoint.py qwen3-0.6b OUT [--layers N] [--seed S]

Weights are normal with the standard deviation 0.02 of a fresh model, norms are 1. The tokenizer knows single bytes only:
enough for a calibration text and for prompts whose words do not matter. Needs numpy. `fourstep quantize` makes the
NVFP4 checkpoint of the same shape.
"""

import argparse
import json
import pathlib

import numpy as np

SHAPES = {
    # name: layers, hidden, ffn, heads, kv heads, head_dim, vocab, tied
    "qwen3-0.6b": (28, 1024, 3072, 16, 8, 128, 151936, True),
    "qwen3-1.7b": (28, 2048, 6144, 16, 8, 128, 151936, True),
    "qwen3-4b": (36, 2560, 9728, 32, 8, 128, 151936, True),
    "qwen3-8b": (36, 4096, 12288, 32, 8, 128, 151936, False),
}
STANDARD_DEVIATION = 0.02


def bf16(values: np.ndarray) -> np.ndarray:
    """The upper halves of float32, rounded to nearest, ties to even: BF16 as uint16."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


class Bf16File:
    """A safetensors file of BF16 tensors, written one tensor at a time: numpy has no bfloat16."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], path: pathlib.Path):
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for name, shape in shapes.items():
            size = 2 * int(np.prod(shape))
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
            offset += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self.file = path.open("wb")
        self.file.write(len(text).to_bytes(8, "little") + text)

    def append(self, values: np.ndarray) -> None:
        self.file.write(bf16(values).tobytes())


def tensor_shapes(layers, hidden, ffn, heads, kv_heads, head_dim, vocab, tied) -> dict[str, tuple[int, ...]]:
    shapes = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(layers):
        p = f"model.layers.{layer}."
        shapes |= {
            p + "input_layernorm.weight": (hidden,),
            p + "self_attn.q_proj.weight": (heads * head_dim, hidden),
            p + "self_attn.k_proj.weight": (kv_heads * head_dim, hidden),
            p + "self_attn.v_proj.weight": (kv_heads * head_dim, hidden),
            p + "self_attn.q_norm.weight": (head_dim,),
            p + "self_attn.k_norm.weight": (head_dim,),
            p + "self_attn.o_proj.weight": (hidden, heads * head_dim),
            p + "post_attention_layernorm.weight": (hidden,),
            p + "mlp.gate_proj.weight": (ffn, hidden),
            p + "mlp.up_proj.weight": (ffn, hidden),
            p + "mlp.down_proj.weight": (hidden, ffn),
        }
    shapes["model.norm.weight"] = (hidden,)
    if not tied:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def config(layers, hidden, ffn, heads, kv_heads, head_dim, vocab, tied) -> dict:
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "bfloat16",
        "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": vocab, "tie_word_embeddings": tied,
        "max_position_embeddings": 40960, "rope_theta": 1000000, "rope_scaling": None, "rms_norm_eps": 1e-6,
        "hidden_act": "silu", "attention_bias": False, "bos_token_id": 256, "eos_token_id": 257,
    }  # fmt: skip


def byte_tokenizer() -> dict:
    """Byte-level BPE without merges: GPT-2's printable stand-ins for the 256 bytes, and two special tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    stand_in = {byte: chr(byte) for byte in printable}
    for i, byte in enumerate(b for b in range(256) if b not in stand_in):
        stand_in[byte] = chr(256 + i)
    special = [
        {"id": 256 + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
        for i, text in enumerate(["<|endoftext|>", "<|im_end|>"])
    ]  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {stand_in[byte]: byte for byte in range(256)}, "merges": []},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--layers", type=int, help="instead of the published number")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    shape = list(SHAPES[arguments.shape])
    if arguments.layers:
        shape[0] = arguments.layers

    arguments.out.mkdir(parents=True)
    (arguments.out / "config.json").write_text(json.dumps(config(*shape), indent=2) + "\n")
    (arguments.out / "tokenizer.json").write_text(json.dumps(byte_tokenizer(), ensure_ascii=False), encoding="utf-8")
    (arguments.out / "generation_config.json").write_text(json.dumps({"eos_token_id": [257, 256]}) + "\n")
    random = np.random.default_rng(arguments.seed)
    shapes = tensor_shapes(*shape)
    file = Bf16File(shapes, arguments.out / "model.safetensors")
    for dims in shapes.values():
        file.append(np.ones(dims, np.float32) if len(dims) == 1
                    else STANDARD_DEVIATION * random.standard_normal(dims, dtype=np.float32))  # fmt: skip
    file.file.close()


if __name__ == "__main__":
    main()
