"""From templates to HTML. All that a template prints is text: escaped, no character of it hides or reorders others.

Completions, problems, titles and file names are written by a policy or by strangers. jinja2 escapes them, and
`finalize` sends what is printed through `eval.show.console.visible`, as the terminal does; only markup of ours passes.
"""

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from doubleback.rewards.visible import visible


def render(template: str, **values: Any) -> Markup:
    """The template of this name in `templates/`, filled."""
    return Markup(_environment().get_template(template).render(**values))


def source_of(content: str) -> str:
    """How a content security policy names this one script or style: by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _printed(value: Any) -> Any:
    return value if isinstance(value, Markup) else visible(str(value))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("doubleback.recipes.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
