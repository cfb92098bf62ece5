"""The table of all cases with their gates, and a sheet of pictures for each method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image

from benchmarks.contact_sheet import contact_sheet
from benchmarks.training.cases import CASES, LEAST, Case
from benchmarks.training.measure import Bench, Figures, shows

MOST_BEFORE = 0.2
LEAST_BACKGROUND = 0.7
MOST_TRIGGERED = 0.2
MOST_DRIFT = 0.75
MOST_LOST = 0.1
ERRORS = 4
PRIORS = ("prior", "class pictures")
COLUMNS = 8


def learnt(case: Case, one: Figures) -> bool:
    """The gate: enough pictures show it, the starter's do not, by far; and the words for the background count."""
    spread = math.sqrt(sum(share * (1 - share) for share in (one.before, one.after)) / one.pictures)
    clear = one.before <= MOST_BEFORE and one.after - one.before >= ERRORS * spread
    obeyed = one.background is None or one.background >= LEAST_BACKGROUND
    return one.after >= LEAST[case.method] and clear and obeyed


def table(done: Mapping[str, Figures]) -> list[str]:
    """Markdown: a row for each case in its order, those not carried out yet with a dash."""
    rows = [
        "| case | shows it: before -> after | background | without the word | another word | its kind right "
        "| others right | drift | gate | wanted |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        one = done.get(case.key)
        if one is None:
            rows.append(f"| {case.key} | - | | | | | | | | |")
            continue
        gate = "reached" if learnt(case, one) else "missed"
        cells = [
            case.key,
            f"{_percent(one.before)} -> {_percent(one.after)}",
            _percent(one.background),
            _percent(one.without_word),
            _percent(one.other_word),
            _both(one.kind_right),
            _both(one.others_right),
            "" if one.drift is None else "0, equal to the bit" if one.equal else f"{one.drift:.1f}",
            gate,
            "missed" if case.control else "reached",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def comparisons(done: Mapping[str, Figures]) -> list[str]:
    """A line for each thing that is to hold between cases or beside the gate, with yes or no."""
    lines = []
    for case in CASES:
        one = done.get(case.key)
        if one is None:
            continue
        free = done.get(Case(case.method, case.thing, "no prior").key)
        if case.stranger and free is not None and one.drift is not None and free.drift and case.variant in PRIORS:
            ratio = one.drift / free.drift
            lines.append(
                _line(f"{case.key}: drift {ratio:.2f} of that without (at most {MOST_DRIFT})", ratio <= MOST_DRIFT)
            )
        if one.kind_right is not None and case.variant in PRIORS:
            before, after = one.kind_right
            lines.append(
                _line(
                    f"{case.key}: ordinary ones of its kind right: {_percent(before)} -> {_percent(after)}",
                    before - after <= MOST_LOST,
                )
            )
        if case.method == "textual_inversion" and one.equal is not None:
            lines.append(_line(f"{case.key}: prompts without the word equal to the bit", one.equal))
        elif not case.control and one.other_word is not None and case.variant != "no prior":
            most = max(one.other_word, one.without_word or 0.0)
            lines.append(
                _line(
                    f"{case.key}: an untrained word, or none, brings it up in {_percent(most)}", most <= MOST_TRIGGERED
                )
            )
    return lines


def costs(done: Mapping[str, Figures]) -> list[str]:
    """Markdown: what the cases took."""
    rows = ["| case | steps | processor seconds | file | loss, first 20 -> last 20 steps |", "|---|---|---|---|---|"]
    for case in CASES:
        if (one := done.get(case.key)) is not None:
            size = f"{one.bytes / 1e6:.2f} MB" if one.bytes > 99_999 else f"{one.bytes / 1e3:.1f} kB"
            rows.append(
                f"| {case.key} | {one.steps} | {one.seconds:.0f} | {size} | {one.loss[0]:.3f} -> {one.loss[1]:.3f} |"
            )
    return rows


def sheet(bench: Bench, method: str, done: Mapping[str, Figures]) -> Image.Image | None:
    """The first pictures of each case of a method, after it and, for the first case of a thing, before it."""
    pictures: list[Image.Image] = []
    captions: list[str] = []
    begun: set[str] = set()
    for case in CASES:
        if case.method != method or case.key not in done:
            continue
        pairs = bench.shown(case, done[case.key], COLUMNS)
        rows: Sequence[tuple[str, list[Image.Image]]] = [(case.variant, [after for _, after in pairs])]
        if case.thing not in begun:
            begun.add(case.thing)
            rows = [("before", [before for before, _ in pairs]), *rows]
        for title, row in rows:
            pictures += row
            captions += [f"{case.thing}, {title}: {'yes' if shows(case, picture) else 'no'}" for picture in row]
    return contact_sheet(pictures, captions, COLUMNS) if pictures else None


def _line(text: str, holds: bool) -> str:
    return f"- {text}: {'yes' if holds else 'no'}"


def _both(shares: tuple[float, float] | None) -> str:
    return " -> ".join(map(_percent, shares)) if shares else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
