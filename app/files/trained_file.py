"""TrainedFile: a training's file goes from its run folder to its model folder, whole, with preview and sidecar.

Does the same once more without harm: a run that was killed in between finds its own file there and is content.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.files.hashes import sha256_of
from app.files.sidecars import PREVIEW_ENDINGS
from app.files.whole_file import aside_of, cannot_write, flush_folder, write_whole
from app.schema.errors import TrainingProblem
from app.schema.training import FIELDS_OF, WatchingFields
from app.schema.training_run import TrainingRun

_SIDE_BY_SIDE = ("textual_inversion", "hypernetwork")
"""Methods whose previews end in .preview.png, as in A1111: beside embeddings a plain .png would be an embedding."""
_MOST_NAMES = 1000
_NAME = re.compile(r"[^\x00-\x1f/\\:*?\"<>|.\s][^\x00-\x1f/\\:*?\"<>|]{0,99}")
_METHODS = {
    "dreambooth": "DreamBooth",
    "lora": "LoRA",
    "textual_inversion": "Textual inversion",
    "hypernetwork": "Hypernetwork",
}
_SAID_ELSEWHERE = frozenset(
    {
        "version",
        "method",
        "name",
        "data",
        "class_data",
        "template",
        "session",
        "created",
        "comment",
        *WatchingFields.model_fields,
    }
)
"""Settings that say nothing of how the file came about, that name places of this machine, or that the sidecar has
elsewhere."""
_OURS, _PREVIEW = "easel", "preview"
"""What a training wrote into the sidecar, and the preview's hash: what differs from it is the user's and stays."""


def require_name(name: str) -> None:
    """Raises TrainingProblem where a file that comes out of a training cannot be called so."""
    if not _NAME.fullmatch(name):
        raise TrainingProblem(
            "The file that comes out needs a name." if not name else f"'{name[:40]}' cannot be a file's name.",
            field="name",
            hint='Up to 100 signs without / \\ : * ? " < > |, not beginning with a dot or a space.',
        )


def placed(made: Path, run: TrainingRun, sample: Path | None, others: Iterable[Path] = ()) -> Path:
    """Where the file is now. sample: becomes its preview. Raises DiskFull, CannotWrite.

    A file of the same name is replaced where the request allows it, or where it is one of `others`, of the same run;
    else this one gets a number. What the user chose or wrote as preview and sidecar stays; what a training put there
    is brought up to date.
    """
    path = _moved(made, run, {sha256_of(other) for other in others})
    base = path.with_suffix("")
    sidecar = base.with_name(f"{base.name}.json")
    before = _read(sidecar)
    written = (before or {}).get(_OURS)
    written = dict(written) if isinstance(written, dict) else {}
    if sample is not None and _gives_way(base, run.request.method, sample.parent, written.get(_PREVIEW)):
        write_whole(_preview(base, run.request.method), sample.read_bytes())
        written[_PREVIEW] = sha256_of(sample)
    if before is not None:
        told = _sidecar(run)
        kept = {key: text for key, text in before.items() if key != _OURS and text != written.get(key)}
        ours = told | {key: written[key] for key in (_PREVIEW,) if key in written}
        write_whole(sidecar, json.dumps({**told, **kept, _OURS: ours}, ensure_ascii=False, indent=4).encode())
    return path


def _preview(base: Path, method: str) -> Path:
    return base.with_name(f"{base.name}{'.preview' if method in _SIDE_BY_SIDE else ''}.png")


def _gives_way(base: Path, method: str, samples: Path, ours: object) -> bool:
    """Whether a new preview may be put: where there is none, where it is one of the run's samples, or as an earlier
    training put it. ours: hash of the latter."""
    preview = _preview(base, method)
    if preview.is_file():
        return sha256_of(preview) == ours or _is_a_sample(preview, samples)
    return not any(
        base.with_name(f"{base.name}{middle}{end}").exists() for middle in ("", ".preview") for end in PREVIEW_ENDINGS
    )


def _read(sidecar: Path) -> dict[str, Any] | None:
    """What stands in it, {} where there is none; None where it cannot be read, so that it is not written over."""
    if not sidecar.exists():
        return {}
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _is_a_sample(preview: Path, samples: Path) -> bool:
    shown = preview.read_bytes()
    return any(path.stat().st_size == len(shown) and path.read_bytes() == shown for path in samples.glob("*.png"))


def _moved(made: Path, run: TrainingRun, own: Set[str]) -> Path:
    wanted = Path(run.destination + made.suffix)
    digest = sha256_of(made)
    aside = aside_of(wanted.with_name(f"{wanted.name}.{run.id}"))
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for path in [wanted, *(wanted.with_stem(f"{wanted.stem}-{number}") for number in range(2, _MOST_NAMES))]:
            if path.is_file() and sha256_of(path) == digest:
                return path
            if path.exists() and not run.request.overwrite and (not path.is_file() or sha256_of(path) not in own):
                continue
            shutil.copyfile(made, aside)
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(path)
            flush_folder(path.parent)
            return path
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise cannot_write(wanted, error) from error
    raise cannot_write(wanted, FileExistsError(f"there are {_MOST_NAMES} files of that name"))


def _sidecar(run: TrainingRun) -> dict[str, str]:
    """A1111's user metadata: the trigger for the card's prompt, what the user said of it, and the run's settings."""
    request = run.request
    read = set(FIELDS_OF.get(request.method, ()))
    passed_over = _SAID_ELSEWHERE | ({name for names in FIELDS_OF.values() for name in names} - read)
    settings = [f"{_METHODS.get(request.method, request.method)} trained on {run.checkpoint_name}"]
    for name, field in type(request).model_fields.items():
        value = getattr(request, name)
        if name not in passed_over and value != field.get_default(call_default_factory=True):
            settings.append(f"{name}: {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
    told = {"description": request.comment or f"{settings[0]}.", "notes": ", ".join(settings)}
    trigger = " ".join(filter(None, (request.trigger, request.class_words)))
    return told | ({"activation text": trigger} if trigger and request.method != "textual_inversion" else {})
