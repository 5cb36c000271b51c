"""Durations as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return seconds in words: `45 s`, `10 min`, `3 h 20 min`, `12 days`.

    What is left over is dropped: nobody is promised more time than there is.
    """
    whole = max(0, round(seconds))
    if whole < 180:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 180:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 72:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} days"
