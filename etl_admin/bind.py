"""Refusing to serve plain HTTP to a network: passwords and tokens would travel in clear."""

from ipaddress import ip_address

from django.conf import settings


def refuse_open_bind(host: str) -> None:
    """Raises SystemExit, with a sentence, for a bind that others reach without TLS.

    `host` is the host part of an address to listen on; an empty one means every interface.
    """
    if settings.ALLOW_HTTP or settings.PUBLIC_URL.startswith("https:") or _is_loopback(host):
        return
    raise SystemExit(
        f"Listening on “{host or '0.0.0.0'}” would serve plain HTTP to the network. "  # noqa: S104 (refused here)
        "Set PUBLIC_URL to the https address of the proxy in front, or ALLOW_HTTP=1 if nobody "
        "else can reach it."
    )


def host_of(bind: str) -> str:
    """The host of gunicorn's `host:port`, `[v6]:port` or `unix:path` (which counts as local)."""
    if bind.startswith(("unix:", "fd://")):
        return "localhost"
    return bind.rsplit(":", 1)[0].strip("[]")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
