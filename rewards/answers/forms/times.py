"""Times of day and dates, as people write them: `3:45 p.m.` is `15:45`, and `on March 5th` is `5 March`."""

import re

_TIME = re.compile(
    r"(?:at )?([01]?[0-9]|2[0-3])(?::|\{:\}|\.(?=[0-9]{2} ?[ap]))([0-5][0-9])(?::([0-5][0-9]))? ?(?:([ap])\.? ?m\.?)?",
    re.IGNORECASE,
)
_HOUR = re.compile(r"(?:at )?(1[0-2]|[1-9]) ?([ap])\.? ?m\.?", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?:the )?([12][0-9]|3[01]|0?[1-9])(?:st|nd|rd|th)?"
_YEAR = r"(?:,? ?([12][0-9]{3}))?"
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,? ?)?"
_MONTH_FIRST = re.compile(rf"(?:on )?{_WEEKDAY}{_MONTH} ?{_DAY}{_YEAR}", re.IGNORECASE)
_DAY_FIRST = re.compile(rf"(?:on )?{_WEEKDAY}{_DAY} (?:of )?{_MONTH}{_YEAR}", re.IGNORECASE)
MAX_LENGTH = 40
"""Characters."""

Moment = tuple[str | int | None, ...]
"""A time of day in hours, minutes and seconds, or a date in month, day and year."""


def as_moment(text: str) -> Moment | None:
    """The time of day or the date that `text` is; None for anything else. `text` is normalised.

    Without a.m. or p.m. a time is one of 24 hours: `9:30` is in the morning.
    """
    if len(text) > MAX_LENGTH:
        return None
    if match := _TIME.fullmatch(text):
        return _time(int(match[1]), int(match[2]), int(match[3] or 0), match[4])
    if match := _HOUR.fullmatch(text):
        return _time(int(match[1]), 0, 0, match[2])
    if match := _MONTH_FIRST.fullmatch(text):
        return ("date", _month(match[1]), int(match[2]), match[3])
    if match := _DAY_FIRST.fullmatch(text):
        return ("date", _month(match[2]), int(match[1]), match[3])
    return None


def _month(name: str) -> int:
    return _MONTHS.index(name[:3].lower()) + 1


def _time(hours: int, minutes: int, seconds: int, half: str | None) -> Moment | None:
    if half is None:
        return ("time", hours, minutes, seconds)
    is_on_the_clock = 1 <= hours <= 12
    return ("time", hours % 12 + 12 * (half in "pP"), minutes, seconds) if is_on_the_clock else None
