"""Compares every kernel of the sampler with its PyTorch twin, on a GPU, and says how long a decode step takes."""

from __future__ import annotations

import time

import torch

from training import kernels, quantization
from training.evaluation import make_sampler
from training.inference import Engine
from training.model import Model, rms_norm
from training.settings import FULL


def check_quantize() -> None:
    generator = torch.Generator("cuda").manual_seed(1)
    for spread in (0.01, 1.0, 30.0, 3000.0):
        x = (torch.randn(4096, 384, generator=generator, device="cuda") * spread).bfloat16()
        x[0] = 0
        x[1, :16] = torch.tensor([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, -0.25], device="cuda")
        inverse = 1 / torch.tensor(float(x.abs().max()) / 2688 * 0.7, device="cuda")
        got, want = kernels.quantize_activation(x, inverse), quantization.quantize_activation(x, inverse)
        assert torch.equal(got, want), f"quantize_activation differs at {(got != want).sum()} of {x.numel()}"


def check_draw() -> None:
    generator = torch.Generator("cuda").manual_seed(2)
    logits = torch.randn(8192, 1024, generator=generator, device="cuda") * 3
    uniform = torch.rand(8192, generator=generator, device="cuda")
    for temperature, top_p in ((1.0, 1.0), (0.6, 0.95), (1e-6, 0.95), (0.1, 0.5)):
        columns = [torch.full((8192,), v, device="cuda") for v in (temperature, top_p)]
        token, logprob = kernels.draw(logits, *columns, uniform)
        twin, twin_logprob = kernels._draw_twin(logits, *columns, uniform)
        same = (token == twin).float().mean().item()
        assert same > 0.999, f"draw agrees on {same} at T {temperature}, top-p {top_p}"
        assert torch.allclose(logprob[token == twin], twin_logprob[token == twin], atol=1e-4)


def check_decode() -> None:
    """A sequence decoded token by token gives the trainer's logits."""
    model = Model(FULL.model).cuda()
    tokens = torch.randint(0, 1024, (32, 300), device="cuda")
    engine = Engine(model, "bf16", 32, 512)
    slots = torch.arange(32, device="cuda").flip(0)
    with torch.no_grad():
        want = model.logits(model(tokens))
        engine.prefill(tokens[:, :200], slots)
        for position in range(200, 300):
            got = engine.decode(tokens[:, position], torch.full((32,), position, device="cuda"), slots)
            error = (got - want[:, position]).abs().max().item() / want.std().item()
            assert error < 0.1, f"decode differs by {error} standard deviations at {position}"
    x = torch.randn(100, 384, device="cuda").bfloat16()
    weight = torch.rand(384, device="cuda").bfloat16()
    assert (kernels.rms_norm(x, weight, 1e-6) - rms_norm(x, weight, 1e-6)).abs().max() < 0.02


def time_step() -> None:
    from training.sampler import Job
    from training.policies import fixed

    model = Model(FULL.model).cuda()
    scales = {f"{i}.{n}": torch.tensor(0.01) for i in range(FULL.model.layers) for n in ("qkv", "o", "gate_up", "down")}

    class Words:
        def get_vocab_size(self): return 1024
        def decode(self, ids, skip_special_tokens): return "\n\n" if ids[0] == 5 else "x"
        def token_to_id(self, _): return 1023

    for numerics in ("bf16", "w4a4"):
        sampler = make_sampler(model, Words(), numerics, FULL, 8192, 256, scales)
        jobs = [Job([1 + i % 1000] * 200, fixed(1.0, 1.0), i) for i in range(8192)]
        sampler.run(jobs[:64])
        torch.cuda.synchronize()
        started = time.monotonic()
        replies = sampler.run(jobs)
        seconds = time.monotonic() - started
        print(f"{numerics}: {sum(len(r.tokens) for r in replies) / seconds / 1e6:.2f}M tokens/s", flush=True)
        del sampler
        torch.cuda.empty_cache()


if __name__ == "__main__":
    for check in (check_quantize, check_draw, check_decode, time_step):
        check()
        print(check.__name__, "ok", flush=True)
