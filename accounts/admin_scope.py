"""Who sees and does what in the admin: the one rule, in one place.

Operators see and do everything. A person who is staff of an organization sees only what belongs to it,
and does only what an admin page of ours names, with the scopes of that person's role. Whatever else is
registered, by us or by a package, is for operators: an admin page joins that side by itself, and has to
say whose its objects are to join the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Field, ForeignKey, ManyToManyField, Model, QuerySet
from django.forms import ModelChoiceField, ModelMultipleChoiceField
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, reverse
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from accounts import second_factor
from accounts.admin_lookups import is_shown
from accounts.models import Organization, User
from accounts.scopes import ROLE_SCOPES

View = Callable[..., HttpResponseBase]


def is_operator(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_operator


def organizations_of(request: HttpRequest, scope: str) -> QuerySet[Organization]:
    """The organizations in which the person's role gives the scope."""
    roles = [role for role, scopes in ROLE_SCOPES.items() if scope in scopes]
    return Organization.objects.filter(memberships__user=request.user.pk, memberships__role__in=roles)


class ScopedAdmin(ModelAdmin):
    """An admin page of objects that belong to organizations.

    Attributes:
        organization_path: From the object to its organization, as in a query.
        staff_scopes: By action (`view`, `add`, `change`, `delete`), the scope that lets staff do it in
            their organization. What isn't named is for operators.
    """

    organization_path: ClassVar[str] = "organization"
    staff_scopes: ClassVar[dict[str, str]] = {}

    def may(self, request: HttpRequest, action: str, obj: Model | None = None) -> bool:
        """Whether the person may do this to the object, or to any at all."""
        if is_operator(request):
            return True
        if action not in self.staff_scopes:
            return False
        if obj is None:
            return organizations_of(request, self.staff_scopes[action]).exists()
        return self.own(request, action, self.model._default_manager.filter(pk=obj.pk)).exists()

    def own(self, request: HttpRequest, action: str, objects: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the objects to which the person may do this."""
        if is_operator(request):
            return objects
        if action not in self.staff_scopes:
            return objects.none()
        organizations = organizations_of(request, self.staff_scopes[action])
        return objects.filter(**{f"{self.organization_path}__in": organizations})

    def target(self, request: HttpRequest, action: str, object_id: str) -> Any:
        """The object of an address, for a button that does this to it.

        Raises:
            Http404: There is no such object among those that the person sees.
            PermissionDenied: The person sees it, but may not do this to it.
        """
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        if not self.may(request, action, found):
            raise PermissionDenied
        return found

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.own(request, "view", super().get_queryset(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "delete", obj)

    def choices(self, request: HttpRequest, related: type[Model]) -> QuerySet[Any]:
        """What staff may choose from in a form: organizations in which they may add, and their own things."""
        if related is Organization:
            return organizations_of(request, self.staff_scopes["add"])
        related_admin = self.admin_site._registry.get(related)
        if isinstance(related_admin, ScopedAdmin):
            return related_admin.get_queryset(request)
        return related._default_manager.none()

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        if not is_operator(request):
            kwargs["queryset"] = self.choices(request, db_field.related_model)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelMultipleChoiceField | None:
        if not is_operator(request):
            kwargs["queryset"] = self.choices(request, db_field.related_model)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """A filter by a related object names only those that the visible rows have."""
        return [self.related_only(name) for name in super().get_list_filter(request)]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return super().lookup_allowed(lookup, value, request) and is_shown(self, lookup, request)

    def related_only(self, name: Any) -> Any:
        field = self.model._meta.get_field(name) if isinstance(name, str) else None
        if isinstance(field, Field) and field.is_relation:
            return (name, admin.RelatedOnlyFieldListFilter)
        return name


class OperatorsOnly(admin.ModelAdmin):
    """Put in front of an admin page that doesn't say whose its objects are, a package's for instance."""

    def get_urls(self) -> list[URLPattern]:
        urls = super().get_urls()
        for url in urls:
            url.callback = self.admin_site.admin_view(operators_only(url.callback))
        return urls

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return super().lookup_allowed(lookup, value, request) and is_shown(self, lookup, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request) and super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request) and super().has_view_permission(request, obj)


def operators_only(view: View) -> View:
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not is_operator(request):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return update_wrapper(guarded, view)


# Pages of packages, by app, and what they are for.
OPERATIONS = {"auditlog": "Audit log", "django_rq": "Queues", "mfa": "Second factors"}


class AvatarAdminSite(UnfoldAdminSite):
    """The admin site, which sees to it that every page is either scoped or for operators."""

    site_title = "Avatar API"
    site_header = "Avatar API"
    index_title = "Overview"

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff, with a second factor where one is needed."""
        return super().has_permission(request) and not second_factor.is_missing(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """The door of everybody, or what keeps the person who came by it from entering."""
        back = request.GET.get("next", reverse("admin:index"))
        if not request.user.is_authenticated:
            return redirect_to_login(back)
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        if not (request.user.is_active and request.user.is_staff):
            raise PermissionDenied
        messages.info(request, "Set up a second factor first: an app or a passkey. The admin asks for one.")
        return HttpResponseRedirect(reverse("mfa_index"))

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        return HttpResponseRedirect(reverse("account_change_password"))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Our own models by app, then those of packages together."""
        apps = super().get_app_list(request, app_label)
        if app_label is not None:
            return apps
        own = [app for app in apps if app["app_label"] not in OPERATIONS]
        packages = [app for app in apps if app["app_label"] in OPERATIONS]
        if not packages:
            return own
        pages = [page | {"name": OPERATIONS[app["app_label"]]} for app in packages for page in app["models"]]
        return [*own, packages[0] | {"name": "Operations", "models": pages}]

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[admin.ModelAdmin] | None = None,
        **options: Any,
    ) -> None:
        admin_class = admin_class or ModelAdmin
        if not issubclass(admin_class, ScopedAdmin):
            admin_class = type(admin_class.__name__, (OperatorsOnly, admin_class), {})
        super().register(model_or_iterable, admin_class, **options)
