"""Catalogue: asks a source what there is: files of a repository, versions at civitai, sizes and checksums.

Import it late, as it brings httpx2 and huggingface_hub.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from huggingface_hub import ModelInfo
from huggingface_hub.utils import build_hf_headers

from app import __version__
from app.files.addresses import Reach, names_private_host
from app.files.download_names import name_in_repository
from app.files.fetching import Fetcher
from app.files.patience import Stop
from app.files.scan import MODEL_ENDINGS
from app.files.sources import CivitaiModel, CivitaiVersion, Hosts, HubFiles, PlainAddress, Source, hub_address
from app.schema.errors import DownloadFailed, InvalidField

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_NO_WEIGHTS = re.compile(r"(^|/)(optimizer|scheduler|training_args|random_states|rng_state|scaler)[^/]*$")
_MOST_LISTED = 20


class RemoteFile(NamedTuple):
    """A file of a repository or of a model's version. path: unique there. size: bytes. sha256: "" when not told."""

    path: str
    size: int | None = None
    sha256: str = ""
    query: str = ""


@dataclass(frozen=True)
class Wanted:
    """One file to fetch. name: "" when only the server knows. size, sha256: as told beforehand, for checking."""

    url: str
    reach: Reach
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str = ""
    size: int | None = None
    sha256: str = ""


