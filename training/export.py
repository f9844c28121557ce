"""Writes a trained state as a Hugging Face folder.  `python3 -m training.export STATE FOLDER --weights supervised.pt`."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from training import tokenizer as tokenizers
from training.model import Model
from training.settings import SIZES, ModelSettings

SHARD_BYTES = 10 * 2**20


def named_tensors(model: Model) -> dict[str, Tensor]:
    """BF16, under the names that transformers gives them; the head is the embedding's."""
    s = model.settings
    tensors = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.norm}
    for i, block in enumerate(model.blocks):
        layer = f"model.layers.{i}."
        q, k, v = block.qkv.split([s.heads * s.head_dim, s.kv_heads * s.head_dim, s.kv_heads * s.head_dim])
        gate, up = block.gate_up.chunk(2)
        tensors |= {
            layer + "input_layernorm.weight": block.input_norm,
            layer + "self_attn.q_proj.weight": q, layer + "self_attn.k_proj.weight": k,
            layer + "self_attn.v_proj.weight": v, layer + "self_attn.o_proj.weight": block.o,
            layer + "self_attn.q_norm.weight": block.q_norm, layer + "self_attn.k_norm.weight": block.k_norm,
            layer + "post_attention_layernorm.weight": block.post_norm,
            layer + "mlp.gate_proj.weight": gate, layer + "mlp.up_proj.weight": up,
            layer + "mlp.down_proj.weight": block.down,
        }
    return {name: tensor.detach().bfloat16().contiguous() for name, tensor in tensors.items()}


def shards_of(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The tensors in order, cut so that each shard stays within SHARD_BYTES (or holds one tensor)."""
    shards, used = [{}], 0
    for name, tensor in tensors.items():
        if shards[-1] and used + tensor.nbytes > SHARD_BYTES:
            shards.append({})
            used = 0
        shards[-1][name] = tensor
        used += tensor.nbytes
    return shards


def config_of(s: ModelSettings, end_id: int) -> dict:
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": False, "attention_dropout": 0.0,
        "eos_token_id": end_id, "head_dim": s.head_dim, "hidden_act": "silu", "hidden_size": s.hidden,
        "initializer_range": 0.02, "intermediate_size": s.intermediate, "max_position_embeddings": s.max_positions,
        "max_window_layers": s.layers, "num_attention_heads": s.heads, "num_hidden_layers": s.layers,
        "num_key_value_heads": s.kv_heads, "rms_norm_eps": s.norm_epsilon, "rope_scaling": None,
        "rope_theta": s.rope_theta, "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "use_cache": True, "use_sliding_window": False, "vocab_size": s.vocab,
    }


def export(model: Model, tokenizer_folder: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    end_id = tokenizers.load(tokenizer_folder).token_to_id("<|im_end|>")
    write = lambda name, value: (folder / name).write_text(json.dumps(value, indent=2) + "\n")  # noqa: E731
    write("config.json", config_of(model.settings, end_id))
    write("generation_config.json", {"do_sample": True, "eos_token_id": [end_id], "temperature": 0.6, "top_p": 0.95})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer_folder / name, folder / name)
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    shards = shards_of(named_tensors(model))
    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata={"format": "pt"})
        return
    where = {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, name)
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    write("model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--weights", default="reinforce.pt", help="which file of STATE")
    arguments = parser.parse_args()
    model = Model(SIZES[arguments.size].model)
    saved = torch.load(arguments.state / arguments.weights, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    export(model, arguments.state / "tokenizer", arguments.folder)


if __name__ == "__main__":
    main()
