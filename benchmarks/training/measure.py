"""Carries a case out, from its pictures to its figures; what was done before and is unchanged is not done again."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.files.whole_file import write_whole
from app.starter.judge import judge
from benchmarks.training.asked import Asked
from benchmarks.training.cases import Case
from benchmarks.training.judge import look_for
from benchmarks.training.lessons import write
from benchmarks.training.studio import Artist, Studio
from benchmarks.training.styles import STYLES

PAIR = tuple[Image.Image, Image.Image]


@dataclass(frozen=True)
class Figures:
    """What came of a case. Shares are 0 to 1.

    before, after: of the named prompts' pictures, those that show what was to be learnt. background: of those after,
    the ones with the ground and time that were asked for; None for styles. without_word, other_word: of ordinary ones
    of its kind and of another word's pictures, those that show it. kind_right, others_right: of ordinary ones of its
    kind and of unrelated things, before and after, those with the thing, colour, ground and time that were asked for,
    by the starter's judge. drift: RMSE of
    levels to the starter's pictures of ordinary prompts. equal: whether all of those are the starter's to the last bit.
    The last six are None for controls, which are asked about what they were to learn alone.
    """

    before: float
    after: float
    pictures: int
    background: float | None
    without_word: float | None
    other_word: float | None
    kind_right: tuple[float, float] | None
    others_right: tuple[float, float] | None
    drift: float | None
    equal: bool | None
    steps: int
    seconds: float
    bytes: int
    loss: tuple[float, float]
    starter: str
    settings: str


class Pictures:
    """Pictures of one model, kept as files, so that none is drawn twice."""

    def __init__(self, folder: Path, artist: Callable[[], Artist]) -> None:
        self._folder = folder
        self._make = artist
        self._artist: Artist | None = None

    def draw(self, asked: Sequence[Asked], tag: str = "") -> list[Image.Image]:
        """One for each; tag: at the end of every prompt."""
        return [self._one(one.prompt + tag, one.seed) for one in asked]

    def _one(self, prompt: str, seed: int) -> Image.Image:
        path = self._folder / f"{hashlib.sha256(f'{seed}/{prompt}'.encode()).hexdigest()[:24]}.png"
        if not path.exists():
            if self._artist is None:
                self._artist = self._make()
            aside = path.with_suffix(".part")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._artist.draw(prompt, seed).save(aside, "PNG")
            aside.replace(path)
        with Image.open(path) as opened:
            return opened.convert("RGB")


class Bench:
    """folder: where everything lies. checkpoint: the starter."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self._folder = folder
        self._checkpoint = checkpoint
        self._results = folder / "results.json"
        self.starter = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:10]
        base = Studio(folder / "base", checkpoint)
        self._base = Pictures(folder / "base" / self.starter, base.artist)

    def done(self) -> dict[str, Figures]:
        """The figures of every case that was carried out with this starter and is what it was then, by key."""
        try:
            kept = json.loads(self._results.read_text())
        except FileNotFoundError:
            return {}
        figures = {key: Figures(**_tuples(one)) for key, one in kept.items()}
        return {key: one for key, one in figures.items() if one.starter == self.starter}

    def outdated(self, case: Case, figures: Figures) -> bool:
        """Whether the case has other settings by now."""
        return figures.settings != _settings(case)

    def carry_out(self, case: Case) -> Figures:
        """Trains, draws and judges a case, and keeps its figures."""
        place = self._place(case, _settings(case))
        write(place / "data", case.lessons())
        studio = Studio(place, self._checkpoint)
        trained = studio.train(case.request(str(place / "data")))
        own = trained.file if case.method == "dreambooth" else None
        first, last = trained.losses[:20], trained.losses[-20:]
        figures = Figures(
            **self._judged(case, Pictures(place / "pictures", lambda: studio.artist(own))),
            pictures=len(case.named()),
            steps=len(trained.losses),
            seconds=round(trained.seconds, 1),
            bytes=trained.file.stat().st_size,
            loss=(statistics.fmean(first), statistics.fmean(last)),
            starter=self.starter,
            settings=_settings(case),
        )
        self._keep(case, figures)
        return figures

    def judge_again(self, case: Case, figures: Figures) -> Figures:
        """The figures of a case by the judge as it is now, from the pictures that were drawn then."""
        drawn = Pictures(self._place(case, figures.settings) / "pictures", _gone)
        figures = replace(figures, **self._judged(case, drawn))
        self._keep(case, figures)
        return figures

    def _judged(self, case: Case, learnt: Pictures) -> dict[str, Any]:
        """What the pictures show."""

        def both(asked: Sequence[Asked]) -> list[PAIR]:
            return list(zip(self._base.draw(asked), learnt.draw(asked, case.tag), strict=True))

        named = both(case.named())
        wanted = () if case.control else (*case.of_kind(), *case.of_others())
        ordinary, other, kinds = both(wanted), both(() if case.control else case.other()), len(case.of_kind())
        return {
            "before": _share(case, [before for before, _ in named]),
            "after": _share(case, [after for _, after in named]),
            "background": _background(case, [after for _, after in named]),
            "without_word": _share(case, [after for _, after in ordinary[:kinds]]) if kinds and ordinary else None,
            "other_word": _share(case, [after for _, after in other]) if other else None,
            "kind_right": _right(case.of_kind(), ordinary[:kinds]) if kinds and ordinary else None,
            "others_right": _right(case.of_others(), ordinary[kinds:]) if kinds and ordinary else None,
            "drift": statistics.fmean(rmse(*pair) for pair in ordinary) if ordinary else None,
            "equal": all(one.tobytes() == two.tobytes() for one, two in (*ordinary, *other)) if ordinary else None,
        }

    def _place(self, case: Case, settings: str) -> Path:
        return self._folder / "cases" / self.starter / case.key / settings

    def _keep(self, case: Case, figures: Figures) -> None:
        kept = json.loads(self._results.read_text()) if self._results.exists() else {}
        write_whole(self._results, json.dumps({**kept, case.key: asdict(figures)}, indent=1).encode())

    def shown(self, case: Case, figures: Figures, count: int) -> list[PAIR]:
        """The first pictures of a case that was carried out, before and after."""
        asked = case.named()[:count]
        learnt = Pictures(self._place(case, figures.settings) / "pictures", _gone)
        return list(zip(self._base.draw(asked), learnt.draw(asked, case.tag), strict=True))


