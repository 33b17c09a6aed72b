"""Enforces the one table of `pipelines.permissions`; which verb a method is, each view says."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from pipelines.permissions import GROUPS, VERBS, may


class TablePermission(BasePermission):
    """Lets signed-in users do what `view.verbs` asks for the method; None: whoever is signed in.

    A method that the view has but does not list is nobody's.
    """

    message: str

    def has_permission(self, request: Request, view: Any) -> bool:
        """False makes it 401 for who is not signed in, and 403 for the others."""
        if not request.user.is_authenticated:
            return False
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in view.verbs:
            # OPTIONS tells what the schema tells; a method the view lacks becomes 405.
            return method == "OPTIONS" or not hasattr(view, method.lower())
        verb = view.verbs[method]
        if verb is None or may(request.user, verb):
            return True
        self.message = _sentence(verb)
        return False


def _sentence(verb: str) -> str:
    groups = [name for name, permissions in GROUPS.items() if VERBS[verb] in permissions]
    return _("You may not do this: it takes one of the groups %(groups)s.") % {
        "groups": ", ".join(groups)
    }
