"""Which names a request may call the server by, and which web pages may ask it anything.

A page of any site can send requests to this machine, and one whose name its owner lets point at this machine can read
the answers too (DNS rebinding). Both are seen by headers that a browser sets and no page can change: `Host`, the name
that stood in the address, and `Origin`, the page's site.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from scratchlm.serving.errors import ApiError

ANY = "*"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine to itself: no other machine can have them."""


def split_origin(text: str) -> SplitResult | None:
    """Return the parts of an origin, `https://host:port`, or None where it is none."""
    try:
        parts = urlsplit(text)
        alone = parts.port != 0 and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        return None
    return parts if parts.scheme and parts.hostname and alone else None


class Origins:
    """What is allowed: names of this server, and origins of pages, each with any port where it is this machine."""

    def __init__(self, host: str, allowed: Sequence[str] = ()) -> None:
        """`host` is the address that the server listens at, `allowed` are origins, or `*` for all."""
        self._any = ANY in allowed
        self._origins = frozenset(each.lower() for each in allowed)
        parts = [split_origin(each) for each in self._origins]
        names = {each.hostname for each in parts if each is not None and each.hostname is not None}
        self._hosts = LOOPBACK | names | {host.lower()}
        self._open = not _is_loopback(host)
        if self._open:  # other machines reach it, by an address or by this machine's name
            own = socket.gethostname().lower()
            self._hosts |= {own, f"{own}.local"}

    def require_allowed(self, host: str, origin: str) -> None:
        """Check the two headers of a request, empty where there is none. Raises `ApiError` with status 403."""
        if self._any:
            return
        own = split_origin(f"http://{host}")
        if host and not (own is not None and self._is_own(own)):
            raise _refused("Host", host, "is no name of this server", f"http://{host}")
        if origin:
            parts = split_origin(origin)
            is_own = parts is not None and parts.scheme in ("http", "https") and self._is_page_of(parts, own)
            if not is_own and origin.lower() not in self._origins:
                raise _refused("Origin", origin, "is another site's", origin)

    def _is_own(self, parts: SplitResult) -> bool:
        """Return whether a name is one of this server: an address, which no site can own, is one if others may come."""
        name = parts.hostname or ""
        return name in self._hosts or (self._open and _is_address(name))

    def _is_page_of(self, parts: SplitResult, own: SplitResult | None) -> bool:
        """Return whether a page comes from this server or from this machine."""
        return parts.hostname in LOOPBACK or (own is not None and parts.netloc.lower() == own.netloc.lower())


def _refused(header: str, value: str, problem: str, origin: str) -> ApiError:
    remedy = f"if you trust it, start the server with --allow-origin {origin[:100]}"
    if split_origin(origin) is None:  # as of a page that was opened as a file
        remedy = "open the page from a server, or allow every page by --allow-origin '*'"
    return ApiError(403, f"{header} {value[:100]!r}: {problem}; {remedy}", "origin_not_allowed")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
