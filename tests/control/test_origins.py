"""Which address counts as a client's, and by which way it came."""

import pytest
from django.test import RequestFactory

from pipelines import origins
from pipelines.choices import Via

PEER = "10.0.0.1"


def address(forwarded=None, peer=PEER):
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return origins.client_address(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (0, None, PEER),
        (0, "203.0.113.1", PEER),
        (1, None, PEER),
        (1, "203.0.113.1", "203.0.113.1"),
        (1, "1.1.1.1, 203.0.113.1", "203.0.113.1"),
        (2, "203.0.113.1", PEER),
        (2, "1.1.1.1, 203.0.113.1, 10.0.0.2", "203.0.113.1"),
        (1, "203.0.113.1:4711", "203.0.113.1"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "2001:DB8:0::1", "2001:db8::1"),
        (1, "::ffff:203.0.113.1", "203.0.113.1"),
        (1, "unknown", PEER),
        (1, "' OR 1=1 --", PEER),
        (1, "", PEER),
    ],
)
def test_as_many_proxies_are_trusted_as_there_are(settings, proxies, forwarded, found):
    settings.TRUSTED_PROXIES = proxies
    assert address(forwarded) == found


@pytest.mark.parametrize("peer", ["", "unix:"])
def test_a_socket_has_no_address(peer):
    assert address(peer=peer) is None


def test_outside_of_requests_it_is_the_command_line():
    assert origins.current() == origins.Origin(via=Via.COMMAND)


def test_a_request_is_forgotten_when_it_is_answered():
    seen = []
    middleware = origins.Origins(lambda _request: seen.append(origins.current()))
    middleware(RequestFactory().get("/admin/", REMOTE_ADDR=PEER))
    assert seen == [origins.Origin(via=Via.ADMIN, address=PEER)]
    assert origins.current().via == Via.COMMAND
