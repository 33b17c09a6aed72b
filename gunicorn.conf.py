"""How gunicorn serves this project; it reads this file when started beside it."""

from typing import Any

bind = "127.0.0.1:8000"
worker_class = "gthread"
workers = 2
threads = 8
# Nothing here is steered through a socket in somebody's home folder.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Refuse to serve plain HTTP to a network."""
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_admin.settings")
    from etl_admin.bind import host_of, refuse_open_bind

    for address in server.cfg.bind:
        refuse_open_bind(host_of(address))
