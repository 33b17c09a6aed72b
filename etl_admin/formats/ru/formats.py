"""What of Django's formats for Russian is ours."""

#: Names the zone, since it is the reader's own and not the server's.
DATETIME_FORMAT = "Y-m-d H:i:s T"
