#!/usr/bin/env python3
"""Makes tests/checkpoint/data/{modelopt,compressed_tensors}: tiny checkpoints by NVIDIA's ModelOpt and by
compressed-tensors themselves, and what these libraries decode them to (expected.safetensors, F32).

  make_checkpoint_goldens.py modelopt --out FOLDER             needs nvidia-modelopt (written with 0.47)
  make_checkpoint_goldens.py compressed-tensors --out FOLDER   needs compressed-tensors (written with 0.20)
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

N, K = 8, 64
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": K, "intermediate_size": K,
    "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 16,
    "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": True,
}


def weight(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(N, K, generator=generator) * torch.rand(N, 1, generator=generator)
    values[2, 16:32] = 0  # a zero block: the libraries write different scales for it
    return values.to(torch.bfloat16)


def save(out: pathlib.Path, quantization: dict, tensors: dict, expected: dict, others: dict):
    out.mkdir(parents=True, exist_ok=True)
    config = CONFIG | ({"quantization_config": quantization} if quantization else {})
    for name, content in ({"config.json": config} | others).items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "model.safetensors", metadata={"format": "pt"})
    save_file({k: v.contiguous() for k, v in expected.items()}, out / "expected.safetensors")


def modelopt(out: pathlib.Path):
    from modelopt.torch.export.convert_hf_config import convert_hf_quant_config_format
    from modelopt.torch.quantization.qtensor import NVFP4QTensor

    tensors, expected = {}, {}
    modules = ["model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"]
    for i, module in enumerate(modules):
        quantized, scale, scale_2 = NVFP4QTensor.quantize(weight(i), 16)
        tensors[f"{module}.weight"] = quantized._quantized_data
        tensors[f"{module}.weight_scale"] = scale
        tensors[f"{module}.weight_scale_2"] = scale_2
        tensors[f"{module}.input_scale"] = torch.tensor(0.01 * (i + 1))
        decoded = quantized.dequantize(torch.float32, scale=scale, double_scale=scale_2, block_sizes={-1: 16})
        expected[f"{module}.weight"] = decoded
    old = {"producer": {"name": "modelopt", "version": "0.47.0"},
           "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16,
                            "exclude_modules": ["lm_head", "model.layers.0.self_attn*"]}}
    tensors["model.layers.0.self_attn.k_proj.k_scale"] = torch.tensor(0.5)
    save(out, convert_hf_quant_config_format(old), tensors, expected, {"hf_quant_config.json": old})


def compressed_tensors(out: pathlib.Path):
    from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
    from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    from compressed_tensors.quantization import QuantizationConfig, QuantizationScheme, QuantizationStatus
    from compressed_tensors.quantization.lifecycle.forward import dequantize
    from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme
    from compressed_tensors.quantization.utils.helpers import calculate_qparams, generate_gparam

    tensors, expected, groups = {}, {}, {}
    presets = [("NVFP4", "up_proj"), ("NVFP4A16", "gate_proj"), ("MXFP4A16", "down_proj")]
    for i, (preset, name) in enumerate(presets):
        module = f"model.layers.0.mlp.{name}"
        scheme = preset_name_to_scheme(preset, [f"re:.*{name}$"])
        is_mx = preset.startswith("MX")
        scheme.format = "mxfp4-pack-quantized" if is_mx else "nvfp4-pack-quantized"
        args, values = scheme.weights, weight(10 + i).float()
        blocks = values.reshape(N, -1, args.group_size)
        global_scale = None if is_mx else generate_gparam(values.min(), values.max())
        scale, _ = calculate_qparams(blocks.amin(-1), blocks.amax(-1), args, global_scale=global_scale)
        state = {"weight": values, "weight_scale": scale}
        if global_scale is not None:
            state["weight_global_scale"] = global_scale.reshape(1)
        compressor = MXFP4PackedCompressor if is_mx else NVFP4PackedCompressor
        stored = compressor.compress(state, scheme)
        if preset == "NVFP4":
            stored["input_global_scale"] = torch.tensor([123.4])
        tensors |= {f"{module}.{k}": v for k, v in stored.items()}
        expected[f"{module}.weight"] = dequantize(
            unpack_fp4_from_uint8(stored["weight_packed"], N, K, dtype=torch.float32),
            compressor._decompress_scale(stored["weight_scale"], torch.float32), args=args, dtype=torch.float32,
            global_scale=stored.get("weight_global_scale"))
        groups[f"group_{i}"] = QuantizationScheme.model_validate(scheme.model_dump())
    config = QuantizationConfig(config_groups=groups, format="mixed-precision", ignore=["lm_head", "re:.*self_attn.*"],
                                quantization_status=QuantizationStatus.COMPRESSED)
    save(out, json.loads(config.model_dump_json()) | {"version": "0.20.0", "transform_config": {}, "sparsity_config": {}},
         tensors, expected, {})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=["modelopt", "compressed-tensors"])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    {"modelopt": modelopt, "compressed-tensors": compressed_tensors}[arguments.library](arguments.out)


if __name__ == "__main__":
    main()
