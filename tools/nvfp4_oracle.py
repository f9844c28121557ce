"""NVFP4 in torch, written from the definition for the makers of golden files: an oracle that shares nothing with
src/formats. Rounding to E4M3 is torch's own cast; rounding to E2M1 goes by the midpoints between its values."""

import torch

E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
MIDPOINTS = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
BLOCK = 16


def round_e4m3(x):
    """fp32 -> the E4M3 value nearest to it, ties to even, saturating at 448."""
    return x.clamp(max=448.0).to(torch.float8_e4m3fn)


def encode_e2m1(x):
    """fp32 -> codes 0..15, ties to the even code, saturating at 6."""
    magnitude = x.abs()
    # Codes below count the midpoints passed; a value on the midpoint above an odd code goes up, to the even one.
    passed = (magnitude.unsqueeze(-1) > MIDPOINTS).sum(-1)
    on_tie = (magnitude.unsqueeze(-1) == MIDPOINTS).any(-1)
    code = passed + (on_tie & (passed % 2 == 1)).long()
    return code + 8 * torch.signbit(x).long()


def decode_e2m1(code):
    return torch.where(code >= 8, -E2M1[code & 7], E2M1[code & 7])


def blocks(x):
    return x.float().reshape(*x.shape[:-1], x.shape[-1] // BLOCK, BLOCK)


def encode_weight(w, g):
    """[n, k] and the tensor's scale g (fp32) -> codes [n, k], block scales [n, k/16] as E4M3."""
    b = blocks(w)
    scale = round_e4m3((b.abs().amax(-1) / 6 / g).clamp(min=2.0**-9))
    return encode_e2m1(b / (scale.float() * g).unsqueeze(-1)).reshape(w.shape), scale


def encode_activation(x, g):
    """[rows, k] and the calibrated scale g (fp32) -> codes [rows, k], block scales [rows, k/16] as E4M3."""
    b = blocks(x)
    inverse = 1 / g
    scale = round_e4m3(b.abs().amax(-1) / 6 * inverse)
    is_zero = (scale.float() == 0).unsqueeze(-1)
    factor = torch.where(is_zero, torch.zeros(()), inverse / scale.float().unsqueeze(-1))
    codes = torch.where(is_zero, torch.zeros((), dtype=torch.long), encode_e2m1(b * factor))
    return codes.reshape(x.shape), scale


def decode(codes, scale, g):
    """In double: every product is exact there."""
    values = blocks(decode_e2m1(codes)).double() * scale.double().unsqueeze(-1) * g.double()
    return values.reshape(codes.shape)


def pack(codes):
    """[n, k] -> bytes [n, k/2], the even k in the low nibble."""
    return (codes[:, 0::2] + 16 * codes[:, 1::2]).to(torch.uint8)
