"""The soak stands on the ground of the fault tests."""

from tests.whole.faults.conftest import ground, servers

__all__ = ["ground", "servers"]
