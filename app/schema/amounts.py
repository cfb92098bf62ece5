"""Amounts in words: bytes and counts as a person reads them."""

from __future__ import annotations


def size_words(size: float) -> str:
    """size: bytes, 0 or more. '10 bytes', '2.1 kB', '12 MB', '3.42 GB'."""
    if size < 1000:
        return f"{size:.0f} bytes"
    # From where three figures would round to four, the next unit.
    if size < 999.5e3:
        return f"{size / 1e3:.3g} kB"
    return f"{size / 1e6:.3g} MB" if size < 999.5e6 else f"{size / 1e9:.2f} GB"


def count_words(number: int, word: str) -> str:
    """word: in the singular, with a plural in s. '1 step', '1,500 steps'."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
