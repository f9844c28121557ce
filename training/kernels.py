"""The Triton kernels of the sampler, each with a PyTorch twin that the tests compare it with."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _decode_attention(q_ptr, k_ptr, v_ptr, out_ptr, slots_ptr, lengths_ptr, slot_stride, head_stride, qkv_width,
                      scale, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr):
    """One row and key head a program; its query heads (padded to 16 rows for the tensor cores) share the reads."""
    row, kv_head = tl.program_id(0), tl.program_id(1)
    group: tl.constexpr = HEADS // KV_HEADS
    slot = tl.load(slots_ptr + row).to(tl.int64)
    length = tl.load(lengths_ptr + row)
    lane, d, t = tl.arange(0, 16), tl.arange(0, D), tl.arange(0, BLOCK)
    q_place = row.to(tl.int64) * qkv_width + (kv_head * group + lane[:, None]) * D + d[None, :]
    q = tl.load(q_ptr + q_place, mask=lane[:, None] < group, other=0.0)
    base = slot * slot_stride + kv_head * head_stride
    best = tl.full([16], float("-inf"), tl.float32)
    total = tl.zeros([16], tl.float32)
    out = tl.zeros([16, D], tl.float32)
    for first in range(0, length, BLOCK):
        inside = first + t < length
        place = base + (first + t)[:, None] * D + d[None, :]
        k = tl.load(k_ptr + place, mask=inside[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k)) * scale
        scores = tl.where(inside[None, :], scores, float("-inf"))
        new_best = tl.maximum(best, tl.max(scores, axis=1))
        weight = tl.exp(scores - new_best[:, None])
        keep = tl.exp(best - new_best)
        total = total * keep + tl.sum(weight, axis=1)
        v = tl.load(v_ptr + place, mask=inside[:, None], other=0.0)
        out = out * keep[:, None] + tl.dot(weight.to(v.dtype), v)
        best = new_best
    out_place = row.to(tl.int64) * (HEADS * D) + (kv_head * group + lane[:, None]) * D + d[None, :]
    tl.store(out_ptr + out_place, (out / total[:, None]).to(out_ptr.dtype.element_ty), mask=lane[:, None] < group)


def decode_attention(qkv: Tensor, k_cache: Tensor, v_cache: Tensor, slots: Tensor, lengths: Tensor, heads: int) -> Tensor:
    """qkv [rows, (heads + 2 kv) * d], caches [slots, kv_heads, tokens, d]; row r attends to lengths[r] positions of
    slots[r].  Gives [rows, heads * d]."""
    _, kv_heads, _, d = k_cache.shape
    if not qkv.is_cuda:
        return _decode_attention_twin(qkv, k_cache, v_cache, slots, lengths, heads)
    out = torch.empty(qkv.shape[0], heads * d, dtype=qkv.dtype, device=qkv.device)
    _decode_attention[(qkv.shape[0], kv_heads)](
        qkv, k_cache, v_cache, out, slots, lengths, k_cache.stride(0), k_cache.stride(1), qkv.shape[1], d**-0.5,
        HEADS=heads, KV_HEADS=kv_heads, D=d, BLOCK=64, num_warps=4)
    return out


def _decode_attention_twin(qkv, k_cache, v_cache, slots, lengths, heads):
    kv_heads, tokens, d = k_cache.shape[1:]
    q = qkv[:, : heads * d].view(-1, heads, 1, d)
    k, v = (c[slots].repeat_interleave(heads // kv_heads, dim=1) for c in (k_cache, v_cache))
    mask = torch.arange(tokens, device=qkv.device)[None, :] < lengths[:, None]
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
    return out.reshape(-1, heads * d)


@triton.jit
def _quantize_activation(x_ptr, out_ptr, inverse_g_ptr, blocks, BLOCKS: tl.constexpr):
    block = tl.program_id(0) * BLOCKS + tl.arange(0, BLOCKS)
    place = block.to(tl.int64)[:, None] * 16 + tl.arange(0, 16)[None, :]
    inside = block[:, None] < blocks
    x = tl.load(x_ptr + place, mask=inside, other=0.0).to(tl.float32)
    inverse_g = tl.load(inverse_g_ptr)
    wanted = tl.minimum(tl.div_rn(tl.max(tl.abs(x), axis=1), 6.0) * inverse_g, 448.0)
    # E4M3: 3 mantissa bits above 2^-6, multiples of 2^-9 below; adding and taking away 1.5 * 2^23 quanta rounds
    # to nearest, ties to even.
    exponent = (wanted.to(tl.int32, bitcast=True) >> 23) - 127
    quantum = ((tl.maximum(exponent, -6) - 3 + 127) << 23).to(tl.float32, bitcast=True)
    magic = quantum * 12582912.0
    scale = tl.minimum((wanted + magic) - magic, 448.0)
    factor = tl.where(scale > 0, tl.div_rn(inverse_g + 0.0 * scale, scale), 0.0)
    y = x * factor[:, None]
    a = tl.minimum(tl.abs(y), 6.0)
    spacing = tl.where(a < 2, 0.5, tl.where(a < 4, 1.0, 2.0))
    shift = spacing * 12582912.0
    code = (a + shift) - shift
    value = tl.where(y < 0, -code, code) * scale[:, None]
    tl.store(out_ptr + place, value.to(out_ptr.dtype.element_ty), mask=inside)


def quantize_activation(x: Tensor, inverse_g: Tensor) -> Tensor:
    """quantization.quantize_activation in one pass over memory.  x contiguous, inverse_g one element."""
    out = torch.empty_like(x)
    blocks = x.numel() // 16
    _quantize_activation[(triton.cdiv(blocks, 64),)](x, out, inverse_g, blocks, BLOCKS=64, num_warps=4)
    return out


@triton.jit
def _draw(logits_ptr, temperature_ptr, top_p_ptr, uniform_ptr, token_ptr, logprob_ptr, vocab, V: tl.constexpr):
    """One row a program: softmax at its temperature, the smallest most probable set, then the inverse of its
    distribution function in the order of ids."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, V)
    inside = lane < vocab
    raw = tl.load(logits_ptr + row * vocab + lane, mask=inside, other=float("-inf"))
    shifted = raw - tl.max(raw, axis=0)
    temperature = tl.load(temperature_ptr + row)
    p = tl.exp(shifted / temperature)
    p = tl.where(inside, p / tl.sum(p, axis=0), 0.0)
    bits = p.to(tl.int32, bitcast=True)  # ordered as the values are
    top_p = tl.load(top_p_ptr + row)
    low = 0  # the largest threshold whose set still has the mass: bisection over bit patterns is exact
    high = 0x3F800001
    while high - low > 1:
        middle = low + (high - low) // 2
        enough = tl.sum(tl.where(bits >= middle, p, 0.0), axis=0) >= top_p
        low = tl.where(enough, middle, low)
        high = tl.where(enough, high, middle)
    low = tl.minimum(low, tl.max(bits, axis=0))
    kept = tl.where(bits >= low, p, 0.0)
    running = tl.cumsum(kept, axis=0)
    target = tl.load(uniform_ptr + row) * tl.sum(kept, axis=0)
    token = tl.sum((running <= target).to(tl.int32), axis=0)
    last = tl.max(tl.where(kept > 0, lane, 0), axis=0)
    token = tl.minimum(token, last)
    logprob = tl.sum(tl.where(lane == token, shifted, 0.0), axis=0) - tl.log(tl.sum(tl.exp(shifted), axis=0))
    tl.store(token_ptr + row, token.to(tl.int64))
    tl.store(logprob_ptr + row, logprob)