class Catalogue:
    """Asks with one user's token, or with that of the environment. rules: for every address."""

    def __init__(
        self, fetcher: Fetcher, stop: Stop, hosts: Hosts, token: str, rules: Reach, environ: Mapping[str, str]
    ) -> None:
        self._fetcher = fetcher
        self._stop = stop
        self._hosts = hosts
        self._token = token
        self._rules = rules
        self._environ = environ

    def files(self, source: Source) -> Sequence[RemoteFile]:
        """What there is to choose from; one entry for a file, none for a plain address."""
        meaning = source.meaning
        if isinstance(meaning, HubFiles):
            return [RemoteFile(meaning.path)] if meaning.path else self._hub_files(meaning)
        if isinstance(meaning, CivitaiModel):
            return self._civitai_files(self._newest(meaning, source), source)
        if isinstance(meaning, CivitaiVersion):
            return self._civitai_files(meaning, source)
        return []

    def wanted(self, source: Source, file: str = "") -> Wanted:
        """The file that is meant. file: its name, where there are several.

        Raises InvalidField listing them when it is not said which, DownloadFailed, Interrupted, Stopped.
        """
        meaning = source.meaning
        if isinstance(meaning, HubFiles):
            chosen = RemoteFile(meaning.path) if meaning.path else choose(self._hub_files(meaning), file, source.text)
            address = hub_address(meaning._replace(path=chosen.path), self._hosts)
            name = name_in_repository(meaning.repository, chosen.path)
            return Wanted(address, self._reach(address), self._hub_headers(source), name, chosen.size, chosen.sha256)
        if isinstance(meaning, CivitaiModel):
            meaning = self._newest(meaning, source)
        if isinstance(meaning, CivitaiVersion):
            return self._civitai_file(meaning, source, file)
        assert isinstance(meaning, PlainAddress)
        return Wanted(meaning.url, self._reach(meaning.url), self._headers(source, self._token))

    def _reach(self, url: str) -> Reach:
        private = names_private_host(urlsplit(url).hostname or "", self._rules.is_private)
        return Reach(private, self._rules.resolve, self._rules.is_private)

    def _hub_headers(self, source: Source) -> dict[str, str]:
        token = self._token or source.token
        return build_hf_headers(token=token or None, library_name="easel", library_version=__version__)

    def _hub_files(self, meaning: HubFiles) -> list[RemoteFile]:
        url = (
            f"{self._hosts.hub}/api/models/{meaning.repository}/revision/{quote(meaning.revision, safe='')}?blobs=true"
        )
        found = self._ask(url, self._hub_headers(Source("", meaning)))
        try:
            siblings = ModelInfo(**found).siblings or []
            files = [
                RemoteFile(
                    str(one.rfilename),
                    one.size if isinstance(one.size, int) else None,
                    _checksum(one.lfs.sha256 if one.lfs else ""),
                )
                for one in siblings
            ]
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise DownloadFailed(f"The list of files of {meaning.repository} cannot be read.") from error
        if not files:
            raise DownloadFailed(f"The repository {meaning.repository} is empty.")
        return files

    def _headers(self, source: Source, token: str) -> dict[str, str]:
        headers = {"User-Agent": f"easel/{__version__}"}
        if token or source.token:
            headers["Authorization"] = f"Bearer {token or source.token}"
        elif source.login:
            headers["Authorization"] = "Basic " + base64.b64encode(source.login.encode()).decode()
        return headers

    def _civitai_headers(self, source: Source) -> dict[str, str]:
        return self._headers(source, self._token or source.token or self._environ.get("CIVITAI_TOKEN", ""))

    def _newest(self, model: CivitaiModel, source: Source) -> CivitaiVersion:
        url = f"{self._hosts.civitai}/api/v1/models/{model.model}"
        versions = self._ask(url, self._civitai_headers(source)).get("modelVersions")
        first = versions[0] if isinstance(versions, list) and versions else None
        if not isinstance(first, dict) or not isinstance(first.get("id"), int):
            raise DownloadFailed(f"Civitai's model {model.model} has no published version.")
        return CivitaiVersion(str(first["id"]))

    def _civitai_files(self, version: CivitaiVersion, source: Source) -> list[RemoteFile]:
        url = f"{self._hosts.civitai}/api/v1/model-versions/{version.version}"
        told = self._ask(url, self._civitai_headers(source)).get("files")
        entries = [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
        entries.sort(key=lambda entry: entry.get("primary") is not True)
        return [_civitai_entry(entry) for entry in entries if isinstance(entry.get("name"), str)]

    def _civitai_file(self, version: CivitaiVersion, source: Source, file: str) -> Wanted:
        try:
            files = self._civitai_files(version, source)
        except DownloadFailed:
            if file:
                raise
            files = []  # versions that are not listed can still be downloaded, without a checksum
        chosen: RemoteFile | None
        if file:
            chosen = choose(files, file, source.text)
        elif version.query:
            asked = set(parse_qsl(version.query))
            chosen = next((one for one in files if set(parse_qsl(one.query)) == asked), None)
        else:
            chosen = files[0] if files else None
        query = version.query or (chosen.query if chosen else "")
        address = f"{self._hosts.civitai}/api/download/models/{version.version}{'?' if query else ''}{query}"
        return Wanted(
            address,
            self._reach(address),
            self._civitai_headers(source),
            chosen.path if chosen else "",
            sha256=chosen.sha256 if chosen else "",
        )

    def _ask(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        with self._fetcher.get(url, self._reach(url), self._stop, {**headers, "Accept-Encoding": "identity"}) as answer:
            text = answer.text()
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise DownloadFailed(f"{urlsplit(url).hostname} answers with something that is no list of files.")
        return found


def choose(files: Sequence[RemoteFile], wanted: str, where: str) -> RemoteFile:
    """The file with the wanted path or name; without a wish, the only one that can be a model.

    Raises InvalidField with the list.
    """
    if wanted:
        fitting = [file for file in files if file.path == wanted]
        fitting = fitting or [file for file in files if PurePosixPath(file.path).name == wanted]
        if len(fitting) == 1:
            return fitting[0]
        what = "several files" if fitting else "no file"
        raise InvalidField(f"{where} has {what} named '{wanted[:100]}'.", field="file", hint=_listing(files))
    candidates = models_in(files)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise InvalidField(
            f"{where} holds no model in a single file.",
            field="file",
            hint="Parts of a diffusers folder are of no use alone; look for the model's .safetensors file elsewhere.",
        )
    raise InvalidField(f"{where} holds {len(candidates)} models: say which.", field="file", hint=_listing(candidates))


def models_in(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """Files that can be models of their own; of two formats of the same name, the safe one."""
    paths = {file.path for file in files}
    found = [
        file
        for file in files
        if PurePosixPath(file.path).suffix.lower() in MODEL_ENDINGS
        and not _NO_WEIGHTS.search(file.path)
        and not ("model_index.json" in paths and "/" in file.path)
    ]
    safe = {str(PurePosixPath(file.path).with_suffix("")) for file in found if file.path.endswith(".safetensors")}
    return [
        file
        for file in found
        if file.path.endswith(".safetensors") or str(PurePosixPath(file.path).with_suffix("")) not in safe
    ]


def _listing(files: Sequence[RemoteFile]) -> str:
    words = [f"{file.path} ({file.size / 1e6:,.0f} MB)" if file.size else file.path for file in files[:_MOST_LISTED]]
    more = f" and {len(files) - _MOST_LISTED} more" if len(files) > _MOST_LISTED else ""
    return f"There are: {', '.join(words)}{more}." if files else ""


def _civitai_entry(entry: Mapping[str, Any]) -> RemoteFile:
    hashes, size, address = entry.get("hashes"), entry.get("sizeKB"), entry.get("downloadUrl")
    return RemoteFile(
        entry["name"],
        int(size * 1024) if isinstance(size, int | float) and 0 <= size < 2**50 else None,
        _checksum(hashes.get("SHA256") if isinstance(hashes, dict) else ""),
        urlsplit(address).query if isinstance(address, str) else "",
    )


def _checksum(text: Any) -> str:
    return text.lower() if isinstance(text, str) and _SHA256.fullmatch(text) else ""
