"""The form of a pipeline: everything wrong is said at its field, before anything is stored."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipelines import lifecycle
from pipelines.admin import servers
from pipelines.admin.editor import SqlEditor
from pipelines.admin.said import said
from pipelines.admin.theme import Textarea
from pipelines.definition import DATA_FIELDS, FIELDS, is_editable
from pipelines.models import Pipeline
from pipelines.validation import check_definition
from runner.preflight import Findings, Rejected

if TYPE_CHECKING:
    PipelineModelForm = forms.ModelForm[Pipeline]
else:
    PipelineModelForm = forms.ModelForm

_SHRINK = gettext_lazy("Give a whole number from 0 to 99, or none for no limit.")
_BATCH_SIZE = gettext_lazy("The batch size must be a whole number from 1 to 1,000,000.")


class Overtaken(Exception):
    """Somebody else stored the pipeline between the check of the form and its store."""


class PipelineForm(PipelineModelForm):
    """A definition. While a run is requested or active, what defines the data is locked.

    `findings` is what the servers said, None when they were not asked.
    """

    #: Who has the form before them.
    user: Any = None
    #: When the definition that this form shows was stored, to notice that another was meanwhile.
    version = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Pipeline
        fields = FIELDS
        widgets = {
            "description": Textarea({"rows": 2}),
            "source_query": SqlEditor({"rows": 14, "class": "etl-sql", "spellcheck": "false"}),
        }
        error_messages = {
            "name": {
                "required": gettext_lazy("Give the pipeline a name, like film_dim_full."),
                "unique": gettext_lazy("Another pipeline has this name. Choose another one."),
            },
            "source_query": {"required": gettext_lazy("Write the query: one SELECT.")},
            "target_table": {
                "required": gettext_lazy("Write the table as schema.table: analytics.film_dim.")
            },
            "max_shrink_percent": dict.fromkeys(("invalid", "min_value"), _SHRINK),
            "batch_size": dict.fromkeys(("required", "invalid", "min_value"), _BATCH_SIZE),
        }

    findings: Findings | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["version"].initial = self._stored_version()
        if not self.instance._state.adding:
            self._lock()

    def clean(self) -> dict[str, Any]:
        """Our own rules first; the servers are asked only about what passes them."""
        values = super().clean() or self.cleaned_data
        known = {name: values[name] for name in FIELDS if name in values}
        stored = None if self.instance._state.adding else self.instance
        self._add(check_definition(known, instance=stored))
        self._refuse_locked()
        self._refuse_outdated()
        if not self.errors and (stored is None or self._changed_data_fields()):
            self._ask_servers(known)
        return values

    # What cannot change now.

    def _is_locked(self) -> bool:
        return not self.instance._state.adding and not is_editable(self.instance.status)

    def _lock(self) -> None:
        """Disable what defines the data where it cannot change, and where a page that was shown
        while it could not sends nothing of it: that stays as it is stored.

        A page from before the run was asked sends all of it; its changes are refused with a
        sentence, and a disabled field would swallow them.
        """
        for name in DATA_FIELDS:
            is_sent = self.add_prefix(name) in self.data
            if name in self.fields and not is_sent and (self.is_bound or self._is_locked()):
                self.fields[name].disabled = True

    def _refuse_locked(self) -> None:
        if self._is_locked():
            sentence = lifecycle.refusal(self.instance.pk, "edit").sentence
            self._add({name: [sentence] for name in self._changed_data_fields()})

    def _changed_data_fields(self) -> list[str]:
        return [name for name in self.changed_data if name in DATA_FIELDS]

    # What somebody else changed.

    def _stored_version(self) -> str:
        return "" if self.instance._state.adding else self.instance.updated_at.isoformat()

    def _refuse_outdated(self) -> None:
        seen = self.cleaned_data.get("version")
        if seen and seen != self._stored_version():
            sentence = _(
                "Somebody changed this pipeline after you opened it, and nothing of yours is "
                "stored. Open it again and repeat your change."
            )
            self.add_error(None, sentence)

    # What the servers say.

    def _ask_servers(self, values: Mapping[str, Any]) -> None:
        try:
            self.findings = servers.inspect(values, by=self.user)
        except Rejected as rejected:
            told = {name: map(said, group) for name, group in rejected.errors.items()}
            self._add(told)

    def _add(self, errors: Mapping[str, Iterable[str]]) -> None:
        """At the field; where that has a message already, one is enough."""
        for name, sentences in errors.items():
            field = name if name in self.fields else None
            if field is None or field not in self.errors:
                self.add_error(field, list(sentences))
