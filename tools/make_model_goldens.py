#!/usr/bin/env python3
"""Makes tests/model/data: tiny random checkpoints of each architecture, and what they must answer.

  make_model_goldens.py FOLDER     writes FOLDER/tiny-*, FOLDER/goldens/*.safetensors and FOLDER/rope_goldens.json

Checkpoints are written by transformers, as NVFP4 by tools/nvfp4_oracle.py. A golden file has, for a fixed prompt
and a few of its rows, logits by numerics:

  <numerics>.exact         transformers in double: nothing rounded but the weights (and, in w4a4, activations)
  <numerics>.transformers  transformers in BF16, its linears replaced where they have 4 bits
  <numerics>.contract      the forward of model_oracle.py, rounded where docs/numerics.md says and nowhere else

and the greedy continuation with the margin of each token over the second best. A run refuses to write where
model_oracle.py without rounding differs from transformers in double, or where a continuation depends on rounding.
Written with transformers 5.24 and torch 2.15; everything is a function of the seeds below.
"""

import copy
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

import model_oracle
import tiny_tokenizer
from quantized_checkpoint import write_quantized

VOCAB, PROMPT_TOKENS, ROWS, CONTINUATION = 320, 48, [0, 7, 15, 23, 31, 39, 43, 47], 16
SHAPE = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=512, hidden_act="silu", attention_dropout=0.0)
LEAST_MARGIN = 0.3  # about six standard deviations of the error of transformers in BF16
EOS = [tiny_tokenizer.ID["<|im_end|>"], tiny_tokenizer.ID["<|endoftext|>"]]
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=8.0, original_max_position_embeddings=64)
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)


def bases():
    """name -> (config, chat template, whether config.json has the older spelling)"""
    ids = dict(bos_token_id=EOS[1], eos_token_id=EOS[0], pad_token_id=None)
    return {
        "tiny-qwen3": (Qwen3Config(**SHAPE, **ids, num_key_value_heads=2, head_dim=24, rms_norm_eps=1e-6,
                                   tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1e6)),
                       "qwen3", False),
        "tiny-qwen2": (Qwen2Config(**SHAPE, **ids, num_key_value_heads=1, rms_norm_eps=1e-5, tie_word_embeddings=False,
                                   rope_parameters=YARN), "chatml-qwen2.5", True),
        "tiny-llama": (LlamaConfig(**SHAPE, **ids, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
                                   tie_word_embeddings=False, rope_parameters=LLAMA3), "chatml", False),
        # Written as NVFP4 only.
        "tiny-llama-linear": (LlamaConfig(**SHAPE, **ids, num_key_value_heads=4, head_dim=32, rms_norm_eps=1e-5,
                                          tie_word_embeddings=True,
                                          rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
                              "chatml", True),
    }


def quantized():
    """name -> (base, options of write_quantized, numerics to evaluate)"""
    return {
        "tiny-qwen3-nvfp4": ("tiny-qwen3", dict(dialect="modelopt"), ["w4a4", "w4a16"]),
        "tiny-qwen2-nvfp4": ("tiny-qwen2", dict(dialect="compressed-tensors"), ["w4a4", "w4a16"]),
        "tiny-llama-nvfp4": ("tiny-llama", dict(dialect="modelopt", head=True, pre_quant_scale=True, old_json=True),
                             ["w4a4", "w4a16"]),
        "tiny-llama-nvfp4a16": ("tiny-llama-linear", dict(dialect="compressed-tensors", input_scales=False), ["w4a16"]),
    }


