"""File names: A1111's patterns (`[seed]-[prompt_spaces]`) become names that every file system takes.

Pure text, in and out (a1111-facts 8.1); looks at no folder.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

LONGEST_PART = 128
# ext4, APFS and NTFS take 255; what stands before and after the pattern (number, ending, .tmp) needs the rest.
_MOST_BYTES = 220
_MOST_WORDS = 8
_ILLEGAL = re.compile(r'[#<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_WINDOWS_DEVICES = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_PATTERN = re.compile(r"\[([^\[\]]+)\]")
_ARGUMENT = re.compile(r"<([^>]*)>")
_BETWEEN_WORDS = re.compile(rf"[\s{re.escape(string.punctuation)}]+")


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What the patterns may name. None: not applicable, so that the pattern vanishes with the text before it.

    prompt: after styles. unstyled_prompt: before. seeds: of all pictures of the job, in order. batch_number, number:
    from 1; of the batch, of the job. image: RGB bytes, for `[image_hash]`.
    """

    seed: int
    prompt: str = ""
    unstyled_prompt: str = ""
    negative_prompt: str = ""
    styles: Sequence[str] = ()
    seeds: Sequence[int] = ()
    steps: int | None = None
    cfg_scale: float | None = None
    width: int | None = None
    height: int | None = None
    sampler: str = ""
    schedule: str = ""
    model_name: str = ""
    model_hash: str = ""
    vae_name: str = ""
    clip_skip: int = 1
    denoising_strength: float | None = None
    batch_size: int = 1
    batch_number: int | None = None
    number: int | None = None
    user: str | None = None
    base_name: str = ""
    image: bytes = field(default=b"", repr=False)
    time: datetime = field(default_factory=datetime.now)


def fill(pattern: str, facts: PictureFacts) -> str:
    """The pattern with its `[...]` filled in; names that are not known stay as they are.

    What does not apply vanishes together with the text between it and the pattern before.
    """
    filled, position = "", 0
    for match in _PATTERN.finditer(pattern):
        text, position = pattern[position : match.start()], match.end()
        name, _, rest = match[1].partition("<")
        make = _PATTERNS.get(name.lower())
        if make is None:
            filled += text + match[0]
            continue
        value = make(facts, _ARGUMENT.findall("<" + rest) if rest else [])
        if value is not None:
            filled += text + value
    return filled + pattern[position:]


def file_name(pattern: str, facts: PictureFacts) -> str:
    """A file name without number and ending; "" for a pattern that leaves nothing."""
    return _fitting(clean(fill(pattern, facts), longest=None))


def folder_name(pattern: str, facts: PictureFacts) -> str:
    """A relative folder, forward slashes. The pattern's own slashes part folders; those of values do not.

    No part leads upwards or to a root, whatever the pattern says.
    """
    parts = re.split(r"[/\\]", fill(pattern, facts).strip())
    return "/".join(name for name in (_fitting(clean(part)) for part in parts) if name)


def clean(text: str, *, spaces: bool = True, longest: int | None = LONGEST_PART) -> str:
    """Text as a part of a name: what file systems refuse becomes `_`; spaces too unless they are to stay."""
    text = _ILLEGAL.sub("_", text if spaces else text.replace(" ", "_")).lstrip(" ")[:longest].rstrip(" .")
    return f"_{text}" if _WINDOWS_DEVICES.match(text) else text


def _fitting(name: str) -> str:
    """A name cut at a character so that its bytes fit, since 128 Chinese characters are 384 bytes."""
    return name.encode("utf-8")[:_MOST_BYTES].decode("utf-8", "ignore").rstrip(" .")


Make = Callable[[PictureFacts, list[str]], str | None]


def _digits(arguments: list[str]) -> int:
    return int(arguments[0]) if arguments and arguments[0].isdecimal() else 8


def _hash(text: str | bytes, arguments: list[str]) -> str:
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[: _digits(arguments)]


def _words(facts: PictureFacts, _: list[str]) -> str:
    words = [word for word in _BETWEEN_WORDS.split(facts.prompt) if word]
    return clean(" ".join(words[:_MOST_WORDS] or ["empty"]))


def _has_prompt(facts: PictureFacts, arguments: list[str]) -> str:
    prompt, found = facts.prompt.lower(), ""
    for argument in arguments:
        wanted, _, otherwise = argument.partition("|")
        found += wanted if wanted.lower() in prompt else otherwise
    return clean(found, spaces=False)


def _datetime(facts: PictureFacts, arguments: list[str]) -> str:
    time, wanted = facts.time, arguments[0] if arguments and arguments[0] else "%Y%m%d%H%M%S"
    if len(arguments) > 1:
        try:
            time = time.astimezone(ZoneInfo(arguments[1]))
        except (ValueError, KeyError, OSError):
            time = facts.time  # an unknown time zone: local time
    try:
        return clean(time.strftime(wanted), spaces=True)
    except ValueError:
        return time.strftime("%Y%m%d%H%M%S")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


_PATTERNS: Mapping[str, Make] = MappingProxyType(
    {
        "basename": lambda facts, _: clean(facts.base_name) or None,
        "seed": lambda facts, _: str(facts.seed),
        "seed_first": lambda facts, _: str(facts.seeds[0] if facts.seeds else facts.seed),
        "seed_last": lambda facts, _: str(facts.seeds[-1] if facts.seeds else facts.seed),
        "steps": lambda facts, _: _text(facts.steps),
        "cfg": lambda facts, _: _text(facts.cfg_scale),
        "width": lambda facts, _: _text(facts.width),
        "height": lambda facts, _: _text(facts.height),
        "styles": lambda facts, _: clean(", ".join(style for style in facts.styles if style != "None") or "None"),
        "sampler": lambda facts, _: clean(facts.sampler),
        "scheduler": lambda facts, _: clean(facts.schedule),
        "sampler_scheduler": lambda facts, _: clean(
            facts.sampler if facts.schedule == "Automatic" else f"{facts.sampler} {facts.schedule}"
        ),
        "model_hash": lambda facts, _: facts.model_hash,
        "model_name": lambda facts, _: clean(facts.model_name),
        "vae_filename": lambda facts, _: clean(facts.vae_name) or "NoneType",
        "date": lambda facts, _: facts.time.strftime("%Y-%m-%d"),
        "datetime": _datetime,
        "job_timestamp": lambda facts, _: facts.time.strftime("%Y%m%d%H%M%S"),
        "prompt": lambda facts, _: clean(facts.prompt, spaces=False),
        "prompt_spaces": lambda facts, _: clean(facts.prompt),
        "prompt_no_styles": lambda facts, _: clean(facts.unstyled_prompt or facts.prompt),
        "prompt_words": _words,
        "prompt_hash": lambda facts, arguments: _hash(facts.prompt, arguments),
        "negative_prompt_hash": lambda facts, arguments: _hash(facts.negative_prompt, arguments),
        "full_prompt_hash": lambda facts, arguments: _hash(f"{facts.prompt} {facts.negative_prompt}", arguments),
        "hasprompt": _has_prompt,
        "batch_number": lambda facts, _: _text(facts.batch_number if facts.batch_size > 1 else None),
        "batch_size": lambda facts, _: str(facts.batch_size),
        "generation_number": lambda facts, _: _text(facts.number if len(facts.seeds) > 1 else None),
        "clip_skip": lambda facts, _: str(facts.clip_skip),
        "denoising": lambda facts, _: _text(facts.denoising_strength),
        "user": lambda facts, _: clean(facts.user) if facts.user else None,
        "image_hash": lambda facts, arguments: _hash(facts.image, arguments),
        "none": lambda facts, _: "",
    }
)
