"""Supervised training on traces.  `python3 -m training.supervised STATE`; resumes from STATE/supervised.pt."""

from __future__ import annotations

import argparse
import os
import queue
import threading
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from training import stream, tokenizer as tokenizers
from training.model import Model
from training.muon import Muon
from training.progress import Log
from training.settings import TINY, Settings, SupervisedSettings, add_arguments, chosen


def rate_factor(share: float, step: int, settings: Settings) -> float:
    """Of the peak rate, at `share` (0..1) of the run: warm-up, flat, then linearly to 1 %."""
    s = settings.supervised
    warm = min(1.0, (step + 1) / s.warm_up_steps)
    fall = max(0.0, (share - s.flat_share) / (1 - s.flat_share))
    return warm * (1 - 0.99 * min(1.0, fall))


class Optimizers:
    """What `settings.optimizer` names; one rate for all parameters."""

    def __init__(self, model: Model, settings: SupervisedSettings):
        blocks = [p for p in model.matrices() if p is not model.embedding]
        groups = [{"params": [model.embedding], "weight_decay": settings.weight_decay},
                  {"params": model.vectors(), "weight_decay": 0.0}]
        self.members = []
        if settings.optimizer == "muon":
            self.members.append(Muon(blocks, settings.peak_rate, settings.weight_decay))
        else:
            groups[0]["params"] = groups[0]["params"] + blocks
        self.members.append(torch.optim.AdamW(groups, lr=settings.peak_rate, betas=(0.9, 0.95), fused=True))

    def set_rate(self, rate: float) -> None:
        for member in self.members:
            for group in member.param_groups:
                group["lr"] = rate

    def step(self) -> None:
        for member in self.members:
            member.step()
            member.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [member.state_dict() for member in self.members]

    def load_state_dict(self, states: list[dict]) -> None:
        for member, state in zip(self.members, states, strict=True):
            member.load_state_dict(state)


def loss_of(model: Model, batch: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the reply tokens; batch [rows, row_tokens + 1] int32 with stream.LOSS_BIT."""
    ids = (batch & (stream.LOSS_BIT - 1)).long()
    counts = (batch[:, 1:] & stream.LOSS_BIT) != 0
    logits = model.logits(model(ids[:, :-1]))
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return (losses * counts.flatten()).sum() / counts.sum()


def _prefetch(batches, device) -> queue.Queue:
    ready: queue.Queue = queue.Queue(maxsize=8)

    def fill():
        for batch in batches:
            ready.put(torch.from_numpy(batch.astype("int32")).to(device))

    threading.Thread(target=fill, daemon=True).start()
    return ready


def train(settings: Settings, state: Path, minutes: float | None, workers: int) -> Model:
    """Trains for settings.supervised.steps, or for `minutes` of wall time if that is less; the rate follows either."""
    s = settings.supervised
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings.seed)
    model = Model(settings.model).to(device)
    optimizer = Optimizers(model, s)
    path, log = state / "supervised.pt", Log(state / "supervised.jsonl")
    step, spent = 0, 0.0
    if path.exists():
        saved = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent = saved["step"], saved["seconds"]

    ready = _prefetch(stream.batches(settings, state / "tokenizer", workers, first_chunk=step), device)
    loss_function = torch.compile(loss_of) if settings is not TINY else loss_of
    loss_function(model, ready.get()).backward()  # compiling is not training time
    model.zero_grad(set_to_none=True)
    started, saved_at = time.monotonic() - spent, time.monotonic()
    while True:
        seconds = time.monotonic() - started
        share = max(step / s.steps, seconds / (60 * minutes) if minutes else 0)
        if share >= 1:
            break
        rate = s.peak_rate * rate_factor(share, step, settings)
        optimizer.set_rate(rate)
        loss = loss_function(model, ready.get())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), s.clip)
        optimizer.step()
        step += 1
        if step % 100 == 0 or step == s.steps:
            log.write(step=step, seconds=round(seconds, 1), tokens=step * s.rows * s.row_tokens, loss=loss.item(),
                      gradient_norm=norm.item(), rate=rate, queued=ready.qsize())
        if time.monotonic() - saved_at > 60:
            _save(path, model, optimizer, step, seconds)
            saved_at = time.monotonic()
    _save(path, model, optimizer, step, time.monotonic() - started)
    log.write(step=step, seconds=round(time.monotonic() - started, 1), tokens=step * s.rows * s.row_tokens, done=True)
    return model


def _save(path: Path, model: Model, optimizer, step: int, seconds: float) -> None:
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds},
               path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    add_arguments(parser)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    arguments = parser.parse_args()
    settings = chosen(arguments)
    if not (arguments.state / "tokenizer/tokenizer.json").exists():
        tokenizers.train(settings, arguments.state / "tokenizer")
    train(settings, arguments.state, arguments.minutes, arguments.workers)


if __name__ == "__main__":
    main()
