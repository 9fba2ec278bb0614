# ruff: noqa: TID251 (lazy_loader reads relative imports alone)
from .objective.advantages import batch_scaled as batch_scaled
from .objective.advantages import centre as centre
from .objective.advantages import leave_one_out as leave_one_out
from .objective.advantages import maxrl as maxrl
from .objective.advantages import standardise as standardise
from .objective.kl import kl_k1 as kl_k1
from .objective.kl import kl_k2 as kl_k2
from .objective.kl import kl_k3 as kl_k3
from .objective.losses import cispo_surrogate as cispo_surrogate
from .objective.losses import clipped_surrogate as clipped_surrogate
from .objective.losses import probability_ratio as probability_ratio
from .objective.losses import sapo_surrogate as sapo_surrogate
from .objective.losses import token_weights as token_weights
