"""Accuracy of arms (numerics and policy) on problems, paired: same problems, same randomness."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import torch
from tokenizers import Tokenizer

from training import tokenizer as tokenizers
from training.inference import Engine
from training.model import Model
from training.policies import Policy
from training.sampler import Job, Reply, Sampler
from training.settings import Settings
from training.tasks import Problem, grade

LONGEST_PROMPT = 1152  # tokens


@dataclasses.dataclass(frozen=True)
class Arm:
    numerics: str
    policy: Policy

    @property
    def name(self) -> str:
        return f"{self.numerics} {self.policy.name}"


@dataclasses.dataclass
class ArmResult:
    """Of one arm over the problems: right or not [problems]; the replies themselves where kept."""

    correct: np.ndarray  # bool
    answered: np.ndarray  # bool: a boxed answer was found
    tokens: np.ndarray  # int: length of the reply
    replies: list[Reply]


def make_sampler(model: Model, tokenizer: Tokenizer, numerics: str, settings: Settings, slots: int, max_reply: int,
                 input_scales=None) -> Sampler:
    blank_line, newline = tokenizers.boundary_tokens(tokenizer)
    tokens = min(settings.model.max_positions, LONGEST_PROMPT + max_reply)
    engine = Engine(model, numerics, slots, tokens, input_scales)
    return Sampler(engine, slots, tokens, max_reply, tokenizer.token_to_id("<|im_end|>"), blank_line, newline)


def stream_of(problem: Problem, sample: int = 0) -> int:
    """A number for a problem's randomness that depends on its id alone."""
    digest = hashlib.sha256(f"{problem.id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:7], "little")


def prompts_of(tokenizer: Tokenizer, problems: list[Problem]) -> list[list[int]]:
    texts = [tokenizers.prompt_of(problem.text) for problem in problems]
    return [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]


def run_policies(sampler: Sampler, tokenizer: Tokenizer, problems: list[Problem], policies: list[Policy],
                 ) -> list[ArmResult]:
    """Every policy on every problem, in one queue."""
    prompts = prompts_of(tokenizer, problems)
    jobs = [Job(prompt, policy, stream_of(problem))
            for policy in policies for prompt, problem in zip(prompts, problems, strict=True)]
    replies = sampler.run(jobs)
    texts = tokenizer.decode_batch([reply.tokens for reply in replies], skip_special_tokens=True)
    verdicts = grade(problems * len(policies), texts)
    results = []
    for i in range(len(policies)):
        part = slice(i * len(problems), (i + 1) * len(problems))
        results.append(ArmResult(np.array([v is True for v in verdicts[part]]),
                                 np.array([v is not None for v in verdicts[part]]),
                                 np.array([len(reply.tokens) for reply in replies[part]]), replies[part]))
    return results


def free(sampler: Sampler) -> None:
    """Gives a sampler's memory back: graphs, caches and weights."""
    sampler.graphs.clear()
    sampler.engine.__dict__.clear()
    sampler.__dict__.clear()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
