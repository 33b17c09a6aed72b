"""Where people's connections may lead: rules for a host's name and for its addresses; no Django.

A name is resolved, every address of it is judged, and who connects uses exactly the addresses that
were judged: a name that means another machine a moment later (DNS rebinding) changes nothing.
"""

import re
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooSlow
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Thread

MAX_LENGTH = 255
#: What libpq tries one after the other; a name with more addresses is a farm of web servers.
MOST_ADDRESSES = 8
RESOLVE_SECONDS = 5.0


class Forbidden(ValueError):
    """A host that no connection may have: a sentence for a person, and what stands in it.

    The two are apart so that who shows it can translate the sentence.
    """

    def __init__(self, sentence: str, **facts: object) -> None:
        super().__init__(sentence % facts)
        self.sentence = sentence
        self.facts = facts


def check_name(host: str) -> None:
    """Raises Forbidden for what libpq would not take for one host on the network."""
    if not host.strip():
        raise Forbidden(_EMPTY)
    if host.startswith(("/", "@")):
        raise Forbidden(_SOCKET)
    if "," in host:
        raise Forbidden(_LIST)
    if re.search(r"\s", host):
        raise Forbidden(_SPACE)
    if len(host) > MAX_LENGTH:
        raise Forbidden(_TOO_LONG, most=MAX_LENGTH)
    if strange := re.search(r"[^\w.:%-]", host):
        shown = strange[0] if strange[0].isprintable() else f"U+{ord(strange[0]):04X}"
        raise Forbidden(_STRANGE, character=shown)
    try:
        host.encode("idna")  # as the resolver sees it, which turns alphabets into Punycode first
    except UnicodeError:
        raise Forbidden(_NO_NAME) from None


def check_addresses(host: str, addresses: Sequence[str]) -> None:
    """Raises Forbidden when one of the addresses of `host` is this machine or a service's own."""
    for address in addresses:
        for meant in _meanings(address):
            if sentence := _fault(meant):
                raise Forbidden(sentence, host=host[:80], address=address)


def is_this_machine(host: str) -> bool:
    """True when the host says so itself, nobody being asked."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def resolve(host: str, *, seconds: float = RESOLVE_SECONDS) -> tuple[str, ...]:
    """The addresses of `host`, as getaddrinfo understands it (127.1 and 0x7f.1 are addresses).

    Raises OSError when there are none or the answer takes longer, UnicodeError for no name at all.
    """
    asking: Future[tuple[str, ...]] = Future()
    # Nothing interrupts getaddrinfo, so it is left behind on a thread of its own.
    Thread(target=_resolve_into, args=(asking, host), name="resolve", daemon=True).start()
    try:
        return asking.result(timeout=seconds)
    except TooSlow:
        raise OSError("the name took too long to resolve") from None


def _resolve_into(asking: "Future[tuple[str, ...]]", host: str) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        asking.set_result(tuple(dict.fromkeys(str(row[4][0]) for row in found)))
    except BaseException as error:  # raised where it is waited for
        asking.set_exception(error)


def _meanings(address: str) -> Iterator[IPv4Address | IPv6Address]:
    """The address, and the IPv4 address that a gateway or the kernel may read in it."""
    found = ip_address(address)
    yield found
    if isinstance(found, IPv6Address):
        if any(found in network for network in _HOLDING_IPV4):
            yield IPv4Address(int(found) & 0xFFFFFFFF)
        if found.sixtofour is not None:
            yield found.sixtofour
        if found.teredo is not None:
            yield found.teredo[1]


def _fault(address: IPv4Address | IPv6Address) -> str | None:
    if address.is_loopback or address.is_unspecified or address in _THIS_NETWORK:
        return _THIS_MACHINE
    if address.is_link_local or address in _CLOUD_METADATA:
        return _SERVICES
    if address.is_multicast or (isinstance(address, IPv4Address) and address.is_reserved):
        return _NO_SERVER
    return None


def _(sentence: str) -> str:
    """Marks a sentence for the catalogue."""
    return sentence


#: 0.1.2.3 is this machine for some systems: https://www.rfc-editor.org/rfc/rfc6890
_THIS_NETWORK = ip_network("0.0.0.0/8")
#: Mapped, translated, compatible, and the two prefixes of NAT64: the last four bytes are IPv4.
_HOLDING_IPV4 = [
    ip_network(text)
    for text in ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48")
]
#: Where clouds tell a machine its credentials, outside of the link-local networks.
_CLOUD_METADATA = {
    ip_address(text)
    for text in (
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    )
}

_EMPTY = _("Give the server's host name or IP address.")
_SOCKET = _("A host cannot begin with “/” or “@”: sockets cannot be used.")
_LIST = _("Give one host, without commas.")
_SPACE = _("A host has no white space in it.")
_TOO_LONG = _("A host has at most %(most)d characters.")
_STRANGE = _("A host is a name or an IP address, alone: it has no “%(character)s” in it.")
_NO_NAME = _("No host can be called so: between its dots stand 1 to 63 characters.")
_THIS_MACHINE = _(
    "“%(host)s” leads to %(address)s, which is this machine itself. Connections may not lead "
    "there unless the setting CONNECTIONS_ALLOW_LOCAL is 1."
)
_SERVICES = _(
    "“%(host)s” leads to %(address)s, where a network or a cloud has services of its own. "
    "Connections may not lead there unless the setting CONNECTIONS_ALLOW_LOCAL is 1."
)
_NO_SERVER = _(
    "“%(host)s” leads to %(address)s, which is no server's address. Connections may not lead "
    "there unless the setting CONNECTIONS_ALLOW_LOCAL is 1."
)
METADATA = _(
    "This is the database of the pipelines' own tables, sessions and secrets. Connections may not "
    "lead there unless the setting CONNECTIONS_ALLOW_LOCAL is 1."
)
