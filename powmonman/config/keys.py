"""How one key of a configuration file is described."""

from __future__ import annotations

from dataclasses import Field, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from powmonman.config.forms import Form


@dataclass(frozen=True)
class Key:
    """What a key's type doesn't say.

    Attributes:
        doc: What it means, for the reference.
        unit: Of its number: `s`, `%`, `KiB`, `a second`, or none.
        minimum: The least that its number may be.
        maximum: The most.
        form: Of its text, of each text of its list, or of the names in its mapping.
        distinct: No entry of its list may occur twice.
    """

    doc: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    form: Form | None = None
    distinct: bool = False


def key(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    form: Form | None = None,
    distinct: bool = False,
) -> Any:
    """Describe one key; `default` may be a class or function that makes the value."""
    metadata = {"key": Key(doc, unit, minimum, maximum, form, distinct)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def described(part: Field[Any]) -> Key:
    """Return what `key` said of a field."""
    found = part.metadata.get("key")
    return found if isinstance(found, Key) else Key()
