"""What a person sees of long work: one live view on a terminal, plain lines elsewhere; both with rate and time left."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from eutectic.artifacts import Record
    from eutectic.study.nodes import Step

LINE_SECONDS = 30.0


class View(Protocol):
    """Progress of tasks (`context.Progress`) and of steps (`launch.Watcher`), as a context manager."""

    def start(self, task: str, total: float, unit: str) -> None: ...  # noqa: D102
    def advance(self, amount: float, note: str = "") -> None: ...  # noqa: D102
    def begin(self, step: Step, position: int, total: int) -> None: ...  # noqa: D102
    def end(self, step: Step, record: Record) -> None: ...  # noqa: D102
    def notice(self, text: str) -> None: ...  # noqa: D102
    def __enter__(self) -> View: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def view() -> View:
    """The view that fits where standard error goes."""
    return Live() if sys.stderr.isatty() else Plain()


def duration(seconds: float) -> str:
    """Seconds as people say them: `48 s`, `12 min 05 s`, `3 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def finished(step: Step, record: Record) -> str:
    """One line for a published step."""
    figures = [duration(record.seconds), f"{record.peak_memory / 1e9:.1f} GB"]
    if "tokens" in record.ledger:
        figures.insert(0, f"{record.ledger['tokens']:,} tokens")
    return f"{step.kind} {step.address}: {', '.join(figures)}"


class Plain:
    """Lines on standard error: a step's begin and end, and every half minute how far its task is."""

    def __init__(self) -> None:
        self._task, self._total, self._unit, self._done = "", 0.0, "", 0.0
        self._begun = self._said = time.monotonic()

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def start(self, task: str, total: float, unit: str) -> None:
        """See `context.Progress`."""
        self._task, self._total, self._unit, self._done = task, total, unit, 0.0
        self._begun = self._said = time.monotonic()

    def advance(self, amount: float, note: str = "") -> None:
        """See `context.Progress`."""
        self._done += amount
        now = time.monotonic()
        if now - self._said >= LINE_SECONDS and self._done > 0:
            self._said = now
            rate = self._done / (now - self._begun)
            left = duration(max(self._total - self._done, 0) / rate)
            parts = [f"  {self._task}: {self._done:,.0f} of {self._total:,.0f} {self._unit}", f"{rate:,.1f} {self._unit}/s", f"{left} left"]
            self.notice(", ".join([*parts, note] if note else parts))

    def begin(self, step: Step, position: int, total: int) -> None:
        """See `launch.Watcher`."""
        self.notice(f"[{position}/{total}] {step.kind} {step.address}")

    def end(self, step: Step, record: Record) -> None:
        """See `launch.Watcher`."""
        self.notice(f"  done: {finished(step, record)}")

    def notice(self, text: str) -> None:
        """See `launch.Watcher`."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class Live:
    """One live line on a terminal: step, bar, rate, time left, a figure; published steps scroll by above it."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._step = ""

    def __enter__(self) -> Live:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"))
        figures = (TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[note]}", style="dim"))
        self._bars = Progress(*columns, *figures, console=Console(stderr=True, highlight=False), transient=True)
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def start(self, task: str, total: float, unit: str) -> None:
        """See `context.Progress`."""
        assert self._bars is not None
        for old in self._bars.task_ids:
            self._bars.remove_task(old)
        self._unit = unit
        self._task = self._bars.add_task(f"{self._step}{task}", total=total, rate="", note="")

    def advance(self, amount: float, note: str = "") -> None:
        """See `context.Progress`."""
        assert self._bars is not None
        speed = self._bars.tasks[0].speed
        self._bars.update(self._task, advance=amount, note=note, rate=f"{speed:,.1f} {self._unit}/s" if speed else "")

    def begin(self, step: Step, position: int, total: int) -> None:
        """See `launch.Watcher`."""
        self._step = f"[{position}/{total}] {step.kind} {step.address} · "
        self.start("", 1, "")

    def end(self, step: Step, record: Record) -> None:
        """See `launch.Watcher`."""
        self.notice(f"[green]✓[/] {finished(step, record)}")

    def notice(self, text: str) -> None:
        """See `launch.Watcher`."""
        assert self._bars is not None
        self._bars.console.print(text)
