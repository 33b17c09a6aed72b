"""This installation's identity, and the databases that pipelines read from or write to."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from simple_history.models import HistoricalRecords

from pipelines import references, secrets
from pipelines.choices import PasswordSource, SslMode

DEFAULT_CONNECTION = "default"
CONNECTION_NAME = r"[a-z0-9_-]{1,63}"


def default_schemas() -> list[str]:
    """The allow-list that a new connection starts with."""
    return ["analytics"]


class Installation(models.Model):
    """This installation's identity, one row; targets remember it, so a clone cannot pass as us."""

    id = models.SmallAutoField(primary_key=True)
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # The server and database this row is known to live in; empty until it is first asked.
    system_identifier = models.CharField(max_length=20, blank=True, editable=False)
    database_oid = models.BigIntegerField(null=True, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="installation_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return str(self.uid)

    @classmethod
    def identity(cls) -> uuid.UUID:
        """The uid of this installation, made at the first call."""
        return cls.objects.get_or_create(id=1)[0].uid


class Connection(models.Model):
    """A PostgreSQL database that pipelines read from or write to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        _("name"),
        max_length=63,
        unique=True,
        validators=[
            RegexValidator(
                rf"^{CONNECTION_NAME}\Z",
                _("Use 1 to 63 lower-case letters, digits, hyphens and underscores."),
            )
        ],
        help_text=_("Lower-case letters, digits, hyphens and underscores; pipelines refer to it."),
    )
    host = models.CharField(
        _("host"), max_length=255, blank=True, help_text=_("Host name or IP address, one only.")
    )
    port = models.PositiveIntegerField(
        _("port"),
        default=5432,
        validators=[MinValueValidator(1), MaxValueValidator(65535)],
        help_text=_("PostgreSQL's port, usually 5432."),
    )
    dbname = models.CharField(
        _("database"), max_length=63, blank=True, help_text=_("Name of the database.")
    )
    user = models.CharField(
        _("user"),
        max_length=63,
        blank=True,
        help_text=_("The role to sign in as. For a source, a role that may only SELECT is best."),
    )
    password_source = models.CharField(
        _("password from"),
        max_length=16,
        choices=PasswordSource,
        default=PasswordSource.STORED,
        help_text=_("Type the password below, or name where the servers find it."),
    )
    password_reference = models.CharField(
        _("variable or file"),
        max_length=255,
        blank=True,
        help_text=_(
            "Only for a password from the environment or a file: the variable's name, or the "
            "file's in SECRET_FILES_DIR."
        ),
    )
    secret = models.TextField(blank=True, editable=False)
    sslmode = models.CharField(
        _("TLS"),
        max_length=16,
        choices=SslMode,
        default=SslMode.REQUIRE,
        help_text=_("Use verify-full when the server's certificate can be verified."),
    )
    target_schemas = ArrayField(
        models.CharField(max_length=63),
        verbose_name=_("target schemas"),
        default=default_schemas,
        blank=True,
        help_text=_(
            "Schemas that pipelines may write to, separated by commas. "
            "Empty: this connection is never a target."
        ),
    )
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated"), db_default=Now(), editable=False)

    # Who changed it, written by `changes`; the secret is not kept, encrypted or not.
    history = HistoricalRecords(
        excluded_fields=["secret", "created_at", "updated_at"],
        verbose_name=_("kept connection"),
        verbose_name_plural=_("kept connections"),
    )

    class Meta:
        ordering = ["name"]
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        permissions = [("test_connection", _("Can test connection"))]
        constraints = [
            models.CheckConstraint(
                name="connection_name_form", condition=Q(name__regex=rf"^{CONNECTION_NAME}$")
            ),
            # The built-in row's address is never stored, so it cannot go stale or leak.
            models.CheckConstraint(
                name="connection_address_unless_built_in",
                condition=Q(name=DEFAULT_CONNECTION, host="", secret="")
                | ~Q(name=DEFAULT_CONNECTION) & ~Q(host="") & ~Q(dbname="") & ~Q(user=""),
            ),
            # One place for the password, never two of which one is forgotten.
            models.CheckConstraint(
                name="connection_password_in_one_place",
                condition=Q(password_source=PasswordSource.STORED, password_reference="")
                | Q(
                    password_source__in=[PasswordSource.ENVIRONMENT, PasswordSource.FILE],
                    secret="",
                )
                & ~Q(password_reference=""),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_built_in(self) -> bool:
        """True for `default`, whose address comes from WAREHOUSE_URL."""
        return self.name == DEFAULT_CONNECTION

    @property
    def has_password(self) -> bool:
        """True when a password is kept, here or where it is referred to."""
        return bool(self.secret or self.password_reference)

    @sensitive_variables()
    def set_password(self, plain: str) -> None:
        """Keep the password encrypted; nothing is saved yet."""
        self.secret = secrets.encrypt(plain)

    @sensitive_variables()
    def reveal_password(self) -> str:
        """The plain password, for opening a session. Raises secrets.Unreadable."""
        if self.password_source == PasswordSource.STORED:
            return secrets.decrypt(self.secret)
        return references.read(self.password_source, self.password_reference)
