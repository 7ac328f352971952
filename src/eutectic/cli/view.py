"""What a person sees of long work: one live view on a terminal, plain lines elsewhere; both with rate and time left."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from eutectic.artifacts import Record
    from eutectic.context import Progress
    from eutectic.study.nodes import Step

LINE_SECONDS = 30.0


class View(Protocol):
    """Follows steps (`launch.Watcher`) and single tasks, as a context manager."""

    def task(self) -> Progress: ...  # noqa: D102
    def begin(self, step: Step, position: int, total: int) -> Progress: ...  # noqa: D102
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


def say(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Plain:
    """Lines on standard error: a step's begin and end, and every half minute how far its task is."""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def task(self) -> Progress:
        """Where a single task reports."""
        return Lines("")

    def begin(self, step: Step, position: int, total: int) -> Progress:
        """See `launch.Watcher`."""
        say(f"[{position}/{total}] {step.kind} {step.address}")
        return Lines(f"{step.address}: ")

    def end(self, step: Step, record: Record) -> None:
        """See `launch.Watcher`."""
        say(f"  done: {finished(step, record)}")

    def notice(self, text: str) -> None:
        """See `launch.Watcher`."""
        say(text)


class Lines:
    """Progress as a line every half minute."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.start("", 0.0, "")

    def start(self, task: str, total: float, unit: str) -> None:
        """See `context.Progress`."""
        self._task, self._total, self._unit, self._done = task, total, unit, 0.0
        self._begun = self._said = time.monotonic()
        self._found = 0.0

    def advance(self, amount: float, note: str = "") -> None:
        """See `context.Progress`."""
        if self._done == 0 and time.monotonic() - self._begun < 1.0 < amount:
            self._found = amount  # what a resumed task had done before
        self._done += amount
        now = time.monotonic()
        if now - self._said >= LINE_SECONDS and self._done > self._found:
            self._said = now
            rate = (self._done - self._found) / (now - self._begun)
            left = duration(max(self._total - self._done, 0) / rate)
            parts = [f"{self._done:,.0f} of {self._total:,.0f} {self._unit}", f"{rate:,.1f} {self._unit}/s", f"{left} left"]
            say(f"  {self._name}{self._task}: {', '.join([*parts, note] if note else parts)}")


class Live:
    """Live lines on a terminal, one for each step under way: bar, rate, time left, a figure; published steps scroll by above them."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._shown: dict[str, Bar] = {}

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

    def task(self) -> Progress:
        """Where a single task reports."""
        assert self._bars is not None
        return Bar(self._bars, "")

    def begin(self, step: Step, position: int, total: int) -> Progress:
        """See `launch.Watcher`."""
        assert self._bars is not None
        bar = self._shown[step.key] = Bar(self._bars, f"[{position}/{total}] {step.kind} {step.address}")
        return bar

    def end(self, step: Step, record: Record) -> None:
        """See `launch.Watcher`."""
        if step.key in self._shown:
            self._shown.pop(step.key).remove()
        self.notice(f"[green]✓[/] {finished(step, record)}")

    def notice(self, text: str) -> None:
        """See `launch.Watcher`."""
        assert self._bars is not None
        self._bars.console.print(text)


class Bar:
    """Progress as one live line."""

    def __init__(self, bars: Bars, name: str) -> None:
        self._bars, self._name, self._unit = bars, name, ""
        self._task = bars.add_task(self._plain(name), total=1, rate="", note="", visible=bool(name))

    def start(self, task: str, total: float, unit: str) -> None:
        """See `context.Progress`."""
        self.remove()
        self._unit = unit
        name = f"{self._name} · {task}" if self._name else task
        self._task = self._bars.add_task(self._plain(name), total=total, rate="", note="")

    def advance(self, amount: float, note: str = "") -> None:
        """See `context.Progress`."""
        speed = next((task.speed for task in self._bars.tasks if task.id == self._task), None)
        self._bars.update(self._task, advance=amount, note=note, rate=f"{speed:,.1f} {self._unit}/s" if speed else "")

    def remove(self) -> None:
        """Take the line away."""
        if self._task in self._bars.task_ids:
            self._bars.remove_task(self._task)

    @staticmethod
    def _plain(name: str) -> str:
        """Brackets as text: rich would read them as markup."""
        return name.replace("[", "\\[")
