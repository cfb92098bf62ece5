"""Sources: what a typed address means: a repository, a file in one, a page of civitai's, or a plain URL.

Pure text, in and out; nothing is asked of anybody. Secrets in an address are taken out of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from app.files.scan import MODEL_ENDINGS
from app.schema.errors import InvalidField

HUB = "https://huggingface.co"
CIVITAI = "https://civitai.com"
_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
# Whatever page of theirs is shown, its numbers are asked for at the one address of their API.
_CIVITAI_HOSTS = ("civitai.com", "www.civitai.com", "civitai.green", "civitai.red")
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_FIRST_WORDS_OF_OTHER_PAGES = ("api", "datasets", "spaces", "docs", "blog", "papers", "collections", "models")
_LONGEST = 4000


class HubFiles(NamedTuple):
    """A model repository, or one file of it. path: "" for the repository."""

    repository: str
    revision: str = "main"
    path: str = ""


class CivitaiModel(NamedTuple):
    """A page of civitai's that names no version: the newest is meant."""

    model: str


class CivitaiVersion(NamedTuple):
    """A version of a model. query: which of its files (type, format, size, fp), "" for the usual one."""

    version: str
    query: str = ""


class PlainAddress(NamedTuple):
    """A file somewhere on the web."""

    url: str


Meaning = HubFiles | CivitaiModel | CivitaiVersion | PlainAddress


@dataclass(frozen=True)
class Source:
    """What was typed. text: without secrets, the same for the same thing. token, login: secrets that stood in it."""

    text: str
    meaning: Meaning
    token: str = ""
    login: str = ""


@dataclass(frozen=True)
class Hosts:
    """Where the two services are. hub: HF_ENDPOINT or a mirror."""

    hub: str = HUB
    civitai: str = CIVITAI


def source_of(text: str, hosts: Hosts | None = None) -> Source:
    """What an address means. Raises InvalidField for what is none."""
    hosts = hosts or Hosts()
    text = text.strip()
    if not text or len(text) > _LONGEST or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise _unknown(text)
    if "://" not in text:
        return _repository(text)
    try:
        parts = urlsplit(text)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _unknown(text) from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise _unknown(text)
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else ""
    parts = parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.rpartition("@")[2], fragment="")
    query = parse_qsl(parts.query, keep_blank_values=True)
    meaning: Meaning | None = None
    token = ""
    if host in (*_CIVITAI_HOSTS, urlsplit(hosts.civitai).hostname) and _fits(parts.netloc, hosts.civitai, host):
        token = next((value for name, value in query if name == "token"), "")
        query = [(name, value) for name, value in query if name != "token"]
        parts = parts._replace(query=urlencode(query))
        meaning = _civitai(parts.path, query)
    elif host in _HUB_HOSTS:
        meaning = _hub(parts.path)
    elif parts.geturl().startswith(hosts.hub.rstrip("/") + "/"):
        meaning = _hub(parts.path.removeprefix(urlsplit(hosts.hub).path.rstrip("/")))
    return Source(parts.geturl(), meaning or PlainAddress(parts.geturl()), token, login)


def hub_address(files: HubFiles, hosts: Hosts) -> str:
    """The address of a repository's file, at the mirror that is set."""
    return f"{hosts.hub}/{files.repository}/resolve/{quote(files.revision, safe='')}/{quote(files.path, safe='/')}"


def _fits(netloc: str, base: str, host: str) -> bool:
    return host in _CIVITAI_HOSTS or netloc == urlsplit(base).netloc


def _repository(text: str) -> Source:
    """`org/name`, `org/name/folder/file.safetensors`, either with `@revision` behind the name."""
    words = text.split("/")
    if not _sound(words):
        raise _unknown(text)
    name, _, revision = "/".join(words[:2]).partition("@")
    path = "/".join(words[2:])
    if not _REPOSITORY.fullmatch(name) or (path and not _is_model(path)):
        raise _unknown(text)
    return Source(text, HubFiles(name, revision or "main", path))


def _hub(path: str) -> HubFiles | None:
    words = [unquote(word) for word in path.strip("/").split("/")]
    repository = "/".join(words[:2])
    if words[0] in _FIRST_WORDS_OF_OTHER_PAGES or not _REPOSITORY.fullmatch(repository) or not _sound(words):
        return None
    if len(words) == 2:
        return HubFiles(repository)
    if words[2] == "tree" and len(words) >= 4:
        return HubFiles(repository, words[3])
    if words[2] in ("resolve", "blob", "raw") and len(words) >= 5:
        return HubFiles(repository, words[3], "/".join(words[4:]))
    return None


def _civitai(path: str, query: list[tuple[str, str]]) -> Meaning | None:
    asked = dict(query)
    download = re.fullmatch(r"/api/download/models/(\d+)/?", path)
    if download:
        return CivitaiVersion(download[1], urlencode(query))
    page = re.match(r"/models/(\d+)(/|$)", path)
    if page:
        version = asked.get("modelVersionId", "")
        return CivitaiVersion(version) if version.isdecimal() else CivitaiModel(page[1])
    return None


def _sound(words: list[str]) -> bool:
    return not any(word in ("", ".", "..") for word in words)


def _is_model(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in MODEL_ENDINGS


def _unknown(text: str) -> InvalidField:
    return InvalidField(
        f"'{text[:100]}' is no address of a model.",
        field="source",
        hint="Give a repository (org/name), a file in one (org/name/file.safetensors), or a http(s) address.",
    )
