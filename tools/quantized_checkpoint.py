"""Rewrites the folder of a tiny checkpoint as NVFP4, as ModelOpt or compressed-tensors would."""

import json

import torch
from safetensors.torch import save_file

import nvfp4_oracle as nvfp4
from model_oracle import Linear

STACKS = [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"],
          ["mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"]]


def input_maxima(model, prompt):
    """module -> largest magnitude of its input over the prompt."""
    maxima, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            handles.append(module.register_forward_pre_hook(
                lambda _, args, name=name: maxima.__setitem__(name, args[0].detach().abs().max().float())))
    with torch.no_grad():
        model(torch.tensor([prompt]))
    for handle in handles:
        handle.remove()
    return maxima


def write_quantized(folder, model, prompt, dialect, head=False, pre_quant_scale=False, input_scales=True,
                    old_json=False):
    """Returns module -> Linear."""
    maxima = input_maxima(model, prompt)
    state = {k: v.detach() for k, v in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    layers = range(model.config.num_hidden_layers)
    stacks = [[f"model.layers.{i}.{m}" for m in stack] for i in layers for stack in STACKS] + [["lm_head"]] * head
    linears = {}
    for stack in stacks:
        weights = {m: state.pop(f"{m}.weight") for m in stack}
        scale = None
        if pre_quant_scale and len(stack) == 1 and stack != ["lm_head"]:
            torch.manual_seed(len(linears))
            scale = (0.5 + torch.rand(weights[stack[0]].shape[1])).bfloat16().float()
            weights = {m: w / scale for m, w in weights.items()}
        # As the exporters do, modules that share their input share both scales. The input's is a little less than
        # the calibration saw, so that some blocks saturate.
        g = torch.stack([w.abs().max() for w in weights.values()]).max() / 2688
        g_x = maxima[stack[0]] * (1.0 if scale is None else 1.5) * 0.8 / 2688
        if dialect == "compressed-tensors":  # which stores the reciprocals
            g, g_x = 1 / (1 / g), 1 / (1 / g_x)
        for m, w in weights.items():
            codes, scales = nvfp4.encode_weight(w.bfloat16(), g)
            linears[m] = Linear(codes, scales, g, g_x if input_scales else None, scale)
    tensors = {k: v.bfloat16() for k, v in state.items()}
    for m, linear in linears.items():
        tensors |= (modelopt_tensors if dialect == "modelopt" else compressed_tensors)(m, linear)
    save_file({k: v.clone().contiguous() for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    write_json(folder, dialect, [] if head else ["lm_head"], pre_quant_scale, input_scales, old_json)
    return linears


def modelopt_tensors(m, linear):
    out = {f"{m}.weight": nvfp4.pack(linear.codes), f"{m}.weight_scale": linear.scales, f"{m}.weight_scale_2": linear.g}
    if linear.g_x is not None:
        out[f"{m}.input_scale"] = linear.g_x
    if linear.pre_quant_scale is not None:
        out[f"{m}.pre_quant_scale"] = linear.pre_quant_scale.bfloat16()
    return out


def compressed_tensors(m, linear):
    out = {f"{m}.weight_packed": nvfp4.pack(linear.codes), f"{m}.weight_scale": linear.scales,
           f"{m}.weight_global_scale": (1 / linear.g).reshape(1)}
    if linear.g_x is not None:
        out[f"{m}.input_global_scale"] = (1 / linear.g_x).reshape(1)
    return out


def write_json(folder, dialect, ignore, pre_quant_scale, input_scales, old_json):
    config = json.loads((folder / "config.json").read_text())
    producer = {"name": "modelopt", "version": "0.37.0"}
    if dialect == "modelopt":
        algorithm = "NVFP4_AWQ" if pre_quant_scale else "NVFP4"
        quantization = {"quant_algo": algorithm, "kv_cache_quant_algo": None, "group_size": 16, "exclude_modules": ignore}
        if pre_quant_scale:
            quantization |= {"has_zero_point": False, "pre_quant_scale": True}
        (folder / "hf_quant_config.json").write_text(
            json.dumps({"producer": producer, "quantization": quantization}, indent=1) + "\n")
        if old_json:  # the older exporter wrote that file only
            return
        numbers = {"dynamic": False, "num_bits": 4, "type": "float", "group_size": 16}
        group = {"input_activations": numbers, "weights": numbers, "targets": ["Linear"]}
        config["quantization_config"] = {"config_groups": {"group_0": group}, "ignore": ignore, "quant_algo": algorithm,
                                         "producer": producer, "quant_method": "modelopt"}
    else:
        weights = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True,
                   "dynamic": False, "scale_dtype": "torch.float8_e4m3fn", "zp_dtype": None, "actorder": None,
                   "block_structure": None, "observer": "static_minmax", "observer_kwargs": {}}
        inputs = {**weights, "dynamic": "local"} if input_scales else None
        group = {"targets": ["Linear"], "format": "nvfp4-pack-quantized", "weights": weights,
                 "input_activations": inputs, "output_activations": None}
        config["quantization_config"] = {
            "quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized",
            "quantization_status": "compressed", "config_groups": {"group_0": group}, "ignore": ignore,
            "kv_cache_scheme": None, "global_compression_ratio": None, "sparsity_config": {}, "transform_config": {},
            "version": "0.12.0"}
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
