"""The way to the hub: huggingface_hub's own client, its token, one commit; every refusal in one line.

Importing this loads no huggingface_hub.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from doubleback.rewards.types import ConfigError, RunError, first_line

FIRST_SECONDS = 10.0
"""How long the hub has to answer at all."""
SILENT_SECONDS = 120.0
"""How long it may be silent later: a commit of large files takes a while."""
NO_RIGHT = (401, 403)
Result = TypeVar("Result")


def require_name(name: str, key: str = "") -> None:
    """ConfigError unless `name` is one that the hub takes, with its owner."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        is_named = name.count("/") == 1
    except HFValidationError:
        is_named = False
    if not is_named:
        raise ConfigError(f"{key}{name}: give OWNER/NAME, of letters, digits, - _ and . alone, as ann/countdown-lora")


def require_token() -> None:
    """ConfigError where huggingface_hub has no token of the user's, wherever it looks for one."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import OIDCError

    try:
        token = get_token()
    except OIDCError as error:
        raise ConfigError(f"HF_OIDC_RESOURCE is set, and brings no token: {first_line(error)}") from error
    if token is None:
        raise ConfigError("there is no token for the hub: run `hf auth login`, or set HF_TOKEN")


def require_same_visibility(name: str, is_public: bool) -> None:
    """ConfigError where the hub has a repository of that name which more people see than is asked for, or fewer.

    RunError where the hub does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> bool | None:
        try:
            return bool(HfApi().model_info(name, timeout=FIRST_SECONDS).private)
        except RepositoryNotFoundError:  # or one that this token may not see: to write will tell
            return None

    is_private = _explained(name, ask)
    if is_private is not None and is_private == is_public:
        now, asked = ("private", "--public was given") if is_private else ("public", "--public was not")
        raise ConfigError(f"{name} is {now} on the hub, and {asked}; change it there, or push to another name")


def upload(folder: Path, name: str, is_public: bool, message: str) -> str:
    """Push the files of `folder` as one commit, all or nothing, and return its address. Makes the repository first.

    ConfigError where the token has no right to; RunError where the hub fails, or falls silent.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    def push() -> str:
        with _impatient():
            HfApi().create_repo(name, private=not is_public, exist_ok=True)
            files = [CommitOperationAdd(it.name, it) for it in sorted(folder.iterdir()) if it.is_file()]
            return str(HfApi().create_commit(name, files, commit_message=message).commit_url)

    return _explained(name, push)


@contextmanager
def _impatient() -> Iterator[None]:
    """Within the block the hub's client waits no longer than SILENT_SECONDS for a byte; its own limit is none."""
    from huggingface_hub.utils import get_session

    client: Any = get_session()
    before, client.timeout = client.timeout, SILENT_SECONDS
    try:
        yield
    finally:
        client.timeout = before


def _explained(name: str, call: Callable[[], Result]) -> Result:
    """What the call returns; its errors in one line each."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx

    try:
        return call()
    except HfHubHTTPError as error:
        if error.response.status_code in NO_RIGHT:
            raise ConfigError(
                f"{name}: the hub refuses your token ({error.response.status_code}); it needs the right to write there"
            ) from error
        raise _failed(name, error) from error
    except (httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
        raise _failed(name, error) from error


def _failed(name: str, error: Exception) -> RunError:
    from huggingface_hub import constants

    reason = first_line(error) or type(error).__name__
    return RunError(
        f"{name}: the hub at {constants.ENDPOINT} failed ({reason}); nothing was changed in the run: run the same "
        "command again"
    )
