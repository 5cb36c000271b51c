"""PowMonMan: clean, ordered shutdown of a fleet when the mains fail."""

__version__ = "0.1.0"
