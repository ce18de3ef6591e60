"""How a run goes, and who is told of it."""

from dataclasses import dataclass, field

from cot.errors import UsageError
from cot.evaluate.asking import Asking
from cot.evaluate.result import SampleResult
from cot.planner.names import check_strategy, strategy_names


@dataclass(frozen=True)
class Options:
    """How a run goes. concurrency: samples in flight, >= 1. trace: whether each sample leaves a trace in the folder.

    retry_errors: samples that failed are done again. Raises UsageError.
    """

    strategies: tuple[str, ...]
    asking: Asking = field(default_factory=Asking)
    concurrency: int = 32
    retry_errors: bool = False
    trace: bool = False

    def __post_init__(self) -> None:
        for name in self.strategies:
            check_strategy(name)
        if not self.strategies or len(set(self.strategies)) != len(self.strategies):
            known = ", ".join(strategy_names())
            raise UsageError(
                f"got the strategies {list(self.strategies)}; expected at least one, each once, of: {known}"
            )
        if self.concurrency < 1:
            raise UsageError(f"got --concurrency {self.concurrency}; expected at least 1")


class Watch:
    """Is told how a run goes, and does nothing with it."""

    def known(self, result: SampleResult) -> None:
        """A result that was there already."""

    def started(self, total: int, skipped: int) -> None:
        """How many results there will be, and how many of them are there."""

    def finished(self, result: SampleResult) -> None:
        """A result that is on disk now."""
