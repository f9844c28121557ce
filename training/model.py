"""Qwen3ForCausalLM, written for training: fp32 master weights, BF16 arithmetic and residual stream as it will run."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.settings import ModelSettings


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """As transformers computes it: statistics in fp32, rounded, then times the weight."""
    wide = x.float()
    scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight.to(x.dtype) * scaled.to(x.dtype)


def rope_tables(settings: ModelSettings, device) -> tuple[Tensor, Tensor]:
    """cos and sin, [max_positions, head_dim], BF16: each half of a head holds one member of the pairs."""
    half = settings.head_dim // 2
    frequencies = settings.rope_theta ** (-torch.arange(half, device=device).float() / half)
    angles = torch.arange(settings.max_positions, device=device).float()[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().bfloat16(), angles.sin().bfloat16()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [..., head_dim]; cos and sin broadcast against it."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Block(nn.Module):
    def __init__(self, s: ModelSettings):
        super().__init__()
        self.s = s
        q, kv = s.heads * s.head_dim, s.kv_heads * s.head_dim
        self.input_norm = nn.Parameter(torch.ones(s.hidden))
        self.post_norm = nn.Parameter(torch.ones(s.hidden))
        self.q_norm = nn.Parameter(torch.ones(s.head_dim))
        self.k_norm = nn.Parameter(torch.ones(s.head_dim))
        self.qkv = nn.Parameter(torch.randn(q + 2 * kv, s.hidden) * s.hidden**-0.5)
        self.o = nn.Parameter(torch.randn(s.hidden, q) * q**-0.5 * (2 * s.layers) ** -0.5)
        self.gate_up = nn.Parameter(torch.randn(2 * s.intermediate, s.hidden) * s.hidden**-0.5)
        self.down = nn.Parameter(
            torch.randn(s.hidden, s.intermediate) * s.intermediate**-0.5 * (2 * s.layers) ** -0.5)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x [rows, tokens, hidden] BF16; cos and sin [tokens, head_dim]."""
        s, (rows, tokens, _) = self.s, x.shape
        h = rms_norm(x, self.input_norm, s.norm_epsilon)
        qkv = F.linear(h, self.qkv.to(h.dtype)).view(rows, tokens, -1, s.head_dim)
        q, k, v = qkv.split([s.heads, s.kv_heads, s.kv_heads], dim=2)
        q = rotate(rms_norm(q, self.q_norm, s.norm_epsilon).transpose(1, 2), cos, sin)
        k = rotate(rms_norm(k, self.k_norm, s.norm_epsilon).transpose(1, 2), cos, sin)
        repeat = s.heads // s.kv_heads
        k = k.repeat_interleave(repeat, dim=1)
        v = v.transpose(1, 2).repeat_interleave(repeat, dim=1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(a.transpose(1, 2).reshape(rows, tokens, -1), self.o.to(h.dtype))
        h = rms_norm(x, self.post_norm, s.norm_epsilon)
        gate, up = F.linear(h, self.gate_up.to(h.dtype)).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, self.down.to(h.dtype))


class Model(nn.Module):
    """Tied embeddings; forward gives the states before the head, [rows, tokens, hidden] BF16."""

    def __init__(self, settings: ModelSettings):
        super().__init__()
        self.settings = settings
        self.embedding = nn.Parameter(torch.randn(settings.vocab, settings.hidden) * 0.02)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.Parameter(torch.ones(settings.hidden))
        cos, sin = rope_tables(settings, "cpu")
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [rows, tokens], positions from 0 in every row."""
        x = F.embedding(tokens, self.embedding).bfloat16()
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin)
        return rms_norm(x, self.norm, self.settings.norm_epsilon)

    def logits(self, states: Tensor) -> Tensor:
        """[..., vocab] fp32 (of a BF16 product, as transformers has it)."""
        return F.linear(states, self.embedding.to(states.dtype)).float()

    def matrices(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.dim() == 2]

    def vectors(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.dim() == 1]
