"""The forward of Qwen3, Qwen2 and Llama in torch, in double, rounded to BF16 exactly where the numeric contract says
(docs/numerics.md) or nowhere. And transformers' own models with their linears replaced by 4-bit ones."""

import dataclasses
import math
import typing

import torch
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

import nvfp4_oracle as nvfp4


@dataclasses.dataclass
class Linear:
    """A linear that has 4 bits."""

    codes: torch.Tensor  # [n, k]
    scales: torch.Tensor  # [n, k/16] E4M3
    g: torch.Tensor  # fp32
    g_x: typing.Optional[torch.Tensor]  # fp32; None: no w4a4
    pre_quant_scale: typing.Optional[torch.Tensor] = None  # [k]


def round_bf16(x):
    return x.float().bfloat16().double()


def read_input(x, linear, numerics):
    """BF16 rows (in double) -> what the linear reads, in double."""
    if linear.pre_quant_scale is not None:
        x = round_bf16(x * linear.pre_quant_scale.double())
    if numerics == "w4a4":
        x = nvfp4.decode(*nvfp4.encode_activation(x.float(), linear.g_x), linear.g_x)
    return x


def multiply(x, linear, bias):
    y = x @ nvfp4.decode(linear.codes, linear.scales, linear.g).T
    return y if bias is None else y + bias.double()


def with_linears(model, weights, numerics, dtype):
    """Replaces `weights`' modules of a transformers model; their products are exact, then rounded to dtype."""
    modules = dict(model.named_modules())
    for name, linear in weights.items():
        module = modules[name]

        def forward(x, linear=linear, module=module):
            rows = x.reshape(-1, x.shape[-1])
            # The quantiser reads BF16, also where everything else is double.
            rows = round_bf16(rows) if numerics == "w4a4" else rows.double()
            y = multiply(read_input(rows, linear, numerics), linear, module.bias)
            return y.to(dtype).reshape(*x.shape[:-1], -1)

        module.forward = forward
    return model


class Oracle:
    def __init__(self, model, weights, numerics, rounds):
        self.c = model.config
        self.w = {k: v.detach().double() for k, v in model.state_dict().items()}
        self.four_bit, self.numerics, self.rounds = weights, numerics, rounds
        # Frequencies as transformers resolves them, in fp32.
        rotary = LlamaRotaryEmbedding(self.c)
        self.inv_freq, self.attention_factor = rotary.inv_freq, float(rotary.attention_scaling)

    def r(self, x):
        return round_bf16(x) if self.rounds else x

    def linear(self, x, module):
        """Not rounded yet: a bias is in, a residual may follow."""
        if module in self.four_bit:
            linear = self.four_bit[module]
            if self.numerics == "w4a4":
                x = round_bf16(x)
            bias = self.w.get(module + ".bias")
            return multiply(read_input(x, linear, self.numerics), linear, bias)
        weight = self.w.get(module + ".weight", self.w["model.embed_tokens.weight"])
        y = x @ weight.T
        return y + self.w[module + ".bias"] if module + ".bias" in self.w else y

    def norm(self, x, tensor):
        return x / (x.square().mean(-1, keepdim=True) + self.c.rms_norm_eps).sqrt() * self.w[tensor]

    def rotate(self, x):
        """[tokens, heads, head_dim]; not rounded."""
        positions = torch.arange(x.shape[0], dtype=torch.float32)
        angles = (positions[:, None] * self.inv_freq[None, :]).double()[:, None, :]
        cos, sin = angles.cos() * self.attention_factor, angles.sin() * self.attention_factor
        low, high = x.chunk(2, -1)
        return torch.cat([low * cos - high * sin, high * cos + low * sin], -1)

    def attention(self, x, prefix):
        c, dim = self.c, self.head_dim()
        heads = {}
        for name, count in (("q", c.num_attention_heads), ("k", c.num_key_value_heads), ("v", c.num_key_value_heads)):
            y = self.r(self.linear(x, f"{prefix}.{name}_proj")).reshape(-1, count, dim)
            if name != "v":
                norm = f"{prefix}.{name}_norm.weight"
                y = self.r(self.rotate(self.norm(y, norm) if norm in self.w else y))
            heads[name] = y.repeat_interleave(c.num_attention_heads // count, 1)
        scores = torch.einsum("qhd,khd->hqk", heads["q"], heads["k"]) / math.sqrt(dim)
        scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -torch.inf)
        return self.r(torch.einsum("hqk,khd->qhd", scores.softmax(-1), heads["v"]).flatten(1))

    def head_dim(self):
        return getattr(self.c, "head_dim", None) or self.c.hidden_size // self.c.num_attention_heads

    def logits(self, ids):
        x = self.w["model.embed_tokens.weight"][torch.tensor(ids)]
        for i in range(self.c.num_hidden_layers):
            p = f"model.layers.{i}"
            normed = self.r(self.norm(x, f"{p}.input_layernorm.weight"))
            x = self.r(x + self.linear(self.attention(normed, f"{p}.self_attn"), f"{p}.self_attn.o_proj"))
            normed = self.r(self.norm(x, f"{p}.post_attention_layernorm.weight"))
            gate, up = self.linear(normed, f"{p}.mlp.gate_proj"), self.linear(normed, f"{p}.mlp.up_proj")
            gated = self.r(torch.nn.functional.silu(gate) * up)
            x = self.r(x + self.linear(gated, f"{p}.mlp.down_proj"))
        return self.linear(self.r(self.norm(x, "model.norm.weight")), "lm_head")
