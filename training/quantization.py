"""NVFP4 by fake quantisation, exact against the format's definition (docs/numerics.md), all in fp32.

A tensor's value is e2m1(code) * e4m3(block scale) * g.  The first two factors have at most 6 significant bits
together, so their product is exact in BF16 and a BF16 matrix product with fp32 sums gives
g_x * g_w * sum(codes and block scales) as the format defines it.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 16
E2M1_MAX, E4M3_MAX = 6.0, 448.0
TENSOR_MAX = E2M1_MAX * E4M3_MAX


def round_e4m3(x: Tensor) -> Tensor:
    """Non-negative fp32 to the nearest E4M3 value, ties to even, saturating."""
    return x.clamp(max=E4M3_MAX).to(torch.float8_e4m3fn).float()


def round_e2m1(x: Tensor) -> Tensor:
    """fp32 to the nearest E2M1 value, ties to the even code, saturating at 6.

    The spacing is 0.5 below 2, 1 below 4, 2 above; torch.round sends ties to even multiples of it, which are the even
    codes.
    """
    a = x.abs().clamp(max=E2M1_MAX)
    spacing = torch.where(a < 2, 0.5, torch.where(a < 4, 1.0, 2.0))
    return torch.copysign(torch.round(a / spacing) * spacing, x)


def global_scale(amax: float | Tensor) -> Tensor:
    amax = torch.as_tensor(amax, dtype=torch.float32)
    return torch.where(amax > 0, amax / TENSOR_MAX, 1.0)


def quantize_weight(w: Tensor, g: Tensor) -> Tensor:
    """w [n, k] fp32 -> e2m1(code) * e4m3(block scale), BF16, without g.  Block scales are at least 2^-9."""
    blocks = w.float().unflatten(-1, (-1, BLOCK))
    scale = round_e4m3((blocks.abs().amax(-1, keepdim=True) / E2M1_MAX / g).clamp(min=2.0**-9))
    return (round_e2m1(blocks / (scale * g)) * scale).flatten(-2).bfloat16()


def quantize_activation(x: Tensor, inverse_g: Tensor) -> Tensor:
    """x [..., k] BF16 -> e2m1(code) * e4m3(block scale), BF16, without g.  inverse_g = 1 / g, rounded once to fp32."""
    blocks = x.float().unflatten(-1, (-1, BLOCK))
    scale = round_e4m3(blocks.abs().amax(-1, keepdim=True) / E2M1_MAX * inverse_g)
    factor = torch.where(scale > 0, inverse_g / scale, 0.0)
    return (round_e2m1(blocks * factor) * scale).flatten(-2).bfloat16()
