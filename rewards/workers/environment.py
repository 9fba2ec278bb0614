"""What of the host's environment a worker sees: a short list, and what the recipe names."""

import os
import re
from collections.abc import Collection, Mapping, Sequence

PASSED_ON = frozenset(
    [
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
        *("PYTHONNOUSERSITE", "PYTHONWARNDEFAULTENCODING", "PYTHONFAULTHANDLER", "VIRTUAL_ENV", "CONDA_PREFIX"),
        *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
        *("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TORCH_HOME", "NLTK_DATA"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    ]
)
"""Where programs, libraries, caches and certificates lie, how text is written, how many threads. PYTHONPATH goes on
without the folder in which the host runs."""
_LOCALE = re.compile(r"LC_[A-Z]+")


def visible_environment(environment: Mapping[str, str], named: Collection[str] = ()) -> dict[str, str]:
    """The variables that a worker gets: those of the list that are set, and those that the recipe names.

    A reward is a stranger's code that reads what a model wrote; what it prints or sends must not hold a key.
    """
    passed = {
        name: value
        for name, value in environment.items()
        if name in PASSED_ON or name in named or _LOCALE.fullmatch(name)
    }
    if path := without_here(environment.get("PYTHONPATH", "").split(os.pathsep)):
        passed["PYTHONPATH"] = os.pathsep.join(path)
    return passed


def without_here(path: Sequence[str]) -> list[str]:
    """Where modules are looked for, without the folder that this process runs in, however it is written.

    Whatever lies there would be found by the name under which a library tries to import something that it can do
    without: sympy asks for gmpy2 and flint, Python itself for sitecustomize.
    """
    here = os.path.realpath(os.getcwd())
    return [entry for entry in dict.fromkeys(path) if entry and os.path.realpath(entry) != here]
