"""Addresses: where a download may lead, so that a public host never sends it into the private network.

Knows host names and addresses only. A private server is reached when the user's own address names one.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from app.schema.errors import DownloadFailed

# Names that nobody can register on the public net.
_PRIVATE_ENDINGS = (".local", ".lan", ".localdomain", ".internal", ".home.arpa", ".localhost")
# Reserved for benchmarks and used nowhere, save by proxies (Clash and its kin) as stand-ins for public addresses.
_STAND_INS = ipaddress.ip_network("198.18.0.0/15")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
_LENGTH_OF_IPV4 = 32

Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> Sequence[str]:
    """A host's addresses in the system's order. Raises OSError when there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_private(address: str) -> bool:
    """Whether an address is not of the public net: this machine, the local network, a provider's inner one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & (1 << _LENGTH_OF_IPV4) - 1)
        if inner is not None:
            found = inner
    if isinstance(found, ipaddress.IPv4Address) and found in _STAND_INS:
        return False
    return not found.is_global or found.is_multicast


@dataclass(frozen=True)
class Reach:
    """What one download may connect to. private: the user's own address named a private server."""

    private: bool
    resolve: Resolve = resolve
    is_private: Callable[[str], bool] = is_private

    def addresses(self, url: str) -> tuple[str, ...]:
        """Addresses to connect to, in order; none where a proxy or no rule makes the name itself good enough.

        Raises DownloadFailed for a private one, OSError when the name is not known.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if _is_link_local(host):
            raise _refused(host)
        if self.private:
            return ()
        if names_private_host(host, self.is_private):
            raise _refused(host)
        if is_proxied(url):
            return ()
        found = self.resolve(host, parts.port or (443 if parts.scheme == "https" else 80))
        public = tuple(address for address in found if not self.is_private(address))
        if not public:
            raise _refused(host)
        return public


def names_private_host(host: str, judge: Callable[[str], bool] = is_private) -> bool:
    """Whether a host, as written, is a private address or a name that only a private network knows."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        name = host.lower().rstrip(".")
        # Spellings like 2130706433 and 0x7f.1 are addresses to the system.
        return "." not in name or name.endswith(_PRIVATE_ENDINGS) or name.rpartition(".")[2][:1].isdigit()
    return judge(host)


def _is_link_local(host: str) -> bool:
    """Where clouds keep their machines' secrets; no file server is there."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_link_local
    except ValueError:
        return False


def is_proxied(url: str) -> bool:
    """Whether the environment sends this address through a proxy, which then looks up the name."""
    parts = urlsplit(url)
    proxies = getproxies()
    return (parts.scheme in proxies or "all" in proxies) and not proxy_bypass(parts.hostname or "")


def _refused(host: str) -> DownloadFailed:
    return DownloadFailed(
        f"The download leads to {host[:100]}, which is an address of a private network.",
        hint="If that server is yours, give its own address (a number, or a name such as nas.local) as the URL.",
    )