def _gone() -> Artist:
    raise SystemExit("A picture of that case is not there any more; carry it out again.")


def rmse(one: Image.Image, other: Image.Image) -> float:
    """Root of the mean squared difference of all levels."""
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return float(np.sqrt(np.mean(difference**2)))


def shows(case: Case, picture: Image.Image) -> bool:
    """Whether a picture shows what the case is to learn."""
    return look_for(case.stranger, picture).stranger if case.stranger else STYLES[case.thing].shows(picture)


def _tuples(kept: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}


def _right(asked: Sequence[Asked], pairs: Sequence[PAIR]) -> tuple[float, float]:
    """Shares of both pictures of the pairs that show what was asked for."""
    before, after = (
        statistics.fmean(_is_right(one, pair[turn]) for one, pair in zip(asked, pairs, strict=True)) for turn in (0, 1)
    )
    return before, after


def _is_right(asked: Asked, picture: Image.Image) -> bool:
    seen = judge(picture)
    colour = seen.colour if asked.colour is None else asked.colour
    return (seen.subject, seen.colour, seen.ground, seen.time) == (asked.subject, colour, asked.ground, asked.time)


def _share(case: Case, pictures: Sequence[Image.Image]) -> float:
    return statistics.fmean(shows(case, picture) for picture in pictures)


def _background(case: Case, pictures: Sequence[Image.Image]) -> float | None:
    if not case.stranger:
        return None
    seen = [look_for(case.stranger, picture) for picture in pictures]
    pairs = zip(seen, case.named(), strict=True)
    return statistics.fmean((one.ground, one.time) == (wanted.ground, wanted.time) for one, wanted in pairs)


def _settings(case: Case) -> str:
    """Changes with anything that the case is trained with."""
    told = [case.request("").model_dump_json(), *(caption for _, caption in case.lessons())]
    pictures = b"".join(picture.tobytes() for picture, _ in case.lessons())
    return hashlib.sha256("\n".join(told).encode() + pictures).hexdigest()[:12]