def random_model(config, seed):
    """BF16 weights in a float model. Rows of the vocabulary that the tokenizer does not have are small, as published models pad theirs."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("norm.weight"):
                p.uniform_(0.5, 1.5)
                if name == "model.norm.weight":  # with both signs, or a tied head would repeat the last token
                    p *= torch.randint(0, 2, p.shape) * 2 - 1
            elif name.endswith("bias"):
                p.normal_(0, 0.3)
            elif "embed_tokens" in name or "lm_head" in name:
                p.normal_(0, 0.5)
                p[tiny_tokenizer.SIZE:] *= 0.02
            else:
                p.normal_(0, (1.5 if "o_proj" in name or "down_proj" in name else 1.0) / p.shape[1] ** 0.5)
            p.copy_(p.bfloat16().float())
    return model


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].double()


def greedy(logits_fn, prompt, least_margin):
    """Tokens, and the margin of each over the second best. None where one is below least_margin."""
    ids, margins = list(prompt), []
    for _ in range(CONTINUATION):
        best = logits_fn(ids)[-1].topk(2)
        if best.values[0] - best.values[1] < least_margin:
            return None
        margins.append(float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids[len(prompt):], margins


def evaluate(name, model, numerics, weights, prompt):
    """`weights`: module -> model_oracle.Linear of the linears that have 4 bits."""
    double = model_oracle.with_linears(copy.deepcopy(model).double(), weights, numerics, torch.float64)
    bf16 = model_oracle.with_linears(copy.deepcopy(model).bfloat16(), weights, numerics, torch.bfloat16)
    free = model_oracle.Oracle(model, weights, numerics, rounds=False)
    contract = model_oracle.Oracle(model, weights, numerics, rounds=True)
    exact, plain, rounded = logits_of(double, prompt), logits_of(bf16, prompt), contract.logits(prompt)
    scale = exact.square().mean().sqrt()

    def error(a, b=exact):
        return float((a - b).square().mean().sqrt() / scale)

    assert error(free.logits(prompt)) < 1e-5, f"{name}: the oracle differs from transformers in double"
    tokens, margins = greedy(contract.logits, prompt, 0)
    print(f"{name} {numerics}: rms {scale:.3f}; relative error of transformers {error(plain):.5f}, of the contract "
          f"{error(rounded):.5f}, free oracle {error(free.logits(prompt)):.1e}; between {error(plain, rounded):.5f}; "
          f"max {float((plain - rounded).abs().max()):.3f}; least margin {min(margins):.3f}; {tokens}")
    return {f"{numerics}.exact": exact[ROWS].float(), f"{numerics}.transformers": plain[ROWS].bfloat16(),
            f"{numerics}.contract": rounded[ROWS].float(),
            f"{numerics}.continuation": torch.tensor(tokens, dtype=torch.int32),
            f"{numerics}.margins": torch.tensor(margins, dtype=torch.float32)}


def robust_model(name, config):
    """A model and a prompt whose greedy continuation rounding cannot change: every margin is above LEAST_MARGIN. Nor
    does it repeat itself much or end."""
    for seed in range(1000):
        torch.manual_seed(seed + 5000)
        prompt = torch.randint(0, tiny_tokenizer.NUM_PLAIN, (PROMPT_TOKENS,)).tolist()
        model = random_model(config, seed)
        found = greedy(model_oracle.Oracle(model, {}, "bf16", rounds=True).logits, prompt, LEAST_MARGIN)
        if found and len(set(found[0])) >= CONTINUATION // 2 and not set(found[0]) & set(EOS):
            bf16 = logits_of(copy.deepcopy(model).bfloat16(), prompt + found[0])
            assert bf16[PROMPT_TOKENS - 1:-1].argmax(-1).tolist() == found[0], "transformers in BF16 goes on otherwise"
            print(f"{name}: seed {seed}")
            return model, prompt
    sys.exit(f"{name}: no seed gives a robust continuation")


def write_folder(folder, model, template, is_old):
    if folder.exists():
        shutil.rmtree(folder)
    stored = copy.deepcopy(model).bfloat16()
    stored.generation_config.update(eos_token_id=EOS, do_sample=True, temperature=0.6, top_p=0.95, top_k=20)
    stored.save_pretrained(folder)
    if is_old:
        respell(folder / "config.json")
    tiny_tokenizer.write(folder, template, pathlib.Path(__file__).parent.parent / "tests/checkpoint/data/templates")


def respell(path):
    """As transformers wrote it before version 5, with what Qwen2's checkpoints carry."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = {"type": rope.pop("rope_type"), **rope}
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    if config["model_type"] == "qwen2":
        config.update(use_sliding_window=False, sliding_window=4096, max_window_layers=2, use_mrope=False)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def rope_goldens():
    base = dict(hidden_size=256, num_attention_heads=4, max_position_embeddings=4096)
    yarn = dict(rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=1024)
    cases = [
        dict(rope_type="default", rope_theta=10000.0), dict(rope_type="default", rope_theta=1e6),
        dict(rope_type="linear", rope_theta=10000.0, factor=2.5),
        dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_max_position_embeddings=1024),
        dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.5, high_freq_factor=3.0,
             original_max_position_embeddings=512),
        yarn, dict(yarn, attention_factor=1.75), dict(yarn, mscale=0.707, mscale_all_dim=0.5),
        dict(yarn, mscale=1.0, mscale_all_dim=1.0), dict(yarn, mscale=0.8), dict(yarn, truncate=False),
        dict(yarn, beta_fast=16.0, beta_slow=2.0), dict(yarn, beta_fast=4.0, beta_slow=4.0), dict(yarn, factor=1.0),
        dict(yarn, rope_theta=150000.0, factor=32.0, original_max_position_embeddings=4096, truncate=False),
    ]
    out = []
    for rope in cases:
        config = LlamaConfig(**base, rope_parameters=dict(rope))
        rotary = LlamaRotaryEmbedding(config)  # by ROPE_INIT_FUNCTIONS, and the default
        out.append({"rope": rope, "head_dim": 64, "max_positions": 4096, "inv_freq": rotary.inv_freq.tolist(),
                    "attention_factor": float(rotary.attention_scaling)})
    return out


def main():
    target = pathlib.Path(sys.argv[1])
    (target / "goldens").mkdir(parents=True, exist_ok=True)
    (target / "rope_goldens.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in rope_goldens()) + "\n]\n")
    models = {}
    for name, (config, template, is_old) in bases().items():
        model, prompt = robust_model(name, config)
        models[name] = (model, prompt, template, is_old)
        if name == "tiny-llama-linear":
            continue
        write_folder(target / name, model, template, is_old)
        save_golden(target, name, prompt, evaluate(name, model, "bf16", {}, prompt))
    for name, (base, options, numerics) in quantized().items():
        model, prompt, template, is_old = models[base]
        write_folder(target / name, model, template, is_old)
        weights = write_quantized(target / name, model, prompt, **options)
        golden = {}
        for n in numerics:
            golden |= evaluate(name, model, n, weights, prompt)
        save_golden(target, name, prompt, golden)


def save_golden(target, name, prompt, golden):
    save_file(golden | {"prompt": torch.tensor(prompt, dtype=torch.int32),
                        "rows": torch.tensor(ROWS, dtype=torch.int32)}, target / "goldens" / f"{name}.safetensors")


if __name__ == "__main__":
    main()
