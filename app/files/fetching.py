"""Fetching: one HTTP GET that trusts no server: redirects, time limits and tokens are kept in hand.

Follows redirects itself, so that each hop is judged; knows nothing of files. Import it late: httpx2 takes 0.1 s.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from app.files.addresses import Reach, is_proxied
from app.files.patience import Interrupted, Patience, Stop, Stopped
from app.schema.errors import DownloadFailed

MOST_REDIRECTS = 10
LARGEST_TEXT = 16_000_000
_REDIRECTS = (301, 302, 303, 307, 308)
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524)


@dataclass
class Answer:
    """A server's answer. url: after redirects. met: headers of the hops before, the first one's foremost."""

    status: int
    url: str
    headers: httpx2.Headers
    met: Mapping[str, str]
    chunks: Callable[[], Iterator[bytes]] = field(repr=False)

    def text(self, most: int = LARGEST_TEXT) -> bytes:
        """The body. Raises DownloadFailed when it is larger than `most` bytes."""
        body = b""
        for chunk in self.chunks():
            body += chunk
            if len(body) > most:
                raise DownloadFailed(f"{_host(self.url)} answers with more than {most:,} bytes where a list belongs.")
        return body


@dataclass(frozen=True)
class Fetcher:
    """Sends requests under one set of limits. trust: the certificates of the system, or of SSL_CERT_FILE."""

    patience: Patience = field(default_factory=Patience)
    trust: ssl.SSLContext = field(default_factory=httpx2.create_ssl_context, repr=False)

    @contextmanager
    def get(self, url: str, reach: Reach, stop: Stop, headers: Mapping[str, str]) -> Iterator[Answer]:
        """The answer to a GET with status 200, 206 or 416; Authorization goes to the first host alone.

        Raises DownloadFailed for what is final, Interrupted for what may pass, Stopped.
        """
        limits = httpx2.Timeout(self.patience.silence, connect=self.patience.connect)
        first, met = url, dict[str, str]()
        for _ in range(MOST_REDIRECTS + 1):
            _check_scheme(url)
            sent = headers if _same_origin(first, url) else _without_secrets(headers)
            with self._client(limits, by_proxy=is_proxied(url)) as client:
                response = self._send(client, url, reach, stop, sent)
                try:
                    if response.status_code not in _REDIRECTS or "location" not in response.headers:
                        chunks = self._chunks(response, stop, url)
                        answer = Answer(response.status_code, url, response.headers, met, chunks)
                        if answer.status not in (200, 206, 416):
                            raise _refusal(answer, "authorization" in {name.lower() for name in headers})
                        yield answer
                        return
                    for name, value in response.headers.items():
                        met.setdefault(name.lower(), value)
                    url = _next(url, response.headers["location"])
                finally:
                    response.close()
        raise DownloadFailed(f"{_host(first)} redirects more than {MOST_REDIRECTS} times.")

    def _client(self, limits: httpx2.Timeout, by_proxy: bool) -> httpx2.Client:
        try:
            return httpx2.Client(timeout=limits, trust_env=by_proxy, verify=self.trust)
        except (ImportError, ValueError) as error:
            raise DownloadFailed(
                f"The proxy of the environment cannot be used ({error}).",
                hint="Set HTTPS_PROXY and HTTP_PROXY to the http:// address of your proxy, and unset ALL_PROXY.",
            ) from error

    def _send(
        self, client: httpx2.Client, url: str, reach: Reach, stop: Stop, headers: Mapping[str, str]
    ) -> httpx2.Response:
        problem: Exception = OSError("no address")
        try:
            addresses = reach.addresses(url)
        except OSError as error:
            raise Interrupted(f"the name {_host(url)} cannot be looked up ({error.strerror or error})") from error
        for address in addresses or ("",):
            if stop.asked:
                raise Stopped
            # To the address that was judged: a second look-up might give another one.
            request = client.build_request("GET", _at(url, address), headers={**headers, "Host": _authority(url)})
            request.extensions["trace"] = stop.watch
            if address:
                request.extensions["sni_hostname"] = urlsplit(url).hostname
            late = threading.Event()

            def end_it(late: threading.Event = late) -> None:
                late.set()
                stop.cut()

            deadline = threading.Timer(self.patience.answer, end_it)
            deadline.daemon = True
            deadline.start()
            try:
                return client.send(request, stream=True, follow_redirects=False)
            except httpx2.ConnectError as error:
                problem = error
            except (httpx2.HTTPError, OSError, ValueError) as error:
                if late.is_set() and not stop.asked:
                    reason = f"{_host(url)} did not answer within {self.patience.answer:g} seconds"
                    raise Interrupted(reason) from error
                raise _interrupted(error, stop, url) from error
            finally:
                deadline.cancel()
        raise _interrupted(problem, stop, url) from problem

    def _chunks(self, response: httpx2.Response, stop: Stop, url: str) -> Callable[[], Iterator[bytes]]:
        def chunks() -> Iterator[bytes]:
            try:
                for chunk in response.iter_raw():
                    if stop.asked:
                        raise Stopped
                    yield chunk
            except (httpx2.HTTPError, OSError, ValueError) as error:
                raise _interrupted(error, stop, url) from error
            if stop.asked:
                raise Stopped

        return chunks


def _interrupted(error: Exception, stop: Stop, url: str) -> Exception:
    if stop.asked:
        return Stopped()
    words = str(error) or type(error).__name__
    return Interrupted(f"the connection to {_host(url)} broke off ({words[:200]})")


def _check_scheme(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadFailed(f"The download leads to '{url[:100]}', which is no address on the web.")


def _next(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        _ = parts.port
    except ValueError as error:
        raise DownloadFailed(f"{_host(url)} redirects to '{location[:100]}', which is no address.") from error
    if urlsplit(url).scheme == "https" and parts.scheme == "http":
        raise DownloadFailed(
            f"{_host(url)} redirects from an encrypted address to the unencrypted {_host(target)}.",
            hint="Give that address itself if you trust it.",
        )
    if parts.path.rstrip("/").endswith("/login"):
        raise login_needed(_host(url))
    return target


def login_needed(host: str) -> DownloadFailed:
    """The error for a page that asks for a login where a file was wanted."""
    return DownloadFailed(
        f"{host} answers with a page, perhaps for logging in, instead of a file.",
        hint="Give a token of your account (--token, HF_TOKEN or CIVITAI_TOKEN), or the address of the file itself.",
    )


def _same_origin(first: str, url: str) -> bool:
    one, other = urlsplit(first), urlsplit(url)
    return (one.scheme, one.hostname, one.port) == (other.scheme, other.hostname, other.port)


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in ("authorization", "cookie")}


def _at(url: str, address: str) -> str:
    """The URL with its host written as an address."""
    parts = urlsplit(url)
    if not address:
        return url
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host).geturl()


def _authority(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _host(url: str) -> str:
    return (urlsplit(url).hostname or url)[:100]


def _refusal(answer: Answer, token_given: bool) -> Exception:
    """A status that brings no file, as the error that says what to do."""
    status, host = answer.status, _host(answer.url)
    said = _said(answer)
    words = f" It says: {said}" if said else ""
    if status == 401 and not token_given:
        text = f"{host} asks for a login (status 401).{words}"
        return DownloadFailed(text, hint="Give a token of your account: --token, HF_TOKEN or CIVITAI_TOKEN.")
    if status in (401, 403):
        code = answer.headers.get("x-error-code", "")
        text = f"{host} refuses the file (status {status}).{words}"
        if code == "GatedRepo" or status == 403:
            hint = "Open its page in a browser, log in and accept its licence; then give a token of that account."
        else:
            hint = "The token is not valid there, or may not read this file."
        return DownloadFailed(text, hint=hint)
    if status in (404, 410):
        text = f"{host} has no such file (status {status}).{words}"
        return DownloadFailed(text, hint="Check the address; a private repository also needs a token.")
    if status in _TRY_AGAIN:
        reason = "asks for fewer requests" if status == 429 else "has trouble"
        return Interrupted(f"{host} {reason} (status {status}).{words}", _retry_after(answer.headers))
    return DownloadFailed(f"{host} answers with status {status} instead of a file.{words}")


def _said(answer: Answer) -> str:
    """The server's own words, from a header or a JSON text; "" for none."""
    said: Any = answer.headers.get("x-error-message", "")
    if not said and "json" in answer.headers.get("content-type", ""):
        with suppress(Interrupted, DownloadFailed, ValueError, RecursionError):
            found = json.loads(answer.text(100_000))
            said = (found.get("message") or found.get("error")) if isinstance(found, dict) else ""
    return " ".join(said.split())[:200] if isinstance(said, str) else ""


def _retry_after(headers: httpx2.Headers) -> float:
    said = headers.get("retry-after", "")
    return min(float(said), 86_400.0) if said.isdecimal() else 0.0
