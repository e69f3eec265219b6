"""Where a training run is written down: TensorBoard, and a progress bar for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from trainer.args import Args

_BESIDE_THE_BAR = {
    "charts/log_gain": "gain",
    "losses/entropy": "entropy",
    "validation/ratio_to_greedy": "mlu/greedy",
    "validation/ratio_to_bound": "mlu/bound",
    "charts/SPS": "SPS",
}


class RunLog:
    """Context manager around a training run; without a folder only the progress bar is shown.

    TensorBoard tags are CleanRL's: ``charts/reward``, ``charts/SPS``, ``losses/approx_kl``, ``losses/clipfrac``,
    ``losses/entropy``, ``losses/explained_variance``; ours: ``validation/ratio_to_greedy`` (one episode),
    ``validation/best_ratio_to_greedy`` (best of several), the same to the flow bound, and ``speed/STAGE``, environment
    steps per second if there were nothing but that stage (features, network, sampling, environment: summed over the
    workers; learning). The x axis is environment steps.
    """

    def __init__(self, folder: Path | None, args: Args, resumed_at: int | None = None) -> None:
        # What a killed run wrote after its last state is hidden: the same steps are written again.
        purge = None if resumed_at is None else resumed_at + 1
        self._writer = SummaryWriter(str(folder), purge_step=purge) if folder else None
        if self._writer:
            rows = "\n".join(f"|{name}|{value}|" for name, value in asdict(args).items())
            self._writer.add_text("arguments", f"|argument|value|\n|-|-|\n{rows}")
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[figures]}"),
        )  # fmt: skip
        self._task = self._progress.add_task("iterations", total=args.iterations, figures="")
        self._figures: dict[str, str] = {}

    def __enter__(self) -> RunLog:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush and close."""
        self._progress.stop()
        if self._writer:
            self._writer.close()

    def record(self, metrics: Mapping[str, float], step: int) -> None:
        """Write metrics at environment step `step`; the most telling ones also go beside the bar."""
        if self._writer:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()  # before the state, so that a run killed after it has no gap in its curves
        self._figures |= {label: f"{metrics[name]:.4g}" for name, label in _BESIDE_THE_BAR.items() if name in metrics}
        figures = "  ".join(f"{label} {value}" for label, value in self._figures.items())
        self._progress.update(self._task, figures=figures)

    def advance(self, completed: int) -> None:
        """Set the number of finished iterations."""
        self._progress.update(self._task, completed=completed)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, highlight=False)
