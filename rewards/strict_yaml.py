"""The one reader of YAML: recipes, suites, prompts, models, and values on the command line."""

import re
from typing import Any

import yaml

from doubleback.rewards.types import ConfigError

MAX_VALUES = 100_000
"""How many values a text may stand for, aliases written out: a few lines of aliases of aliases stand for billions."""


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-3 is a number (YAML 1.2), where PyYAML alone reads a string. A key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping; PyYAML alone keeps the last of two equal keys, and tells nobody."""
        written = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if len(set(written)) < len(written):
            name = next(name for name in written if written.count(name) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} stands twice", node.start_mark)
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:bool":  # `on:` is a name here, as in YAML 1.2
                key.tag = "tag:yaml.org,2002:str"
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_yaml(text: str, what: str) -> Any:
    """What the text says in YAML. ConfigError where it is none, or stands for more than `MAX_VALUES` values."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _num_values(node, {}) > MAX_VALUES:
            raise ConfigError(
                f"{what} stands for more than {MAX_VALUES:,} values, once its aliases are written out; use fewer"
            )
        return loader.construct_document(node)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that is none, 4,301 digits
        raise ConfigError(f"{what} is not YAML: {' '.join(str(error).split())[:300]}") from error


def _num_values(node: yaml.Node, counted: dict[int, float]) -> float:
    """How many values a node stands for. Infinitely many where it holds itself."""
    if id(node) not in counted:
        counted[id(node)] = float("inf")  # for an alias to this node inside it
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for item in inside for part in (item if isinstance(item, tuple) else (item,))]
        counted[id(node)] = 1 + sum(_num_values(part, counted) for part in parts)
    return counted[id(node)]
