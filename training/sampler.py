"""Continuous batched sampling: thousands of sequences in flight, one CUDA graph a batch size, no host in a token."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from training import kernels
from training.inference import Engine
from training.policies import Policy, PolicyState

STEPS_BETWEEN_LOOKS = 16  # decode steps between two looks at which sequences are done
PREFILL_TOKENS = 131072


@dataclasses.dataclass
class Job:
    prompt: list[int]
    policy: Policy
    stream: int  # of randomness: the same number and position, the same uniform draw, whatever the policy


@dataclasses.dataclass
class Reply:
    tokens: list[int]
    finished: bool  # ended by itself
    logprobs: Tensor  # [tokens] fp32, ln p of the raw logits
    entropies: Tensor  # [tokens] fp32, nats


def uniform_draws(streams: Tensor, positions: Tensor) -> Tensor:
    """[rows] in [0, 1), a pure function of stream and position: the finaliser of SplitMix64 (Steele et al. 2014)."""
    z = streams * -7046029254386353131 + positions * -4417276706812531889 + 0x1234567
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        z = (z ^ ((z >> shift) & ((1 << (64 - shift)) - 1))) * factor
    z = z ^ ((z >> 31) & ((1 << 33) - 1))
    return ((z >> 40) & 0xFFFFFF).float() * 2.0**-24


class Sampler:
    """Runs jobs through an engine.  `tokens` bounds prompt and reply together."""

    def __init__(self, engine: Engine, slots: int, tokens: int, max_reply: int, end_id: int, blank_line: list[int],
                 newline: list[int]):
        self.engine, self.slots, self.max_tokens, self.max_reply, self.end_id = engine, slots, tokens, max_reply, end_id
        device, idle = engine.device, slots + 1  # the last slot is where idle rows write
        self.policy = PolicyState(idle, blank_line, newline, engine.settings.vocab, device)
        ids = lambda *shape: torch.zeros(idle, *shape, dtype=torch.int64, device=device)  # noqa: E731
        self.token, self.position, self.stream, self.drawn, self.limit = ids(), ids(), ids(), ids(), ids()
        self.done = torch.ones(idle, dtype=torch.bool, device=device)
        self.out_tokens = torch.zeros(idle, max_reply, dtype=torch.int16, device=device)
        self.out_logprobs = torch.zeros(idle, max_reply, device=device)
        self.out_entropies = torch.zeros(idle, max_reply, device=device)
        self.graphs: dict[int, tuple[Tensor, torch.cuda.CUDAGraph]] = {}
        self.pool = torch.cuda.graph_pool_handle() if self.token.is_cuda else None

    def _step(self, rows: Tensor) -> None:
        """Draws one token for every slot in `rows`; those that are done stay as they are."""
        logits = self.engine.decode(self.token[rows], self.position[rows], rows)
        log_p = torch.log_softmax(logits, dim=-1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        temperature = self.policy.temperatures(rows, entropy).clamp(min=1e-6)
        drawn, done = self.drawn[rows], self.done[rows]
        token, logprob = kernels.draw(logits, temperature, self.policy.top_p[rows],
                                      uniform_draws(self.stream[rows], drawn))
        self.policy.observe(rows, token)
        place = drawn.clamp(max=self.max_reply - 1)
        for out, value in ((self.out_tokens, token), (self.out_logprobs, logprob), (self.out_entropies, entropy)):
            out[rows, place] = torch.where(done, out[rows, place], value.to(out.dtype))
        self.token[rows] = torch.where(done, self.token[rows], token)
        self.drawn[rows] = torch.where(done, drawn, drawn + 1)
        self.position[rows] = torch.where(done, self.position[rows], self.position[rows] + 1)
        self.done[rows] = done | (token == self.end_id) | (drawn + 1 >= self.limit[rows])

    def _run_steps(self, active: list[int]) -> None:
        size = max(16, self.slots)
        while size // 2 >= max(16, len(active)):
            size //= 2
        rows = torch.tensor(active + [self.slots] * (size - len(active)), device=self.engine.device)
        if not rows.is_cuda:
            for _ in range(STEPS_BETWEEN_LOOKS):
                self._step(rows)
            return
        if size not in self.graphs:
            self._capture(size)
        static, graph = self.graphs[size]
        static.copy_(rows)
        for _ in range(STEPS_BETWEEN_LOOKS):
            graph.replay()

    def _capture(self, size: int) -> None:
        static = torch.full((size,), self.slots, device=self.engine.device)  # idle rows: nothing is disturbed
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._step(static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # One graph runs at a time: they share their memory.  Threads of NCCL may use the GPU meanwhile.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            self._step(static)
        self.graphs[size] = (static, graph)

    def _start(self, jobs: list[Job], slots: list[int]) -> None:
        """Prefills all but the last prompt token of each job, sorted by length so that padding stays small."""
        order = sorted(range(len(jobs)), key=lambda i: len(jobs[i].prompt))
        while order:
            longest = len(jobs[order[-1]].prompt) - 1
            part = order[-max(1, PREFILL_TOKENS // max(1, longest)):]
            del order[-len(part):]
            if longest:
                prompts = torch.zeros(len(part), longest, dtype=torch.int64)
                for row, i in enumerate(part):
                    prompts[row, : len(jobs[i].prompt) - 1] = torch.tensor(jobs[i].prompt[:-1])
                self.engine.prefill(prompts.to(self.engine.device),
                                    torch.tensor([slots[i] for i in part], device=self.engine.device))
        where = torch.tensor(slots, device=self.engine.device)
        column = lambda values: torch.tensor(values, dtype=torch.int64, device=self.engine.device)  # noqa: E731
        self.token[where] = column([job.prompt[-1] for job in jobs])
        self.position[where] = column([len(job.prompt) - 1 for job in jobs])
        self.stream[where] = column([job.stream for job in jobs])
        self.limit[where] = column([min(self.max_reply, self.max_tokens - len(job.prompt)) for job in jobs])
        self.drawn[where] = 0
        self.done[where] = False
        self.policy.start(where, [job.policy for job in jobs])

    def _collect(self, slots: list[int]) -> list[Reply]:
        where = torch.tensor(slots, device=self.engine.device)
        counts, finished = self.drawn[where].tolist(), (self.token[where] == self.end_id).tolist()
        longest = max(counts)
        tokens = self.out_tokens[where, :longest].cpu()
        logprobs, entropies = self.out_logprobs[where, :longest].cpu(), self.out_entropies[where, :longest].cpu()
        return [Reply(tokens[i, :n].tolist(), finished[i], logprobs[i, :n].clone(), entropies[i, :n].clone())
                for i, n in enumerate(counts)]

    @torch.no_grad()
    def run(self, jobs: list[Job]) -> list[Reply]:
        """The replies, in the order of the jobs.  Raises ValueError where a prompt leaves no room for a reply."""
        longest = max((len(job.prompt) for job in jobs), default=0)
        if longest >= self.max_tokens:
            raise ValueError(f"a prompt of {longest} tokens, expected fewer than {self.max_tokens}")
        replies: list[Reply | None] = [None] * len(jobs)
        waiting = list(range(len(jobs)))[::-1]
        running: dict[int, int] = {}  # slot -> job
        free = list(range(self.slots))
        while waiting or running:
            if waiting and free:
                count = min(len(waiting), len(free))
                new = {free.pop(): waiting.pop() for _ in range(count)}
                self._start([jobs[job] for job in new.values()], list(new))
                running.update(new)
            active = list(running)
            self._run_steps(active)
            done = self.done[torch.tensor(active, device=self.engine.device)].tolist()
            ended = [slot for slot, flag in zip(active, done, strict=True) if flag]
            # Small prefills cost as much as large ones: wait for a share of the slots while others run.
            if not ended or (waiting and len(ended) < self.slots // 16 and len(ended) < len(active)):
                continue
            for slot, reply in zip(ended, self._collect(ended), strict=True):
                replies[running.pop(slot)] = reply
                free.append(slot)
        return replies
