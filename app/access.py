"""Access: who asks, what is theirs, and which requests page and API never get to see.

Knows logins, sessions, hosts and origins; nothing of jobs. One middleware stands in front of everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.schema.errors import EaselError, Forbidden, NotAllowed

SESSION_COOKIE = "easel-session"
_SESSION = re.compile(r"[A-Za-z0-9_-]{20,64}")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CHANGES_NOTHING = frozenset({"same-origin", "same-site", "none", ""})
# Endings that nobody can register on the public net, so that no foreign page can hide behind them.
_PRIVATE_ENDINGS = (".local", ".lan", ".localdomain", ".internal", ".home.arpa", ".localhost")


class Caller(NamedTuple):
    """Who asks. owner: whose jobs are made and listed. user: the login's name, None without one.

    sees_all: the only person at this machine, for whom every job is their own. admin: may change the machine itself
    (download models): that person, else the first of the logins; nobody on a shared server without logins.
    """

    owner: str
    user: str | None
    sees_all: bool
    admin: bool = False

    @property
    def scope(self) -> str | None:
        """What narrows questions about jobs: the owner, or None for one who sees all."""
        return None if self.sees_all else self.owner

    def require_admin(self) -> None:
        """Raises Forbidden for everybody but the administrator."""
        if not self.admin:
            raise Forbidden(
                "Only the administrator of this server may do that.",
                hint="That is the first login of --gradio-auth; without logins, whoever sits at this machine alone.",
            )


@dataclass(frozen=True)
class Access:
    """The rules of one server.

    page_logins, api_logins: user -> password; --gradio-auth and --api-auth. page_served: False under --nowebui.
    personal: reachable from this machine alone; without logins everyone is then the same person. hosts: names under
    which the server may be asked, patterns with * allowed, beside addresses and names of this machine. origins: other
    pages that may call the API.
    """

    page_logins: Mapping[str, str] = field(default_factory=dict)
    api_logins: Mapping[str, str] = field(default_factory=dict)
    page_served: bool = True
    personal: bool = True
    hosts: Collection[str] = ()
    origins: Collection[str] = ()

    def caller(self, connection: HTTPConnection) -> Caller:
        """Who asks, for a request that `check` has let pass."""
        user = self._user(connection.headers)
        if user is not None:
            administrator = next(iter(self.page_logins or self.api_logins), None)
            return Caller(f"user:{user}", user, False, user == administrator)
        sees_all = self.personal and not self.page_logins and not self.api_logins
        session = session_of(connection.headers)
        if session is not None:
            return Caller("browser:" + hashlib.sha256(session.encode()).hexdigest()[:16], None, sees_all, sees_all)
        address = connection.client.host if connection.client else ""
        return Caller("local" if _is_loopback(address) else f"address:{address}", None, sees_all, sees_all)

    def require_confirmed(self, connection: HTTPConnection, password: str) -> None:
        """Raises Forbidden unless the caller proves again who they are: with the login's password, or, where there are
        no logins, by asking from this very machine."""
        caller = self.caller(connection)
        if caller.user is not None:
            logins = (self.page_logins, self.api_logins)
            known = [one[caller.user] for one in logins if caller.user in one]
            if not any(hmac.compare_digest(one.encode(), password.encode()) for one in known):
                raise Forbidden("That is not the password of your login.", field="password")
        elif not (self.personal and connection.client and _is_loopback(connection.client.host)):
            raise Forbidden(
                "Without logins this can only be done at the machine itself.",
                hint="Open the page there under http://127.0.0.1, or start the server with --gradio-auth.",
            )

    def check(self, connection: HTTPConnection, method: str) -> None:
        """Raises NotAllowed for a missing or wrong login, Forbidden for what another web page may have caused."""
        headers = connection.headers
        if self._needs_login(connection.url.path):
            if self._user(headers) is None:
                raise NotAllowed("This server asks for a login.", hint="Send user and password by HTTP Basic.")
        elif not self._host_is_ours(headers.get("host", "")):
            name = headers.get("host", "")[:100]
            raise Forbidden(
                f"The server was asked under the name '{name}', which it does not know.",
                hint=f"If that is right, start it with --cors-allow-origins http://{name}.",
            )
        if method not in _SAFE_METHODS and not self._origin_is_ours(headers):
            raise Forbidden(
                f"The page at {headers.get('origin', 'another site')[:100]} may not change anything here.",
                hint="Allow it with --cors-allow-origins if it is yours.",
            )

    def _needs_login(self, path: str) -> bool:
        if path.startswith("/sdapi/"):
            return bool(self.api_logins or self.page_logins)
        return bool(self.page_logins) or (bool(self.api_logins) and not self.page_served)

    def _user(self, headers: Headers) -> str | None:
        found = _basic_login(headers.get("authorization", ""))
        if found is None:
            return None
        user, password = found
        known = False
        for logins in (self.page_logins, self.api_logins):
            # Compared also for unknown users, so that the time tells nothing.
            known |= hmac.compare_digest(logins.get(user, secrets.token_hex()).encode(), password.encode())
        return user if known else None

    def _host_is_ours(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if _is_address(name) or "." not in name or name.endswith(_PRIVATE_ENDINGS):
            return True
        own = {socket.gethostname().lower(), *(urlsplit(origin).hostname for origin in self.origins)}
        return name in own or any(fnmatch(name, pattern.lower()) for pattern in self.hosts)

    def _origin_is_ours(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:
            # Programs send neither header; a browser sends one of them with everything that could do harm.
            return headers.get("sec-fetch-site", "") in _CHANGES_NOTHING
        host = urlsplit(origin).netloc
        return origin in self.origins or (host != "" and host in (headers.get("host"), headers.get("x-forwarded-host")))


class AccessMiddleware:
    """Puts the rules before an app: turns requests away, names the caller in `request.state.caller`, and gives each
    browser a session cookie with the first page it loads."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            self._access.check(connection, scope.get("method", "POST"))
        except EaselError as error:
            await _refuse(error, scope, receive, send)
            return
        fresh = None
        if _loads_a_page(scope, connection.headers) and session_of(connection.headers) is None:
            fresh = secrets.token_urlsafe(24)
            scope["headers"] = [*scope["headers"], (b"cookie", f"{SESSION_COOKIE}={fresh}".encode())]
            connection = HTTPConnection(scope)
        scope.setdefault("state", {})["caller"] = self._access.caller(connection)

        async def send_with_cookie(message: Message) -> None:
            if fresh is not None and message["type"] == "http.response.start":
                # Lax, not Strict: a link from elsewhere must find the session that is there.
                cookie = f"{SESSION_COOKIE}={fresh}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def guard(app: Starlette, access: Access) -> None:
    """Puts the rules before an app; pages of the allowed origins get their CORS answers ahead of them."""
    app.add_middleware(AccessMiddleware, access=access)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(access.origins),
            allow_methods=["*"],
            allow_headers=["*"],
            allow_credentials=True,
        )


