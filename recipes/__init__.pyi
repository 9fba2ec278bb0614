# ruff: noqa: TID251 (lazy_loader reads relative imports alone)
from .commands.measure import compare as compare
from .commands.measure import evaluate as evaluate
from .commands.measure import evaluate_modes as evaluate_modes
from .commands.stages.train import train as train
from .models.upcycle import upcycle as upcycle
from .publish.push import push as push
from .recipe.loading import load_recipe as load_recipe
from .recipe.results import Run as Run
