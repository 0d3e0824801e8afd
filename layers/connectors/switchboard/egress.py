"""Calls to URLs that partners have given us, safe against being turned on ourselves (SSRF).

`check_url` says whether a URL may be called at all, when it is saved and again before every call.
`egress_client` connects only to addresses that `resolve` has checked: the very address that was looked up and
found public is the one that is dialled, so a name that changes its mind in between gains nothing.

The list is our own: the `is_private` and `is_global` of `ipaddress` change between Python versions and let
dozens of special addresses through. Of IPv6 only 2000::/3 is routed at all, so that is where it starts:
mapped, NAT64 and unique local addresses are outside.
"""

import ipaddress
import os
import re
from urllib.parse import urlsplit

from switchboard.errors import FieldError, SwitchboardError
from switchboard.transport import resolve_host

PORTS = (443, 8443)
MAX_URL = 2000
LOCAL_STAGES = frozenset({"local", "test", "ci", "demo", "bench"})
"""As the template's rule has them: only there LocalStack may be true."""

_REFUSED_IPV4 = tuple(
    ipaddress.IPv4Network(cidr)
    for cidr in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback; on Lambda the runtime's own API
        "168.63.129.16/32",  # a cloud's metadata
        "169.254.0.0/16",  # link local, with the metadata service
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_ROUTED_IPV6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_IPV6 = tuple(
    ipaddress.IPv6Network(cidr)
    for cidr in (
        "2001::/23",  # special purposes, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: any IPv4 address may be inside
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_REFUSED_SUFFIXES = ("localhost", "local", "internal", "home", "lan", "localdomain", "arpa", "onion")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_LOCAL = re.compile(r"https?://127\.0\.0\.1:[1-9][0-9]{0,4}(?:[/?].*)?")
_LOCAL_HOST = "127.0.0.1"


class Refused(OSError):
    """A host with an address that nobody may be called at; as an OSError it fails the look-up."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's ordinary hosts."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _REFUSED_IPV4)
    if parsed.scope_id is not None or parsed not in _ROUTED_IPV6:
        return False
    return not any(parsed in network for network in _REFUSED_IPV6)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host; raises Refused when any one of them is not public, OSError for none."""
    if host == _LOCAL_HOST and _is_local_stack():
        return [host]
    addresses = resolve_host(host, port)
    if not all(is_public(address) for address in addresses):
        raise Refused("the host has an address that is not public")
    return addresses


def check_url(url: str) -> str:
    """The URL, when it may be called; raises `invalid` at `url`, with what is wrong.

    Only its form is looked at: whoever saves it calls `check_host` too, and every call resolves anew.
    """
    if reason := _fault(url):
        raise SwitchboardError("invalid", f"The URL cannot be called: {reason}.", fields=(_field(reason),))
    return url


def check_host(url: str) -> None:
    """Refuse a (checked) URL whose host has an address that is not public; raises `invalid` at `url`.

    A name that does not resolve now, or not within three seconds, passes: it may come to be, and it is
    looked up again before every call.
    """
    from concurrent.futures import ThreadPoolExecutor

    parts = urlsplit(url)
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        pool.submit(resolve, parts.hostname or "", parts.port or 443).result(timeout=3)
    except Refused as refused:
        reason = str(refused)
        raise SwitchboardError(
            "invalid", f"The URL cannot be called: {reason}.", fields=(_field(reason),)
        ) from None
    except (OSError, UnicodeError, TimeoutError):
        return
    finally:
        pool.shutdown(wait=False)


def _field(reason: str) -> FieldError:
    return FieldError("/url", reason)


def _is_local_stack() -> bool:
    return os.environ.get("LOCAL_STACK") == "true" and os.environ.get("STAGE") in LOCAL_STAGES


def _fault(url: str) -> str | None:
    """What is wrong with a URL's form; None when it may be called."""
    if len(url) > MAX_URL:
        return f"it has more than {MAX_URL} characters"
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        return "it has characters that need to be percent-encoded"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "it is no URL"
    if _is_local_stack() and _LOCAL.fullmatch(url) and "#" not in url:
        return None
    if parts.scheme != "https":
        return "it is not https"
    if "@" in parts.netloc:
        return "it carries a user name"
    if "#" in url:
        return "it has a fragment"
    if port is not None and port not in PORTS:
        return f"its port is none of {', '.join(map(str, PORTS))}"
    return _host_fault(host, parts.netloc)


def _host_fault(host: str, netloc: str) -> str | None:
    if netloc.startswith("["):
        return None if is_public(host) else "its address is not public"
    if re.fullmatch(r"[0-9.]+", host):
        # Strict: `ipaddress` takes four decimal numbers without leading zeros, the system takes 127.1 too.
        return None if is_public(host) else "its address is not public"
    if not _NAME.fullmatch(host):
        return "its host is no full domain name"
    if host.rpartition(".")[2] in _REFUSED_SUFFIXES:
        return "its host is not public"
    return None
