"""Users and groups: Django's own pages in the theme, without a way to more rights than one has."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from pipelines import accounts
from pipelines.admin import words
from pipelines.admin.audited import AuditedAdmin
from pipelines.admin.theme import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from pipelines.permissions import reaches, rights

if TYPE_CHECKING:
    UserPages = DjangoUserAdmin[User]
else:
    UserPages = DjangoUserAdmin

admin.site.unregister(User)
admin.site.unregister(Group)

_RIGHTS = ("is_active", "is_staff", "groups")


class GroupFilter(admin.RelatedFieldListFilter):
    """Groups under their words."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        """Key and word of each."""
        found = super().field_choices(field, request, model_admin)
        return [(key, words.group(name)) for key, name in found]


@admin.register(User)
class UserAdmin(UserPages, AuditedAdmin):
    """An administrator manages users who have no more rights; only a superuser makes superusers."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "group_names", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", ("groups", GroupFilter))
    add_fieldsets = (
        (None, {"fields": ("username", "usable_password", "password1", "password2")}),
        (_("Rights"), {"fields": ("is_staff", "groups")}),
    )
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("Rights"), {"fields": _RIGHTS}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def get_queryset(self, request: HttpRequest) -> Any:
        """With their groups."""
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=_("groups"))
    def group_names(self, user: User) -> str:
        """What they may, in a word or two."""
        return ", ".join(words.group(group.name) for group in user.groups.all())

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Groups under their words, of those that give no more rights than one has."""
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "groups":
            field.label_from_instance = words.group
            if not request.user.is_superuser:
                beyond = Permission.objects.exclude(pk__in=rights(request.user))
                field.queryset = field.queryset.exclude(permissions__in=beyond)
        return field

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Superusers also see who else is one."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not request.user.is_superuser:
            return fieldsets
        return [
            (
                name,
                {"fields": (*_RIGHTS, "is_superuser")} if options["fields"] == _RIGHTS else options,
            )
            for name, options in fieldsets
        ]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Whoever is added here is meant to sign in here."""
        return {"is_staff": True}

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Not of who has more rights."""
        return super().has_change_permission(request, obj) and _in_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Not of who has more rights, and nobody deletes themselves."""
        is_self = obj is not None and obj.pk == request.user.pk
        return (
            super().has_delete_permission(request, obj) and _in_reach(request, obj) and not is_self
        )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Who is deactivated has no sessions and API tokens any more, and gets none back."""
        super().save_related(request, form, formsets, change)
        if change and not form.instance.is_active:
            accounts.deactivated(form.instance, by=request.user)

    # Django's own name for it, and its own parameters.
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:  # noqa: A002
        """The page of a user's password; when it was changed, all that follows from it."""
        with transaction.atomic():
            before = _password(self, request, id)
            answer: Any = super().user_change_password(request, id, form_url)
            if before and _password(self, request, id) != before:
                user = self.get_object(request, id)
                accounts.password_changed(user, by=request.user)
        return answer

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Their API tokens go with users, and need no right of their own."""
        users = list(objs)
        counts = {
            User._meta.verbose_name_plural: len(users),
            AuthToken._meta.verbose_name_plural: AuthToken.objects.filter(user__in=users).count(),
        }
        return [str(user) for user in users], counts, set(), []


def _password(pages: UserAdmin, request: HttpRequest, key: str) -> str:
    user = pages.get_object(request, key) if request.method == "POST" else None
    return user.password if user is not None else ""


def _without_links(deleted: list[Any], counts: dict[Any, int], *rest: Any) -> tuple[Any, ...]:
    """Without the rows that only say who has what: they have English names, and no page."""
    models = apps.get_models(include_auto_created=True)
    links = [model._meta for model in models if model._meta.auto_created]
    names = {str(link.verbose_name_plural) for link in links}
    beginnings = tuple(f"{capfirst(link.verbose_name)}:" for link in links)

    def pruned(rows: list[Any]) -> list[Any]:
        parts = (pruned(row) if isinstance(row, list) else row for row in rows)
        return [part for part in parts if part and not str(part).startswith(beginnings)]

    kept = {name: count for name, count in counts.items() if str(name) not in names}
    return pruned(deleted), kept, *rest


def _in_reach(request: HttpRequest, obj: User | None) -> bool:
    return obj is None or reaches(request.user, obj)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, AuditedAdmin):
    """The four groups come from the table of permissions."""

    list_display = ("called", "name")
    list_display_links = ("called",)

    def get_fieldsets(self, request: HttpRequest, obj: Group | None = None) -> Any:
        """The rights in words for who may only look."""
        if self.has_change_permission(request, obj):
            return [(None, {"fields": ("name", "permissions")})]
        return [(None, {"fields": ("called", "rights")})]

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        """What is shown to who may only look."""
        return () if self.has_change_permission(request, obj) else ("called", "rights")

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Rights in words; those of a package that we ask about nothing are not offered."""
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "permissions":
            field.queryset = field.queryset.exclude(content_type__app_label="axes")
        field.label_from_instance = words.permission
        return field

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The groups and nothing else."""
        return _without_links(*super().get_deleted_objects(objs, request))

    @admin.display(description=_("group"), ordering="name")
    def called(self, group: Group) -> str:
        """Its word."""
        return words.group(group.name)

    @admin.display(description=_("rights"))
    def rights(self, group: Group) -> SafeString:
        """What its members may."""
        rows = group.permissions.select_related("content_type")
        return format_html_join("", "{}<br>", ((words.permission(row),) for row in rows))
