"""Models behind an OpenAI-compatible server (vLLM, Ollama, `transformers serve`, a vendor): many requests at once, none asked twice.

What goes wrong on the way (timeouts, cut connections, 429 and 5xx, replies that are no JSON or hold no choice) is tried again after a
growing, randomly shortened wait, or after what `Retry-After` says. Every reply is kept on disk by the digest of its request, so that a
restart asks only what was not answered. Keys come from the environment alone and are never written or shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from eutectic.context import Context
from eutectic.errors import InputError, WorkError

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
REFUSED = {400, 401, 403, 404, 405, 413, 422}  # asking again would not help
RETRIED = {408, 409, 425, 429}


@dataclass(frozen=True)
class Request:
    """One question to a chat model. `schema` is a JSON schema that the reply must follow, where the server can hold a model to one."""

    messages: tuple[dict[str, str], ...]
    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class Reply:
    """What came back: text, why it ended, and the tokens it cost. `kept`: it was on disk already."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    kept: bool = False


@dataclass(frozen=True)
class Failure:
    """A request that got no reply after all attempts, and what happened last."""

    reason: str
    attempts: int


@dataclass(frozen=True)
class Budget:
    """What may be spent; prices in money a million tokens. Nothing is asked once it is used up."""

    tokens: float = float("inf")
    money: float = float("inf")
    prompt_price: float = 0.0
    completion_price: float = 0.0


@dataclass
class Totals:
    """What was asked and spent."""

    asked: int = 0
    kept: int = 0
    failed: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def money(self, budget: Budget) -> float:
        """What the tokens cost."""
        return (self.prompt_tokens * budget.prompt_price + self.completion_tokens * budget.completion_price) / 1e6


class _TryAgainError(Exception):
    """Something that may go better next time; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class Endpoint:
    """A model at a base URL such as `http://127.0.0.1:8000/v1`. `key_variable` names the environment variable that holds the key."""

    url: str
    model: str
    replies: Path
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 8
    attempts: int = 6
    timeout: float = 120.0
    budget: Budget = field(default_factory=Budget)
    totals: Totals = field(default_factory=Totals)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)

    def ask(self, requests: Sequence[Request], context: Context, task: str = "asking") -> Iterator[tuple[int, Reply | Failure]]:
        """The reply to each request with its index, in the order in which they come.

        Raises `InputError` where nobody answers at the address or the request is refused, and `WorkError` when the budget is used up; what
        was answered until then is kept.
        """
        context.progress.start(f"{task} {self.model}", len(requests), "replies")
        with self._client() as client, ThreadPoolExecutor(max(1, self.concurrency)) as pool:
            futures = {pool.submit(self._one, client, request): index for index, request in enumerate(requests)}
            try:
                for future in as_completed(futures):
                    found = future.result()
                    context.progress.advance(1, self._note())
                    yield futures[future], found
            finally:
                self._stopped.set()  # whoever waits for another attempt gives up
                pool.shutdown(cancel_futures=True)
                self._stopped.clear()

    def _client(self) -> httpx.Client:
        key = os.environ.get(self.key_variable, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=f"{self.url.rstrip('/')}/", headers=headers, timeout=httpx.Timeout(self.timeout, connect=10.0))

    def _note(self) -> str:
        return f"{self.totals.prompt_tokens + self.totals.completion_tokens} tokens, {self.totals.retries} retries"

    def _one(self, client: httpx.Client, request: Request) -> Reply | Failure:
        place = self.replies / f"{self.digest(request)}.json"
        if place.exists():
            with self._lock:
                self.totals.kept += 1
            return Reply(**{**json.loads(place.read_text(encoding="utf-8")), "kept": True})
        reason = "the work was stopped"
        for attempt in range(1, self.attempts + 1):
            self._afford()
            try:
                reply = self._post(client, request)
            except _TryAgainError as error:
                reason = str(error)
                with self._lock:
                    self.totals.retries += 1
                if attempt == self.attempts or self._stopped.wait(self._wait(attempt, error.wait)):
                    break
                continue
            self._keep(place, reply)
            return reply
        with self._lock:
            self.totals.failed += 1
        return Failure(reason, self.attempts)

    def digest(self, request: Request) -> str:
        """The digest of a request: model, messages and sampling, not the address."""
        value = {"model": self.model, **asdict(request)}
        return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def _afford(self) -> None:
        with self._lock:
            tokens, money = self.totals.prompt_tokens + self.totals.completion_tokens, self.totals.money(self.budget)
        if tokens >= self.budget.tokens or money >= self.budget.money:
            spent = f"{tokens} tokens" + (f", {money:.2f} in money" if money else "")
            raise WorkError(f"the budget of {self.model} is used up: {spent}", remedy="Raise it and run again: what was answered is kept.")

    def _post(self, client: httpx.Client, request: Request) -> Reply:
        try:
            response = client.post("chat/completions", json=self._body(request))
        except httpx.ConnectError as error:
            if self.totals.asked == 0:
                raise InputError(f"no server answers at {self.url}", remedy="Start it, or mend the address.") from error
            raise _TryAgainError(f"no connection ({error})") from error
        except httpx.TransportError as error:
            raise _TryAgainError(f"{type(error).__name__}: {error}") from error
        if response.status_code in REFUSED:
            raise InputError(
                f"the server at {self.url} refuses the request ({response.status_code}): {_said(response)}",
                remedy=f"Check model name, key (environment variable {self.key_variable}) and lengths.",
            )
        if response.status_code in RETRIED or response.status_code >= 500:
            raise _TryAgainError(f"status {response.status_code}", _retry_after(response))
        return self._read(response)

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(request.messages),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        if request.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": request.schema, "strict": True}}
        return body

    def _read(self, response: httpx.Response) -> Reply:
        try:
            value = response.json()
            choice = value["choices"][0]
            text = choice["message"]["content"]
            usage = value.get("usage") or {}
            reply = Reply(
                str(text),
                str(choice.get("finish_reason") or ""),
                int(usage.get("prompt_tokens") or 0),
                int(usage.get("completion_tokens") or 0),
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _TryAgainError(f"a reply that is none ({type(error).__name__})") from error
        if text is None or not reply.text.strip():
            raise _TryAgainError("an empty reply")
        return reply

    def _keep(self, place: Path, reply: Reply) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f".{place.name}.{threading.get_ident()}")
        new.write_text(json.dumps({key: value for key, value in asdict(reply).items() if key != "kept"}), encoding="utf-8")
        new.replace(place)
        with self._lock:
            self.totals.asked += 1
            self.totals.prompt_tokens += reply.prompt_tokens
            self.totals.completion_tokens += reply.completion_tokens

    @staticmethod
    def _wait(attempt: int, asked: float | None) -> float:
        """Seconds before the next attempt: exponential with full jitter, at least what the server asks for."""
        longest: float = FIRST_WAIT * 2.0 ** (attempt - 1)
        return max(asked or 0.0, random.uniform(0.5, 1.0) * min(LONGEST_WAIT, longest))  # noqa: S311 - no secret


def _said(response: httpx.Response) -> str:
    """What a server says of a refused request, cut short."""
    try:
        error = response.json().get("error")
        return str(error.get("message") if isinstance(error, dict) else error)[:300]
    except (ValueError, AttributeError):
        return response.text[:300]


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, from a number or a date."""
    value = response.headers.get("Retry-After", "")
    if value.replace(".", "", 1).isdigit():
        return min(float(value), LONGEST_WAIT)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()), LONGEST_WAIT) if value else None
    except ValueError:
        return None
