"""Batched generation with a key-value cache: greedy or sampled, beginning shared by all prompts computed once, finished rows dropped.

A group of prompts is laid out as [shared beginning][padding][rest of the prompt][answer]; padding is masked and takes no position.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from eutectic.errors import InputError, WorkError
from eutectic.models.cache import roomy_cache, spread
from eutectic.models.chat_template import end_of_text
from eutectic.models.grammar import Matcher

StopReason = Literal["end", "length"]
OnToken = Callable[[int, str], None]

# Rows that go through the model together: decoding reads all weights once a step however many rows there are, and 64 rows keep the
# activations of the prompts within the processor's cache. Prompts shorter than half the longest are left to the next group: reading their
# padding took longer than decoding twice (docs/log.md).
GROUP, LIKE = 64, 0.5
SHORTEST_SHARED = 8
LIKELY = 256


@dataclass(frozen=True)
class Generated:
    """An answer: its text without special tokens, its number of tokens (the end token included), and why it ended."""

    text: str
    tokens: int
    stop_reason: StopReason


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. Temperature 0 takes the likeliest; top-p is nucleus sampling (Holtzman et al. 2019, arXiv 1904.09751);
    the repetition penalty divides positive and multiplies negative logits of tokens already seen (Keskar et al. 2019, arXiv 1909.05858).
    """

    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0


@dataclass
class Stream:
    """One answer under way."""

    prompt: Sequence[int]
    generator: torch.Generator
    matcher: Matcher | None = None
    answer: list[int] = field(default_factory=list)
    shown: str = ""
    stop_reason: StopReason = "length"


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    matchers: Sequence[Matcher] = (),
    on_token: OnToken | None = None,
) -> list[Generated]:
    """One answer for each prompt, in their order; `on_token(index, text)` is told every new piece of text.

    With `matchers`, one for each prompt, an answer is what its matcher allows.

    Each prompt samples from its own stream (seed, index), so that an answer does not depend on what else is in the batch beyond
    rounding. Raises `InputError` for an empty prompt or one that leaves no room in the model's context.
    """
    sampling = Sampling(temperature, top_p, repetition_penalty, seed)
    check_lengths(model, prompts, max_new_tokens)
    ends = end_tokens(model, tokenizer)
    streams = [
        Stream(prompt, torch.Generator().manual_seed((seed * 1_000_003 + i) % 2**63), matchers[i] if matchers else None)
        for i, prompt in enumerate(prompts)
    ]
    for group in groups([len(prompt) for prompt in prompts]):
        _generate_group(model, tokenizer, {i: streams[i] for i in group}, max_new_tokens, sampling, ends, on_token)
    return [Generated(_text(tokenizer, s.answer, ends), len(s.answer), s.stop_reason) for s in streams]


def groups(lengths: Sequence[int]) -> list[list[int]]:
    """Which prompts go through the model together, by index, longest first.

    >>> groups([9, 40, 100, 8, 60])
    [[2, 4], [1], [0, 3]]
    """
    found = list[list[int]]()
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not found or len(found[-1]) == GROUP or lengths[index] < LIKE * lengths[found[-1][0]]:
            found.append([])
        found[-1].append(index)
    return found


