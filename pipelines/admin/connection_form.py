"""The form of a connection; the password goes in and never comes out."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipelines.admin.theme import PasswordInput
from pipelines.models import Connection
from pipelines.validation import check_connection, used_by_sentence

if TYPE_CHECKING:
    ConnectionModelForm = forms.ModelForm[Connection]
else:
    ConnectionModelForm = forms.ModelForm

FIELDS = (
    *("name", "host", "port", "dbname", "user", "sslmode"),
    *("password_source", "password_reference", "target_schemas"),
)
#: Only the built-in connection, which has no form, is stored without these.
_NEEDED = {"host", "dbname", "user"}


class ConnectionForm(ConnectionModelForm):
    """An address in fields of its own."""

    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        widget=PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Kept encrypted and never shown."),
    )

    class Meta:
        model = Connection
        fields = FIELDS
        error_messages = {
            "name": {
                "unique": gettext_lazy("Another connection has this name. Choose another one.")
            },
            "host": {"required": gettext_lazy("Give the server's host name or IP address.")},
            "dbname": {"required": gettext_lazy("Give the name of the database.")},
            "user": {"required": gettext_lazy("Give the role to sign in as.")},
            "port": dict.fromkeys(
                ("required", "invalid", "min_value"),
                gettext_lazy("The port must be a whole number from 1 to 65535, usually 5432."),
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _NEEDED & self.fields.keys():
            self.fields[name].required = True
        if self.instance.secret and "password" in self.fields:
            self.fields["password"].help_text = _(
                "Kept encrypted and never shown. Leave it empty to keep the stored password."
            )

    def clean(self) -> dict[str, Any]:
        """The rules of connections; a name in use stays, since checkpoints are kept for it."""
        values = super().clean() or self.cleaned_data
        known = {name: values[name] for name in FIELDS if name in values}
        if values.get("password"):  # left empty, the stored one stays
            known["password"] = values["password"]
        stored = None if self.instance._state.adding else self.instance
        for name, sentences in check_connection(known, instance=stored).items():
            if name not in self.errors:
                self.add_error(name, sentences)
        is_renamed = stored is not None and known.get("name", stored.name) != stored.name
        if is_renamed and (sentence := used_by_sentence(self.instance, _("rename it"))):
            self.add_error("name", sentence)
        return values
