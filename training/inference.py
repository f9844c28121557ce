"""The trained model as it will run: prefill and one decode step over a cache, in BF16, W4A16 or W4A4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training import kernels, quantization
from training.model import Model, rms_norm, rotate

NUMERICS = ("bf16", "w4a16", "w4a4")
LINEARS = ("qkv", "o", "gate_up", "down")


def _nothing(x: Tensor) -> Tensor:
    return x


class Linear:
    """One matrix under one numerics; x [rows, k] BF16 -> [rows, n] BF16, rounded once, after the residual."""

    def __init__(self, weight: Tensor, numerics: str, input_scale: Tensor | None):
        self.alpha, self.prepare = 1.0, _nothing
        self.weight = weight.detach().bfloat16()
        if numerics == "bf16":
            return
        g = quantization.global_scale(self.weight.abs().max())
        self.weight = quantization.quantize_weight(self.weight, g)
        self.alpha = g.item()
        if numerics == "w4a16":
            return
        inverse = (1.0 / input_scale.float()).to(weight.device)
        self.alpha = (g * input_scale.to(g.device)).item()
        quantize = kernels.quantize_activation if weight.is_cuda else quantization.quantize_activation
        self.prepare = lambda x: quantize(x, inverse)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        x = self.prepare(x)
        if residual is not None:
            return torch.addmm(residual, x, self.weight.t(), alpha=self.alpha)
        if self.alpha == 1.0:
            return x @ self.weight.t()
        nothing = x.new_zeros(1, 1).expand(x.shape[0], self.weight.shape[0])
        return torch.addmm(nothing, x, self.weight.t(), beta=0, alpha=self.alpha)


class Engine:
    """A model's weights under one numerics, and a cache of `slots` sequences of at most `tokens` positions.

    `input_scales` maps "layer.linear" to its calibrated g_x (W4A4 only).  With `observe`, the largest magnitude that
    each linear read is kept in `ranges`.
    """

    def __init__(self, model: Model, numerics: str, slots: int, tokens: int, input_scales=None, observe: bool = False):
        s = self.settings = model.settings
        self.device = model.embedding.device
        self.ranges: dict[str, Tensor] | None = {} if observe else None
        bf16 = lambda parameter: parameter.detach().bfloat16()  # noqa: E731
        self.embedding, self.norm = bf16(model.embedding), bf16(model.norm)
        self.cos, self.sin = model.cos, model.sin
        self.layers = []
        for i, block in enumerate(model.blocks):
            layer = {name: bf16(getattr(block, name)) for name in ("input_norm", "post_norm", "q_norm", "k_norm")}
            for name in LINEARS:
                scale = input_scales[f"{i}.{name}"] if numerics == "w4a4" else None
                layer[name] = Linear(getattr(block, name), numerics, scale)
            self.layers.append(layer)
        # One slot more than asked for: where the idle rows of a half-full step write.
        shape = (s.layers, slots + 1, s.kv_heads, tokens, s.head_dim)
        self.k_cache = torch.zeros(shape, dtype=torch.bfloat16, device=self.device)
        self.v_cache = torch.zeros(shape, dtype=torch.bfloat16, device=self.device)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        function = kernels.rms_norm if x.is_cuda else rms_norm
        return function(x, weight, self.settings.norm_epsilon)

    def _see(self, layer: int, name: str, x: Tensor) -> Tensor:
        if self.ranges is not None:
            key = f"{layer}.{name}"
            self.ranges[key] = torch.maximum(self.ranges.get(key, x.new_zeros(())), x.abs().amax())
        return x

    def _feed_forward(self, i: int, x: Tensor) -> Tensor:
        layer = self.layers[i]
        h = self._see(i, "gate_up", self._norm(x, layer["post_norm"]))
        h = layer["gate_up"](h)
        if h.is_cuda:
            h = kernels.silu_mul(h)
        else:
            gate, up = h.chunk(2, dim=-1)
            h = F.silu(gate) * up
        return layer["down"](self._see(i, "down", h), x)

    def logits(self, x: Tensor) -> Tensor:
        """x [rows, hidden] -> [rows, vocab] fp32."""
        h = self._norm(x, self.norm)
        if h.is_cuda:
            return torch.mm(h, self.embedding.t(), out_dtype=torch.float32)
        return h.float() @ self.embedding.float().t()

    def prefill(self, tokens: Tensor, slots: Tensor) -> None:
        """Runs tokens [rows, length] (right-padded) from position 0 and fills the caches of `slots` [rows].  What
        padding leaves there is overwritten before it is read."""
        s, (rows, length) = self.settings, tokens.shape
        x = F.embedding(tokens.flatten(), self.embedding)
        cos, sin = self.cos[:length], self.sin[:length]
        for i, layer in enumerate(self.layers):
            qkv = layer["qkv"](self._see(i, "qkv", self._norm(x, layer["input_norm"])))
            q, k, v = qkv.view(rows, length, -1, s.head_dim).transpose(1, 2).split(
                [s.heads, s.kv_heads, s.kv_heads], dim=1)
            q = rotate(rms_norm(q, layer["q_norm"], s.norm_epsilon), cos, sin)
            k = rotate(rms_norm(k, layer["k_norm"], s.norm_epsilon), cos, sin)
            self.k_cache[i, slots, :, :length] = k
            self.v_cache[i, slots, :, :length] = v
            repeat = s.heads // s.kv_heads
            a = F.scaled_dot_product_attention(q, k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1),
                                               is_causal=True)
            a = a.transpose(1, 2).reshape(rows * length, -1)
            x = layer["o"](self._see(i, "o", a), x)
            x = self._feed_forward(i, x)

    def decode(self, tokens: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """One token a row: [rows] ids at [rows] positions of [rows] slots -> logits [rows, vocab] fp32."""
        s = self.settings
        x = F.embedding(tokens, self.embedding)
        lengths = positions + 1
        for i, layer in enumerate(self.layers):
            qkv = layer["qkv"](self._norm(x, layer["input_norm"]))
            if qkv.is_cuda:
                kernels.norm_rotate_append(qkv, layer["q_norm"], layer["k_norm"], self.cos, self.sin, self.k_cache[i],
                                           self.v_cache[i], slots, positions, s.heads, s.norm_epsilon)
            else:
                self._norm_rotate_append(qkv, layer, i, slots, positions)
            a = kernels.decode_attention(qkv, self.k_cache[i], self.v_cache[i], slots, lengths, s.heads)
            x = layer["o"](a, x)
            x = self._feed_forward(i, x)
        return self.logits(x)

    def _norm_rotate_append(self, qkv: Tensor, layer: dict, i: int, slots: Tensor, positions: Tensor) -> None:
        s = self.settings
        q, k, v = qkv.view(qkv.shape[0], -1, s.head_dim).split([s.heads, s.kv_heads, s.kv_heads], dim=1)
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        self.k_cache[i, slots, :, positions] = rotate(rms_norm(k, layer["k_norm"], s.norm_epsilon), cos, sin)
        self.v_cache[i, slots, :, positions] = v
        q.copy_(rotate(rms_norm(q, layer["q_norm"], s.norm_epsilon), cos, sin))


def calibrate_input_scales(model: Model, sequences: list[list[int]], batch: int = 64) -> dict[str, Tensor]:
    """g_x of every linear: the largest magnitude it reads over `sequences` (token ids), divided by 2688."""
    longest = max(map(len, sequences))
    engine = Engine(model, "bf16", slots=batch, tokens=longest, observe=True)
    for first in range(0, len(sequences), batch):
        # Sequences of one length run together: padding must not be observed.
        chunk = sorted(sequences[first:first + batch], key=len)
        for length in sorted(set(map(len, chunk))):
            same = torch.tensor([s for s in chunk if len(s) == length], device=engine.device)
            engine.prefill(same, torch.arange(len(same), device=engine.device))
    return {name: quantization.global_scale(amax.float()) for name, amax in engine.ranges.items()}
