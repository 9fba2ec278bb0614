"""Tasks with few problems: every command that loads one grades all of its golds."""

from doubleback.recipes.tasks.countdown.task import Countdown
from doubleback.recipes.tasks.task import Splits


class FewCountdown(Countdown):
    """The first problems of each split of countdown."""

    def splits(self) -> Splits:
        every = super().splits()
        return Splits(every.train[:24], every.validation[:4], every.test[:4])