def check_lengths(model: PreTrainedModel, prompts: Sequence[list[int]], new: int) -> None:
    """Raises `InputError` when a prompt is empty or too long for the model."""
    limit = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    for number, prompt in enumerate(prompts, 1):
        if not prompt:
            raise InputError(f"prompt {number} is empty", remedy="Write something for the model to answer.")
        if len(prompt) + new > limit:
            raise InputError(
                f"prompt {number} has {len(prompt)} tokens; with {new} new ones that is more than the model's context of {limit}",
                remedy="Shorten the prompt or ask for fewer new tokens.",
            )


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's, the generation configuration's (Llama 3's end of turn stands only there), and the token
    that closes a document: a model fresh from continued pretraining writes that one, and what follows it answers nothing.
    """
    configured: Any = getattr(model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in (*listed, tokenizer.eos_token_id, end_of_text(tokenizer)) if token is not None)


def _generate_group(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    streams: dict[int, Stream],
    new: int,
    sampling: Sampling,
    ends: frozenset[int],
    on_token: OnToken | None,
) -> None:
    """Answer up to `GROUP` prompts together; the streams are filled in place."""
    alive = list(streams)
    cache, mask, positions, logits = _read_prompts(model, [streams[i].prompt for i in alive], new)
    for step in range(new):
        tokens = [_draw(row, streams[i], sampling) for row, i in zip(logits, alive, strict=True)]
        for token, i in zip(tokens, alive, strict=True):
            _take(tokenizer, streams[i], i, token, ends, on_token)
        kept = [row for row, i in enumerate(alive) if streams[i].stop_reason != "end"]
        if not kept or step + 1 == new:
            return
        if len(kept) < len(alive):
            rows = torch.tensor(kept, device=model.device)
            cache.batch_select_indices(rows)
            mask, positions, alive = mask[rows], positions[rows], [alive[row] for row in kept]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        positions = positions + 1
        last = torch.tensor([[streams[i].answer[-1]] for i in alive], device=model.device)
        logits = _forward(model, last, mask, positions, cache)


def _read_prompts(
    model: PreTrainedModel, prompts: list[Sequence[int]], new: int
) -> tuple[DynamicCache, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cache, mask `[rows, tokens so far]`, last positions `[rows, 1]` and next-token logits `[rows, vocabulary]` of some prompts."""
    shared = shared_beginning(prompts) if len(prompts) > 1 and not _windowed(model) else 0
    rests = [list(prompt[shared:]) for prompt in prompts]
    longest = max(map(len, rests))
    cache = roomy_cache(model.config, shared + longest + new)
    device = model.device
    if shared:
        beginning = torch.tensor([list(prompts[0][:shared])], device=device)
        where = torch.arange(shared, device=device)[None]
        _forward(model, beginning, torch.ones_like(beginning), where, cache)
        spread(cache, len(prompts))
    pads = torch.tensor([longest - len(rest) for rest in rests], device=device)
    tokens = torch.tensor([[0] * (longest - len(rest)) + rest for rest in rests], device=device)
    columns = torch.arange(longest, device=device)[None]
    real = columns >= pads[:, None]
    mask = torch.cat([torch.ones(len(prompts), shared, dtype=torch.long, device=device), real.long()], dim=1)
    positions = (columns - pads[:, None]).clamp(min=0) + shared
    logits = _forward(model, tokens, mask, positions, cache)
    return cache, mask, positions[:, -1:], logits


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens with which all prompts begin, at most all but the last of the shortest; 0 where too few to be worth it."""
    shortest = min(map(len, prompts)) - 1
    same = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*(prompt[:shortest] for prompt in prompts), strict=True))
    count = sum(1 for _ in same)
    return count if count >= SHORTEST_SHARED else 0


def _windowed(model: PreTrainedModel) -> bool:
    """Whether attention looks back only so far; padding in the middle would then push text out of sight."""
    return bool(getattr(model.config, "sliding_window", None))


def _forward(
    model: PreTrainedModel, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    """Logits `[rows, vocabulary]`, float32, after the last token of each row; the cache grows."""
    out = model(input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
    logits: torch.Tensor = out.logits[:, -1].float()
    if torch.isnan(logits).any():
        raise WorkError("the model's logits are not numbers", remedy="Its weights are broken; look at the training's loss curve.")
    return logits


def _draw(logits: torch.Tensor, stream: Stream, sampling: Sampling) -> int:
    """The next token of one row from its logits `[vocabulary]`."""
    if stream.matcher is not None:
        stream.matcher.forbid(logits)
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*stream.prompt, *stream.answer}), device=logits.device)
        values = logits[seen]
        logits[seen] = torch.where(values > 0, values / sampling.repetition_penalty, values * sampling.repetition_penalty)
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    probabilities, tokens = nucleus(torch.softmax(logits.cpu() / sampling.temperature, -1), sampling.top_p)
    return int(tokens[torch.multinomial(probabilities, 1, generator=stream.generator)])


def nucleus(probabilities: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest tokens that together hold `top_p` of the probability: their probabilities (not renormalised) and ids, likeliest first.

    The `LIKELY` likeliest are looked at first: they nearly always suffice, and sorting a whole vocabulary takes longer than the head.
    """
    for count in (min(LIKELY, len(probabilities)), len(probabilities)):
        values, tokens = probabilities.topk(count)
        kept = int((values.cumsum(-1) - values < top_p).sum())
        if kept < count or count == len(probabilities):
            break
    return values[:kept], tokens[:kept]


def _take(
    tokenizer: PreTrainedTokenizerBase, stream: Stream, index: int, token: int, ends: frozenset[int], on_token: OnToken | None
) -> None:
    """Add a token to an answer, end it at an end token, and show what text is new and complete."""
    stream.answer.append(token)
    complete = stream.matcher is not None and stream.matcher.take(token)
    if token in ends or complete:
        stream.stop_reason = "end"
    if on_token is None:
        return
    text = _text(tokenizer, stream.answer, ends)
    if stream.stop_reason != "end" and text.endswith("\N{REPLACEMENT CHARACTER}"):
        return  # half of a character: wait for the rest
    on_token(index, text[len(stream.shown) :])
    stream.shown = text


def _text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], ends: frozenset[int]) -> str:
    """Text of an answer without its end token and without special tokens."""
    kept = tokens[:-1] if tokens and tokens[-1] in ends else tokens
    return str(tokenizer.decode(list(kept), skip_special_tokens=True, clean_up_tokenization_spaces=False))
