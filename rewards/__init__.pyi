# ruff: noqa: TID251 (lazy_loader reads relative imports alone)
from .answers.extract import extract as extract
from .compose.reward import load_reward as load_reward
from .contract.functions import per_group as per_group
from .contract.functions import per_sample as per_sample
from .types import Completion as Completion
from .types import ConfigError as ConfigError
from .types import Problem as Problem
from .types import RunError as RunError
from .types import Score as Score
from .types import Verdict as Verdict
