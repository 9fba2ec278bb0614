"""No package that doubleback uses reports how it is used: their variables, set before the first of them is imported.

The `__init__` of rewards imports this module first, and those of the other layers something of rewards, so that
whatever is loaded of doubleback, in whichever process, comes after it. A value that the environment has already stays:
who wants to report, may.
"""

import os

OFF = {
    "DO_NOT_TRACK": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "WANDB_ERROR_REPORTING": "false",
}
"""Variable -> the value that turns it off: of gradio (behind trackio), the hub's client, Ray, vLLM, W&B."""

for _name, _value in OFF.items():
    os.environ.setdefault(_name, _value)