def draw(logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """logits [rows, vocab] fp32; one draw a row.  Gives tokens [rows] int64 and their ln p of the raw logits."""
    if not logits.is_cuda:
        return _draw_twin(logits, temperature, top_p, uniform)
    rows, vocab = logits.shape
    token = torch.empty(rows, dtype=torch.int64, device=logits.device)
    logprob = torch.empty(rows, dtype=torch.float32, device=logits.device)
    _draw[(rows,)](logits, temperature, top_p, uniform, token, logprob, vocab, V=triton.next_power_of_2(vocab),
                   num_warps=4)
    return token, logprob


def _draw_twin(logits, temperature, top_p, uniform):
    p = torch.softmax(logits / temperature[:, None], dim=-1)
    ordered, order = p.sort(dim=-1, descending=True, stable=True)
    # A token is kept while the mass before it is short of top_p; ties with the last kept one stay in too.
    count = ((ordered.cumsum(-1) - ordered) < top_p[:, None]).sum(-1).clamp(min=1)
    kept = torch.where(p >= ordered.gather(-1, count[:, None] - 1), p, 0.0)
    running = kept.cumsum(-1)
    token = (running <= uniform[:, None] * running[:, -1:]).sum(-1)
    last = (kept > 0).long().mul(torch.arange(p.shape[-1], device=p.device)).amax(-1)
    token = torch.minimum(token, last)
    return token, torch.log_softmax(logits, dim=-1).gather(-1, token[:, None])[:, 0]


@triton.jit
def _rms_norm(x_ptr, weight_ptr, out_ptr, epsilon, N: tl.constexpr, P: tl.constexpr):
    row, lane = tl.program_id(0).to(tl.int64), tl.arange(0, P)
    inside = lane < N
    x = tl.load(x_ptr + row * N + lane, mask=inside, other=0.0).to(tl.float32)
    scaled = (x * tl.rsqrt(tl.sum(x * x, axis=0) / N + epsilon)).to(tl.bfloat16)
    weight = tl.load(weight_ptr + lane, mask=inside, other=0.0)
    tl.store(out_ptr + row * N + lane, (scaled.to(tl.float32) * weight.to(tl.float32)).to(tl.bfloat16), mask=inside)


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """model.rms_norm of x [rows, n] BF16 with a BF16 weight, in one pass."""
    out = torch.empty_like(x)
    _rms_norm[(x.shape[0],)](x, weight, out, epsilon, N=x.shape[1], P=triton.next_power_of_2(x.shape[1]), num_warps=2)
    return out


@triton.jit
def _bf16(x):
    return x.to(tl.bfloat16).to(tl.float32)


@triton.jit
def _norm_rotate_append(qkv_ptr, q_norm_ptr, k_norm_ptr, cos_ptr, sin_ptr, k_cache_ptr, v_cache_ptr, slots_ptr,
                        positions_ptr, slot_stride, head_stride, epsilon, HEADS: tl.constexpr, KV_HEADS: tl.constexpr,
                        D: tl.constexpr):
    """One head of one row a program: q in place, k and v into the cache; rounded to BF16 where PyTorch rounds."""
    row, head = tl.program_id(0), tl.program_id(1)
    half = tl.arange(0, D // 2)
    position = tl.load(positions_ptr + row).to(tl.int64)
    source = qkv_ptr + row.to(tl.int64) * ((HEADS + 2 * KV_HEADS) * D) + head * D
    first = tl.load(source + half).to(tl.float32)
    second = tl.load(source + D // 2 + half).to(tl.float32)
    target = source
    if head >= HEADS:
        kv_head = (head - HEADS) % KV_HEADS
        cache = k_cache_ptr if head < HEADS + KV_HEADS else v_cache_ptr
        target = cache + tl.load(slots_ptr + row).to(tl.int64) * slot_stride + kv_head * head_stride + position * D
    if head < HEADS + KV_HEADS:
        norm_ptr = q_norm_ptr if head < HEADS else k_norm_ptr
        inverse = tl.rsqrt((tl.sum(first * first, axis=0) + tl.sum(second * second, axis=0)) / D + epsilon)
        first = _bf16(_bf16(first * inverse) * tl.load(norm_ptr + half).to(tl.float32))
        second = _bf16(_bf16(second * inverse) * tl.load(norm_ptr + D // 2 + half).to(tl.float32))
        cos = tl.load(cos_ptr + position * D + half).to(tl.float32)
        sin = tl.load(sin_ptr + position * D + half).to(tl.float32)
        turned = _bf16(first * cos) + _bf16(-second * sin)
        second = _bf16(second * cos) + _bf16(first * sin)
        first = turned
    tl.store(target + half, first.to(tl.bfloat16))
    tl.store(target + D // 2 + half, second.to(tl.bfloat16))


def norm_rotate_append(qkv: Tensor, q_norm: Tensor, k_norm: Tensor, cos: Tensor, sin: Tensor, k_cache: Tensor,
                       v_cache: Tensor, slots: Tensor, positions: Tensor, heads: int, epsilon: float) -> None:
    """Norms and rotates q (in place) and k of qkv [rows, (heads + 2 kv) * d]; writes k and v of row r to position
    positions[r] of slots[r] in the caches [slots, kv_heads, tokens, d]."""
    kv_heads, _, d = k_cache.shape[1:]
    _norm_rotate_append[(qkv.shape[0], heads + 2 * kv_heads)](
        qkv, q_norm, k_norm, cos, sin, k_cache, v_cache, slots, positions, k_cache.stride(0), k_cache.stride(1),
        epsilon, HEADS=heads, KV_HEADS=kv_heads, D=d, num_warps=1)


@triton.jit
def _silu_mul(x_ptr, out_ptr, N: tl.constexpr, P: tl.constexpr):
    row, lane = tl.program_id(0).to(tl.int64), tl.arange(0, P)
    inside = lane < N
    gate = tl.load(x_ptr + row * 2 * N + lane, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x_ptr + row * 2 * N + N + lane, mask=inside, other=0.0).to(tl.float32)
    silu = _bf16(gate / (1 + tl.exp(-gate)))
    tl.store(out_ptr + row * N + lane, (silu * up).to(tl.bfloat16), mask=inside)


def silu_mul(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of [rows, 2 n] BF16."""
    rows, width = gate_up.shape
    out = torch.empty(rows, width // 2, dtype=gate_up.dtype, device=gate_up.device)
    _silu_mul[(rows,)](gate_up, out, N=width // 2, P=triton.next_power_of_2(width // 2), num_warps=4)
    return out
