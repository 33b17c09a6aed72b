"""What people and programs choose from: the enumerations behind the fields; no states here."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class SslMode(models.TextChoices):
    """How a session is encrypted, in libpq's own words."""

    DISABLE = "disable", _("disable: never encrypted")
    PREFER = "prefer", _("prefer: encrypted when the server offers it")
    REQUIRE = "require", _("require: encrypted, server not verified")
    VERIFY_CA = "verify-ca", _("verify-ca: encrypted, certificate authority verified")
    VERIFY_FULL = "verify-full", _("verify-full: encrypted, host name verified too")


class PasswordSource(models.TextChoices):
    """Where the password of a connection is kept."""

    STORED = "stored", _("stored: kept here, encrypted")
    ENVIRONMENT = "environment", _("environment: in a variable of the servers' environment")
    FILE = "file", _("file: in a file on the servers, as Docker and Kubernetes put it there")


class PipelineType(models.TextChoices):
    """What turns source rows into target rows."""

    SQL = "SQL", "SQL"
    PYTHON = "PYTHON", "PYTHON"


class Mode(models.TextChoices):
    """How much of the query's result a run moves."""

    FULL = "full", _("full: the table becomes the query's result")
    INCREMENTAL = "incremental", _("incremental: rows changed since the last run")


class Publish(models.TextChoices):
    """How a full load becomes visible."""

    AUTO = "auto", _("auto: swap where nothing depends on the table, else merge, else replace")
    SWAP = "swap", _("swap: a new table takes the old one's place")
    MERGE = "merge", _("merge: delete, update and insert only what differs (needs a key)")
    REPLACE = "replace", _("replace: delete all and insert all in one transaction")


class NullPolicy(models.TextChoices):
    """What to do with rows whose incremental key is NULL or infinite."""

    FAIL = "fail", _("fail: stop the run, say how many there are")
    INCLUDE = "include", _("include: move them again in every run")
    EXCLUDE = "exclude", _("exclude: leave them out")


class DeleteMissing(models.TextChoices):
    """What becomes of rows of an incremental target that the query no longer returns."""

    OFF = "off", _("off: they stay")
    SOFT = "soft", _("soft: they are marked in a column of the table")
    HARD = "hard", _("hard: they are deleted")


class Trigger(models.TextChoices):
    """What asked for a run."""

    ADMIN = "admin", _("Admin")
    API = "api", _("API")
    COMMAND = "command", _("Command line")
    RETRY = "retry", _("Retry")
    RESCUE = "rescue", _("Worker lost")
    HANDOVER = "handover", _("Worker stopped")


class RunKind(models.TextChoices):
    """What a run does to the target."""

    LOAD = "load", _("Load")
    REPAIR = "repair", _("Repair")


class ReconciliationLevel(models.TextChoices):
    """How closely source and target are compared."""

    COUNT = "count", _("count: how many rows each side has")
    CHECKSUM = "checksum", _("checksum: whether the rows are the same")
    ROWS = "rows", _("rows: which rows differ, and in which columns")


class ReconciliationStatus(models.TextChoices):
    """Where a comparison stands; OK and WARNING are what it found."""

    REQUESTED = "REQUESTED", _("Requested")
    RUNNING = "RUNNING", _("Comparing")
    OK = "OK", _("Equal")
    WARNING = "WARNING", _("Differs")
    FAILED = "FAILED", pgettext_lazy("comparison", "Failed")
    CANCELLED = "CANCELLED", pgettext_lazy("comparison", "Cancelled")


class AuditAction(models.TextChoices):
    """What people did, as the audit keeps it."""

    SIGN_IN = "sign_in", _("Signed in")
    SIGN_IN_FAILED = "sign_in_failed", _("Failed to sign in")
    SIGN_OUT = "sign_out", _("Signed out")
    LOCK_OUT = "lock_out", _("Locked out")
    UNLOCK = "unlock", _("Lock-out ended")
    RUN = "run", pgettext_lazy("audit", "Run")
    PAUSE = "pause", pgettext_lazy("audit", "Pause")
    CANCEL = "cancel", pgettext_lazy("audit", "Cancel")
    RESET = "reset", _("Checkpoint reset")
    RECONCILE = "reconcile", _("Compared")
    RECONCILE_CANCEL = "reconcile_cancel", _("Comparison cancelled")
    REPAIR = "repair", _("Repair")
    PREVIEW = "preview", _("Previewed")
    TEST = "test", _("Connection tested")
    CREATE = "create", pgettext_lazy("audit", "Created")
    EDIT = "edit", _("Edited")
    SECRET = "secret", _("Secret changed")
    DELETE = "delete", pgettext_lazy("audit", "Deleted")
    RIGHTS = "rights", _("User or group changed")
    PASSWORD = "password", _("Password changed")
    TOKEN_MADE = "token_made", _("API token made")
    TOKEN_REVOKED = "token_revoked", _("API token revoked")


class Via(models.TextChoices):
    """By which way somebody came to do it."""

    ADMIN = "admin", _("Admin")
    SESSION = "api_session", _("API, session")
    TOKEN = "api_token", _("API, token")
    BASIC = "api_basic", _("API, password")
    COMMAND = "command", _("Command line")