def caller_of(connection: HTTPConnection) -> Caller:
    """The caller that the middleware found; as a FastAPI dependency and for Gradio's requests alike."""
    caller: Caller = connection.state.caller
    return caller


def session_of(headers: Headers) -> str | None:
    """The browser's session, None for one without."""
    cookies: SimpleCookie = SimpleCookie()
    for header in headers.getlist("cookie"):
        try:
            cookies.load(header)
        except CookieError:
            continue
    found = cookies.get(SESSION_COOKIE)
    return found.value if found is not None and _SESSION.fullmatch(found.value) else None


def error_body(error: EaselError) -> dict[str, Any]:
    """What our own API answers for an error."""
    return {
        "error": {"code": error.code, "message": error.message, "field": error.field, "hint": error.hint},
    }


def a1111_error_body(error: EaselError) -> dict[str, Any]:
    """What /sdapi/v1 answers: A1111's four keys, then our own."""
    return {
        "error": type(error).__name__,
        "detail": str(error),
        "body": "",
        "errors": error.message,
        "code": error.code,
        "field": error.field,
        "hint": error.hint,
    }


def body_for(path: str, error: EaselError) -> dict[str, Any]:
    """The error's body in the shape that belongs to the path."""
    return a1111_error_body(error) if path.startswith("/sdapi/") else error_body(error)


async def _refuse(error: EaselError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
        return
    body = json.dumps(body_for(scope["path"], error)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if isinstance(error, NotAllowed):
        headers.append((b"www-authenticate", b'Basic realm="Easel", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _loads_a_page(scope: Scope, headers: Headers) -> bool:
    return scope.get("method") == "GET" and "text/html" in headers.get("accept", "")


def _basic_login(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
