"""What libpq is told about every session with people's servers, so that nothing else decides it.

libpq fills what it is not told from PG* variables, from a service file and from files in the home
directory: https://www.postgresql.org/docs/current/libpq-envars.html. Those belong to whoever runs
this machine, and are no part of anybody's connection.
"""

from psycopg import pq

#: Names a file that is not there, where an empty name would mean one in the home directory.
_NO_FILE = "/nonexistent/etl_admin"
_FIXED = {
    "options": "",
    # Neither a password, nor a certificate, nor a Kerberos ticket of this machine goes anywhere.
    "passfile": _NO_FILE,
    "sslcert": _NO_FILE,
    "sslkey": _NO_FILE,
    "sslpassword": "",
    "sslcertmode": "disable",
    "gssencmode": "disable",
    "gssdelegation": "0",
    "gsslib": "",
    "krbsrvname": "postgres",
    "require_auth": "!gss,!sspi",
    "requirepeer": "",
    "channel_binding": "prefer",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslsni": "1",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
    "client_encoding": "UTF8",
    # A peer that is gone without a word is noticed within minutes.
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
#: Authorities that this machine trusts, and how old a TLS it accepts: its operator's to say.
OPERATORS = {
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
}


def fixed() -> dict[str, str]:
    """The parameters that no connection changes, as far as this version of libpq knows them."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    return {name: value for name, value in _FIXED.items() if name in known}
