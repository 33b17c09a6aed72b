"""How often a user may ask for what costs servers something; the numbers are settings.

Counted in the database, so that all processes count together, in windows of a minute: around the
end of one a user can ask twice as often. What is limited is the verb, wherever it is asked.
"""

import math
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils.translation import ngettext

WINDOW_SECONDS = 60

#: The setting that limits a verb, most of them of `permissions.VERBS`.
LIMITS = {
    "run": "LIMIT_RUN",
    "reconcile": "LIMIT_RECONCILE",
    "preview": "LIMIT_PREVIEW",
    "test connection": "LIMIT_TEST",
    "pause": "LIMIT_RUN",
    "cancel": "LIMIT_RUN",
    "reset": "LIMIT_RUN",
    "cancel reconciliation": "LIMIT_RUN",
    # Verbs of no permission: what storing a definition asks of the servers, and one's own tokens.
    "check": "LIMIT_CHECK",
    "make token": "LIMIT_TOKENS",
}

# One statement, so that two requests cannot both be the last. The clock's time, not that of the
# transaction, which may have begun long ago. No row comes back: the window is used up.
_SPEND = """
INSERT INTO pipelines_usage AS used (user_id, verb, since, count)
VALUES (%(user)s, %(verb)s, clock_timestamp(), 1)
ON CONFLICT (user_id, verb) DO UPDATE SET
    since = CASE WHEN used.since > excluded.since - %(window)s * interval '1 second'
            THEN used.since ELSE excluded.since END,
    count = CASE WHEN used.since > excluded.since - %(window)s * interval '1 second'
            THEN used.count + 1 ELSE 1 END
WHERE used.count < %(limit)s OR used.since <= excluded.since - %(window)s * interval '1 second'
RETURNING count
"""
_LEFT = """
SELECT EXTRACT(EPOCH FROM since - clock_timestamp()) + %(window)s
FROM pipelines_usage WHERE user_id = %(user)s AND verb = %(verb)s
"""


class LimitReached(Exception):
    """Asked too often; `sentence` is for people, `wait` in seconds."""

    def __init__(self, limit: int, wait: int) -> None:
        self.sentence = ngettext(
            "This can be asked %(count)d time in a minute. Wait a moment, then ask again.",
            "This can be asked %(count)d times in a minute. Wait a moment, then ask again.",
            limit,
        ) % {"count": limit}
        super().__init__(self.sentence)
        self.wait = wait


def spend(user: Any, verb: str) -> None:
    """Count that the user asks for the verb now. Raises LimitReached; other verbs are free."""
    limit = getattr(settings, LIMITS[verb]) if verb in LIMITS else 0
    if not limit:
        return
    facts = {"user": user.pk, "verb": verb, "limit": limit, "window": WINDOW_SECONDS}
    with connection.cursor() as cursor:
        cursor.execute(_SPEND, facts)
        if cursor.fetchone() is None:
            cursor.execute(_LEFT, facts)
            row = cursor.fetchone()
            left = math.ceil(row[0]) if row else 0
            raise LimitReached(limit, min(max(left, 1), WINDOW_SECONDS))
