"""Supervised data without end: worker processes generate, tokenize and pack traces while the trainer trains."""

from __future__ import annotations

import bisect
import multiprocessing
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training import tokenizer as tokenizers
from training.settings import SUPERVISED_SHARES, Settings
from training.tasks import generate

LOSS_BIT = 0x8000  # set on a token of a reply, which is a target; the low bits are its id
EXAMPLES_A_CHUNK = 3000
ROWS_A_MESSAGE = 64


def encode_examples(tokenizer, examples) -> list[np.ndarray]:
    """Each example as uint16 ids, prompt then reply then <|im_end|>, with LOSS_BIT on the reply."""
    prompts = tokenizer.encode_batch([tokenizers.prompt_of(e.text) for e in examples], add_special_tokens=False)
    replies = tokenizer.encode_batch([e.trace + "<|im_end|>" for e in examples], add_special_tokens=False)
    return [np.concatenate([np.array(p.ids, np.uint16), np.array(r.ids, np.uint16) | LOSS_BIT])
            for p, r in zip(prompts, replies, strict=True)]


class Packer:
    """Puts whole examples into rows: always the longest waiting one that still fits; the rest of a row is padding."""

    def __init__(self, row_tokens: int, padding: int):
        self.length = row_tokens + 1  # inputs and targets overlap by all but one
        self.padding = padding
        self.waiting: list[np.ndarray] = []

    def add(self, examples: list[np.ndarray]) -> list[np.ndarray]:
        """Takes examples, gives the rows that are full: as long as enough wait for a good fit."""
        self.waiting += [e for e in examples if len(e) <= self.length]
        self.waiting.sort(key=len)
        lengths = [len(e) for e in self.waiting]
        rows = []
        while len(self.waiting) > 256:
            row, used = np.full(self.length, self.padding, np.uint16), 0
            # The first one at random, so that a row's lengths follow the data and not the order of sorting.
            place = random.randrange(len(self.waiting))
            while place >= 0:
                example = self.waiting.pop(place)
                lengths.pop(place)
                row[used:used + len(example)] = example
                used += len(example)
                place = bisect.bisect_right(lengths, self.length - used) - 1
                if place > 8 and self.length - used > 2 * lengths[place]:
                    place = random.randrange(place + 1)
            rows.append(row)
        return rows


def _work(worker: int, first_chunk: int, settings: Settings, folder: Path, queue) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = tokenizers.load(folder)
    packer = Packer(settings.supervised.row_tokens, tokenizer.token_to_id("<|endoftext|>"))
    chunk = first_chunk
    while True:
        examples = []
        seed = (settings.seed * 1000 + worker) * 1_000_000 + chunk  # no two workers, chunks or runs alike
        for task, share in SUPERVISED_SHARES.items():
            examples += generate(task, "training", max(1, int(share * EXAMPLES_A_CHUNK)), seed, traces=True,
                                 knobs=settings.training_knobs.get(task, ()))
        random.seed(seed)
        random.shuffle(examples)
        rows = packer.add(encode_examples(tokenizer, examples))
        random.shuffle(rows)
        for i in range(0, len(rows), ROWS_A_MESSAGE):
            queue.put(np.stack(rows[i:i + ROWS_A_MESSAGE]))
        chunk += 1


def batches(settings: Settings, folder: Path, workers: int, first_chunk: int = 0) -> Iterator[np.ndarray]:
    """Batches [rows, row_tokens + 1] uint16 for ever.  `first_chunk` continues past what an earlier run has seen."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=64)
    processes = [context.Process(target=_work, args=(i, first_chunk, settings, folder, queue), daemon=True)
                 for i in range(workers)]
    for process in processes:
        process.start()
    try:
        rows = np.empty((0, settings.supervised.row_tokens + 1), np.uint16)
        while True:
            while len(rows) < settings.supervised.rows:
                rows = np.concatenate([rows, queue.get(timeout=300)])
            yield rows[: settings.supervised.rows]
            rows = rows[settings.supervised.rows:]
    finally:
        for process in processes:
            process.terminate()
