# ruff: noqa: TID251 (lazy_loader reads relative imports alone)
from .statistics.intervals import interval as interval
from .statistics.paired import paired_difference as paired_difference
from .statistics.passk import pass_at_k as pass_at_k
from .summarise import summary as summary
