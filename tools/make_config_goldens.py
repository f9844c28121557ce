#!/usr/bin/env python3
"""Makes tests/checkpoint/data/config_goldens.jsonl with transformers: configurations as they are published and as
transformers saves them, with what transformers itself reads out of them. Written with transformers 5.24.

  make_config_goldens.py --out FILE
"""

import argparse
import json
import pathlib
import tempfile

from transformers import AutoConfig, GenerationConfig, LlamaConfig, Qwen2Config, Qwen3Config

CLASSES = {"qwen3": Qwen3Config, "qwen2": Qwen2Config, "llama": LlamaConfig}
ARCHITECTURES = {"qwen3": "Qwen3ForCausalLM", "qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}

SMALL = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=300, max_position_embeddings=4096, rms_norm_eps=1e-6, bos_token_id=1, eos_token_id=2)

ROPES = {
    "theta": {},
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    "yarn_no_original": {"rope_type": "yarn", "factor": 4.0},
    "yarn_all": {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 1024, "beta_fast": 24,
                 "beta_slow": 2.0, "attention_factor": 1.25, "truncate": False},
    "yarn_mscale": {"rope_type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 0.707,
                    "mscale_all_dim": 1.0},
}

# As published, written by transformers 4.
PUBLISHED = {
    "qwen3-8b": {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096,
        "initializer_range": 0.02, "intermediate_size": 12288, "max_position_embeddings": 40960,
        "max_window_layers": 36, "model_type": "qwen3", "num_attention_heads": 32, "num_hidden_layers": 36,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0", "use_cache": True, "use_sliding_window": False, "vocab_size": 151936},
    "r1-distill-qwen-7b": {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 3584, "initializer_range": 0.02,
        "intermediate_size": 18944, "max_position_embeddings": 131072, "max_window_layers": 28,
        "model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06, "rope_theta": 10000, "sliding_window": 4096, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.44.0", "use_cache": True, "use_mrope": False,
        "use_sliding_window": False, "vocab_size": 152064},
    "llama-3.1-8b-instruct": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096,
        "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.42.3", "use_cache": True, "vocab_size": 128256},
}


def expected(config) -> dict:
    rope = dict(config.rope_parameters)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    eos = config.eos_token_id
    return {
        "architecture": config.architectures[0], "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size, "num_layers": config.num_hidden_layers,
        "num_heads": config.num_attention_heads, "num_kv_heads": config.num_key_value_heads, "head_dim": head_dim,
        "vocab_size": config.vocab_size, "max_positions": config.max_position_embeddings,
        "rms_norm_epsilon": config.rms_norm_eps, "tie_word_embeddings": config.tie_word_embeddings,
        "attention_bias": getattr(config, "attention_bias", False),
        "eos": [] if eos is None else eos if isinstance(eos, list) else [eos], "bos": config.bos_token_id,
        "rope": {k: v for k, v in rope.items() if k != "type" and v is not None},
    }


def read_back(config: dict):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        return AutoConfig.from_pretrained(folder)


def legacy(config: dict, rope: dict, type_key: str) -> dict:
    """The spelling of transformers 4: rope_theta beside rope_scaling."""
    config = {k: v for k, v in config.items() if k not in ("rope_parameters", "dtype", "layer_types")}
    config["torch_dtype"] = "bfloat16"
    config["rope_theta"] = 1e6
    scaling = {("rope_type" if k == "rope_type" else k): v for k, v in rope.items()}
    if type_key == "type" and scaling:
        scaling["type"] = scaling.pop("rope_type")
    config["rope_scaling"] = scaling or None
    return config


def make() -> list[dict]:
    lines = []

    def add(name: str, config: dict):
        lines.append({"name": name, "config": config, "expected": expected(read_back(config))})

    for name, config in PUBLISHED.items():
        add(name, config)
    for model_type, make_config in CLASSES.items():
        for rope_name, rope in ROPES.items():
            parameters = {"rope_type": "default", "rope_theta": 1e6} | rope
            config = make_config(**SMALL, rope_parameters=parameters, architectures=[ARCHITECTURES[model_type]],
                                 dtype="bfloat16")
            full = rope_name == "yarn_all"  # everything that transformers can write, defaults included
            saved = json.loads(config.to_json_string(use_diff=not full))
            add(f"{model_type}/{rope_name}/saved", saved)
            add(f"{model_type}/{rope_name}/legacy", legacy(saved, rope, "rope_type"))
            if model_type == "qwen2" and rope:
                add(f"{model_type}/{rope_name}/legacy-type", legacy(saved, rope, "type"))
    return lines


def generations() -> list[dict]:
    made = [GenerationConfig(temperature=0.6, top_p=0.95, top_k=20, do_sample=True, eos_token_id=[151645, 151643],
                             bos_token_id=151643, pad_token_id=151643),
            GenerationConfig(temperature=0.6, top_p=0.95, do_sample=True, eos_token_id=151643),
            GenerationConfig(min_p=0.05, do_sample=True)]
    lines = []
    for config in made:
        saved = json.loads(config.to_json_string())
        eos = config.eos_token_id
        lines.append({"generation": saved, "expected": {
            "eos": [] if eos is None else eos if isinstance(eos, list) else [eos],
            "temperature": saved.get("temperature"), "top_p": saved.get("top_p"), "min_p": saved.get("min_p"),
            "top_k": saved.get("top_k")}})
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    lines = make() + generations()
    arguments.out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"{len(lines)} lines")


if __name__ == "__main__":
    main()
