"""How a command ends: its exit code, the line that says why, and after a signal the command that goes on."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from doubleback.eval.show.console import Console
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.run.names import is_road, is_run
from doubleback.rl.stopping import STOP, Interrupted


class _Carried(Exception):
    """What typer would end the program for without a word."""


class Commands(TyperGroup):
    """A group of commands whose every error arrives at `ended`."""

    def invoke(self, ctx: Any) -> Any:
        """Call the command."""
        try:
            return super().invoke(ctx)
        except (EOFError, BrokenPipeError) as error:
            raise _Carried(f"{type(error).__name__}: {error}") from error


def ended(command: Callable[[], Any], errors: Console) -> None:
    """Call the command and exit as promised: ConfigError 2, RunError and OSError 1, a signal 128 and its number."""
    try:
        command()
    except ConfigError as error:
        for line in str(error).splitlines():
            errors.say("error:", line, "bold red")
        sys.exit(2)
    except RunError as error:
        errors.say("stopped:", str(error), "bold red")
        if STOP.asked is None:
            sys.exit(1)
        errors.print(STOP.last_line())
        sys.exit(128 + STOP.asked)
    except OSError as error:
        errors.say("stopped:", f"the system refuses ({error}); mend it and run the same command again", "bold red")
        sys.exit(1)
    except _Carried as error:
        errors.say("stopped:", f"who read the output, or a process started here, is gone ({error})", "bold red")
        sys.exit(1)
    except Interrupted:
        errors.print(STOP.last_line())
        sys.exit(128 + (STOP.asked or 0))


def go_on_in(folder: Path, is_resumed: bool = False) -> None:
    """Have the command that goes on in `folder` told after a signal: this one, with --out and, for a run, --resume."""

    def words() -> str:
        given = [word for word in sys.argv[1:] if word != "--resume"]
        program = ["python", "-m", "doubleback.recipes"] if sys.argv[0].endswith("__main__.py") else ["doubleback"]
        place = [] if any(word.split("=")[0] == "--out" for word in given) else ["--out", str(folder)]
        resume = ["--resume"] if is_resumed and (is_run(folder) or is_road(folder)) else []
        return f"go on with: {shlex.join([*program, *given, *place, *resume])}"

    STOP.going_on = words
