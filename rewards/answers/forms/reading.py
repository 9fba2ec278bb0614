"""An answer read as its gold wants it: what is a list, a decimal comma or a ratio only the gold can tell."""

import re

from doubleback.rewards.answers.forms.names import as_list, without_names, without_plus_minus

_RATIO = re.compile("[0-9]+:[0-9]+")
_AND_BETWEEN = re.compile(r"(?<=\)) ?and ?(?=\()")
_AND_UNITS = re.compile(r"(?<=[a-z]),?(?: and)? (?=[0-9])")
_QUANTITIES = re.compile(r"[0-9]{1,9} [a-z]{1,12}(?: [0-9]{1,9} [a-z]{1,12})+")
_QUALIFIER = re.compile(r",? ?\b(?:for (?:all|every|any)|where)\b(?!.*\b(?:or|else|otherwise|unless|except|not)\b).*")
_GROUPED = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+")
_DECIMAL = re.compile(r"-?[0-9]{1,20}\.[0-9]{1,20}")
_DECIMAL_COMMA = re.compile(r"(-?[0-9]{1,20})(?:,|\{,\})([0-9]{1,2}|[0-9]{4,20})")
_PLUS_MINUS = re.compile(r"\\pm|±")


def read_for(given: str, wanted: str) -> tuple[str, str]:
    r"""Answer and gold in one form, both normalised, where the gold is a ratio, a decimal, a list or has `\pm`."""
    if not _QUALIFIER.search(wanted):
        given = _QUALIFIER.sub("", given).strip()
    if _RATIO.fullmatch(wanted):
        return re.sub(r"(?<=[0-9]) to (?=[0-9])", ":", given), wanted
    if _DECIMAL.fullmatch(wanted) and (match := _DECIMAL_COMMA.fullmatch(given)):
        return f"{match[1]}.{match[2]}", wanted
    if _QUANTITIES.fullmatch(wanted):
        return _AND_UNITS.sub(" ", given), wanted
    if wanted.startswith("(") and "=" not in given:
        given = without_names(given) or given
    if ("," in wanted or _PLUS_MINUS.search(wanted)) and not _GROUPED.fullmatch(wanted):
        return _as_lists(_AND_BETWEEN.sub(",", given), wanted)
    return given, wanted


def _as_lists(given: str, wanted: str) -> tuple[str, str]:
    is_of_words = re.search(r"[A-Za-z]{3,}", re.sub(r"\\[A-Za-z]+|\b(?:and|or)\b", "", wanted))
    if is_of_words or re.match(r"[(\[]", wanted):
        return given, wanted
    given = as_list(given)
    if bool(_PLUS_MINUS.search(given)) != bool(_PLUS_MINUS.search(wanted)):
        given, wanted = without_plus_minus(given), without_plus_minus(wanted)
    is_named = "=" in given and "=" not in wanted
    return (without_names(given) or given) if is_named else given, wanted


def is_list_for_a_number(given: str, wanted: str) -> bool:
    """Whether one side is a grouped number, `1,250`, and the other two numbers: `1, 250`, `(1,250)`, `1 and 250`."""
    if _GROUPED.fullmatch(wanted):
        return re.search(r"[0-9], +[0-9]|[0-9] ?;|^\\?[({\[].*,.*[)}\]]$|[0-9] (?:and|or) [0-9]", given) is not None
    return _GROUPED.fullmatch(given) is not None and re.match(r"[(\[{\\].*,", wanted) is not None
