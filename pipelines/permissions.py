"""The one table of who may do what: groups, their permissions, and the permission of each verb.

API and admin both ask here; the migration makes the groups from it.
"""

from typing import Any

from django.contrib.auth.models import Permission
from django.db.models import Q

VIEWER = "viewer"
OPERATOR = "operator"
EDITOR = "editor"
ADMINISTRATOR = "administrator"

#: The permission each verb of the API and the admin asks for.
VERBS: dict[str, str] = {
    "view": "pipelines.view_pipeline",
    "create": "pipelines.add_pipeline",
    "edit": "pipelines.change_pipeline",
    "delete": "pipelines.delete_pipeline",
    "run": "pipelines.run_pipeline",
    "pause": "pipelines.pause_pipeline",
    "cancel": "pipelines.cancel_pipeline",
    "reconcile": "pipelines.reconcile_pipeline",
    "view reconciliations": "pipelines.view_reconciliation",
    "cancel reconciliation": "pipelines.reconcile_pipeline",
    "preview": "pipelines.preview_pipeline",
    "reset": "pipelines.reset_pipeline",
    "view runs": "pipelines.view_pipelinerun",
    "view connection": "pipelines.view_connection",
    "create connection": "pipelines.add_connection",
    "edit connection": "pipelines.change_connection",
    "delete connection": "pipelines.delete_connection",
    "test connection": "pipelines.test_connection",
    "view audit": "pipelines.view_auditrecord",
    # Whoever manages users sees and ends their lock-outs, and revokes their tokens.
    "end lock-out": "auth.change_user",
    "revoke tokens": "auth.change_user",
}

_VIEW = {
    "pipelines.view_pipeline",
    "pipelines.view_pipelinestate",
    "pipelines.view_pipelinerun",
    "pipelines.view_runevent",
    "pipelines.view_reconciliation",
    "pipelines.view_worker",
    "pipelines.view_connection",
}
_OPERATE = _VIEW | {VERBS[verb] for verb in ("run", "pause", "cancel", "reconcile")}
_EDIT = _OPERATE | {VERBS[verb] for verb in ("create", "edit", "preview", "test connection")}
_ADMINISTER = (
    _EDIT
    | {VERBS[verb] for verb in ("delete", "reset", "view audit")}
    | {VERBS[f"{verb} connection"] for verb in ("create", "edit", "delete")}
    | {f"auth.{verb}_user" for verb in ("view", "add", "change", "delete")}
    | {"auth.view_group"}
)

#: Permissions of each group, as app_label.codename.
GROUPS: dict[str, frozenset[str]] = {
    VIEWER: frozenset(_VIEW),
    OPERATOR: frozenset(_OPERATE),
    EDITOR: frozenset(_EDIT),
    ADMINISTRATOR: frozenset(_ADMINISTER),
}


def may(user: Any, verb: str) -> bool:
    """True when `user` (a request's user, anonymous included) may do `verb` of VERBS."""
    return bool(user.is_active and user.has_perm(VERBS[verb]))


def reaches(user: Any, other: Any) -> bool:
    """True when `user` has every right that `other` has, so that managing them gives none away."""
    if user.is_superuser:
        return True
    return not other.is_superuser and rights(other) <= rights(user)


def rights(user: Any) -> set[int]:
    """The permissions that a user who is no superuser has, active or not."""
    which = Q(group__user=user) | Q(user=user)
    return set(Permission.objects.filter(which).values_list("pk", flat=True))


def make_groups(group_model: Any, permission_model: Any) -> None:
    """Make the four groups, or bring their permissions back to the table.

    The models are parameters because a migration has its own versions of them. An early migration
    finds no permission for what a later one makes; that one then calls this again.
    """
    for name, wanted in GROUPS.items():
        group, _created = group_model.objects.get_or_create(name=name)
        pairs = [permission.split(".") for permission in sorted(wanted)]
        found = [
            permission
            for app, codename in pairs
            for permission in permission_model.objects.filter(
                content_type__app_label=app, codename=codename
            )
        ]
        group.permissions.set(found)
