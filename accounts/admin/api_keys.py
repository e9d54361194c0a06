"""The admin of API keys: create, rotate, revoke. A key is shown once, in the answer that made it."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from accounts import services
from accounts.admin.forms import ApiKeyForm, NewApiKeyForm, RotationForm
from accounts.admin.pages import confirm, limits_table, render
from accounts.admin_filters import ModeFilter
from accounts.admin_scope import ScopedAdmin, is_operator
from accounts.idempotency import claim_form, complete_form
from accounts.key_authority import Authority, BeyondAuthorityError
from accounts.limits import LIMIT_NAMES
from accounts.models import ApiKey, User
from accounts.scopes import Scope

State = ApiKey.State
FOR_GOOD = "A revoked key stops working immediately and permanently."


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, state.label) for state in State]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        expired = Q(revoked_at=None, expires_at__lte=timezone.now())
        conditions = {
            State.REVOKED: Q(revoked_at__isnull=False),
            State.EXPIRED: expired,
            State.ACTIVE: Q(revoked_at=None) & ~expired,
        }
        value = self.value()
        return queryset.filter(conditions[State(value)]) if value in State.values else queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin):
    staff_scopes = dict.fromkeys(["view", "add", "revoke", "rotate"], Scope.KEYS_WRITE.value)
    list_display = [
        "name",
        "shown_prefix",
        "organization",
        "shown_mode",
        "shown_state",
        "last_used_at",
        "expires_at",
    ]
    list_filter = [StateFilter, ModeFilter, "organization"]
    list_select_related = ["organization__plan", "organization__test_plan", "created_by"]
    search_fields = ["name", "id"]
    autocomplete_fields = ["organization"]
    actions = ["revoke_selected"]
    actions_detail = ["rotate", "revoke"]
    readonly_fields = [
        "shown_prefix",
        "organization",
        "shown_mode",
        "shown_state",
        "created_at",
        "creator",
        "last_used_at",
        "last_used_ip",
        "limits",
    ]
    KEY = (
        None,
        {
            "fields": [
                ("shown_prefix", "organization"),
                ("shown_mode", "shown_state"),
                "name",
                "scopes",
                "allowed_ips",
                "expires_at",
            ]
        },
    )
    HISTORY = ("Use", {"fields": [("created_at", "creator"), ("last_used_at", "last_used_ip")]})
    LIMITS = ("Limits that hold", {"fields": ["limits"], "classes": ["tab"]})
    OVERRIDES = ("Overrides for this key", {"fields": LIMIT_NAMES, "classes": ["tab"]})

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, **kwargs: Any) -> Any:
        kwargs["form"] = ApiKeyForm if obj else NewApiKeyForm
        form = super().get_form(request, obj, **kwargs)
        form.maker = request.user
        return form

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return [
                (
                    None,
                    {
                        "fields": [
                            *("organization", "name", "mode", "scopes", "expires_at", "allowed_ips"),
                            "form_id",
                        ]
                    },
                )
            ]
        return [self.KEY, self.HISTORY, self.LIMITS, *([self.OVERRIDES] if is_operator(request) else [])]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return self.readonly_fields if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A key is revoked and stays, so that the log can be read."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "revoke")

    # A new key

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """An organization is chosen, not made or changed, on the way."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "organization":
            field.widget.can_add_related = field.widget.can_change_related = False
            field.widget.can_view_related = False
        return field

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], add: bool = False, **kwargs: Any
    ) -> Any:
        """What follows on a new key is its one showing, so there is nothing to save it and do."""
        if add:
            context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, add=add, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        data = form.cleaned_data
        livemode = data["mode"] == "live"
        claim = claim_form(data["form_id"], data["organization"], livemode=livemode)
        if claim.object_id:
            obj.pk, request.minted_key = claim.object_id, None  # type: ignore[attr-defined]
            return
        api_key, request.minted_key = services.mint_key(  # type: ignore[attr-defined]  # for response_add
            organization=data["organization"],
            livemode=livemode,
            name=data["name"],
            scopes=frozenset(data["scopes"]),
            authority=Authority(services.scopes_of(form.maker, data["organization"])),
            expires_at=data["expires_at"],
            allowed_ips=data["allowed_ips"],
            created_by=form.maker,
        )
        obj.pk, obj.livemode = api_key.pk, api_key.livemode
        complete_form(claim, api_key.pk)

    def log_addition(self, request: HttpRequest, obj: ApiKey, message: Any) -> Any:
        """A form that came again has added nothing."""
        minted = request.minted_key  # type: ignore[attr-defined]
        return super().log_addition(request, obj, message) if minted else None

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self.show_once(request, obj, request.minted_key)  # type: ignore[attr-defined]

    def show_once(self, request: HttpRequest, api_key: ApiKey, key: str | None) -> HttpResponse:
        """The key in the answer itself: neither session nor message ever holds it.

        Without a key, because the form had come before, the answer leads to the key's page.
        """
        if key is None:
            text = "This key was created and shown before. If it wasn't copied, rotate it."
            self.message_user(request, text, level="warning")
            return HttpResponseRedirect(reverse("admin:accounts_apikey_change", args=[api_key.pk]))
        title, template = "New API key", "accounts/admin/key_shown_once.html"
        return render(self, request, template, title=title, api_key=api_key, key=key)

    # Rotate and revoke

    @action(description="Rotate", icon="autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        assert isinstance(request.user, User)
        old = self.target(request, "rotate", object_id)
        form = RotationForm(request.POST or None)
        if form.is_valid():
            try:
                new, key = self.rotated(request.user, old, form)
            except services.KeyNotActiveError:
                form.add_error(None, "The key is no longer active and can't be rotated.")
            except services.TooManyKeysError as error:
                form.add_error(None, str(error))
            except BeyondAuthorityError as error:
                raise PermissionDenied from error
            else:
                return self.show_once(request, new, key)
        text = "A new key with the same name, scopes and limits replaces it."
        return confirm(self, request, verb="Rotate", what=str(old), text=text, form=form)

    @transaction.atomic
    def rotated(self, user: User, old: ApiKey, form: RotationForm) -> tuple[ApiKey, str | None]:
        """The new key and its text, or None in place of the text when the form had come before."""
        claim = claim_form(form.cleaned_data["form_id"], old.organization, livemode=old.livemode)
        if claim.object_id:
            return ApiKey.objects.get(pk=claim.object_id), None
        new, key = services.rotate_key(
            api_key=old,
            overlap_seconds=form.cleaned_data["overlap_seconds"],
            authority=Authority(services.scopes_of(user, old.organization)),
            created_by=user,
        )
        complete_form(claim, new.pk)
        return new, key

    @action(description="Revoke", icon="block")
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        api_key = self.target(request, "revoke", object_id)
        if request.method != "POST":
            return confirm(self, request, verb="Revoke", what=str(api_key), text=FOR_GOOD)
        services.revoke_key(api_key=api_key)
        return HttpResponseRedirect(reverse("admin:accounts_apikey_change", args=[api_key.pk]))

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        keys = self.own(request, "revoke", queryset)
        if "confirmed" not in request.POST:
            return confirm(
                self,
                request,
                verb="Revoke",
                what="these keys",
                text=FOR_GOOD,
                objects=keys,
                action="revoke_selected",
            )
        for api_key in keys:
            services.revoke_key(api_key=api_key)
        self.message_user(request, f"Revoked: {keys.count()}.")
        return None

    # Columns

    @display(description="Key")
    def shown_prefix(self, api_key: ApiKey) -> str:
        return f"{api_key.prefix}_…"

    @display(description="Mode", label={"live": "info", "test": "default"})
    def shown_mode(self, api_key: ApiKey) -> str:
        return api_key.mode

    @display(description="State", label={"active": "success", "expired": "warning", "revoked": "danger"})
    def shown_state(self, api_key: ApiKey) -> str:
        return api_key.state().value

    @display(description="Created by")
    def creator(self, api_key: ApiKey) -> str:
        """A colleague by name; operators stay among themselves, and in the audit log."""
        if api_key.created_by is None:
            return "—"
        return "an operator" if api_key.created_by.is_superuser else str(api_key.created_by)

    @display(description="Limit")
    def limits(self, api_key: ApiKey) -> SafeString:
        return limits_table(api_key.organization, api_key)
