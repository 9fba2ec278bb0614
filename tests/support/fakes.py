"""A fake engine and a fake reward: each does what the test says, and keeps what it was asked."""

from doubleback.rewards.types import RunError
from doubleback.rl.types import Group


class FakeEngine:
    """Answers a problem with `complete(problem, seed, num_samples)`: its completions."""

    def __init__(self, complete, prompt_ids=(1,)):
        self.asked = []
        """Of each call the (problem id, seed) of each problem."""
        self._complete, self._prompt_ids = complete, prompt_ids

    def sample(self, problems, sampling, seeds, on_group=None):
        self.asked.append([(problem.id, seed) for problem, seed in zip(problems, seeds, strict=True)])
        groups = [
            Group(problem, self._prompt_ids, tuple(self._complete(problem, seed, sampling.group_size)))
            for problem, seed in zip(problems, seeds, strict=True)
        ]
        for index in reversed(range(len(groups))):  # the order in which groups are finished is the engine's affair
            if on_group is not None:
                on_group(index, groups[index])
        return groups

    def close(self):
        """Nothing is held."""


class FakeReward:
    """Gives a problem's completions `judge(problem, completions)`: their scores. RunError above `most` in a step."""

    def __init__(self, judge, most=float("inf")):
        self.events, self.judged = [], []
        """("start" or "finish", problem id) in order; of each step what was judged."""
        self._judge, self._most = judge, most

    def start(self, problem, completions):
        self.events.append(("start", problem.id))

        def finish():
            self.events.append(("finish", problem.id))
            return list(self._judge(problem, completions))

        return finish

    def refuse_faults(self, judged):
        self.judged.append(list(judged))
        if len(judged) > self._most:
            raise RunError(f"{len(judged)} were judged")
