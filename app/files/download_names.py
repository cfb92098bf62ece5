"""Download names: what a server, a repository or an address calls a file, made into a name that is safe here."""

from __future__ import annotations

import re
from email.message import Message
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from app.files.contents import Content
from app.files.file_names import clean
from app.files.scan import MODEL_ENDINGS

# Marks that turn the direction of writing: they can hide what a name ends with.
_TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\x80-\x9f]")
_MOST_BYTES = 200
_SAYS_NOTHING = ("model", "pytorch_model", "diffusion_pytorch_model", "pytorch_lora_weights", "adapter_model")
_TYPES_OF_CONTENT = {
    Content.SAFETENSORS: (".safetensors", ".sft"),
    Content.ZIP: (".ckpt", ".pt", ".pth", ".bin"),
    Content.PICKLE: (".ckpt", ".pt", ".pth", ".bin"),
}


def disposition_name(header: str) -> str:
    """The file name in a Content-Disposition header (RFC 6266), "" for none."""
    message = Message()
    message["content-disposition"] = " ".join(header.split())
    try:
        return message.get_filename("") or ""
    except (LookupError, UnicodeError, ValueError):  # an unknown character set
        return ""


def name_in(url: str) -> str:
    """The last part of an address's path."""
    return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])


def name_in_repository(repository: str, path: str) -> str:
    """The file's own name, or its repository's where the own one says nothing."""
    file = PurePosixPath(path)
    return repository.rpartition("/")[2] + file.suffix if file.stem.lower() in _SAYS_NOTHING else file.name


def safe_name(said: str, content: Content) -> str:
    """A file name without folders, device names and control characters, with an ending that fits the content."""
    name = _TURNING.sub("", re.split(r"[/\\]", said)[-1]).strip().lstrip(".")
    ending = next((ending for ending in MODEL_ENDINGS if name.lower().endswith(ending)), "")
    stem = name[: len(name) - len(ending)] if ending else name
    fitting = _TYPES_OF_CONTENT.get(content, ())
    if ending not in fitting:
        ending = fitting[0] if fitting else ending
    stem = clean(stem).encode("utf-8", "ignore")[:_MOST_BYTES].decode("utf-8", "ignore").rstrip(" .")
    return (stem or "download") + ending
