"""In the admin, staff of one organization meet nothing of another: every model, every address.

Models and addresses are found in the admin site itself, so that new ones join by themselves. A model whose
page is open to staff has to say in `STRANGERS` how to make one of a stranger; the test fails until it does.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, reverse

from accounts.admin_scope import ScopedAdmin
from accounts.models import ApiKey, Membership, Organization, Plan, User
from accounts.scopes import Role
from tests import factories
from tests.accounts.conftest import make_key, make_person

pytestmark = pytest.mark.django_db

# What a page would show of a stranger's things; everything of the stranger's carries it.
MARK = "Strangerly"

SITE = admin.site
SCOPED = [model for model, page in SITE._registry.items() if isinstance(page, ScopedAdmin)]
FOR_OPERATORS = [model for model in SITE._registry if model not in SCOPED]

STRANGERS: dict[str, Callable[[Organization], Model]] = {
    "accounts.ApiKey": lambda organization: make_key(organization, name=f"{MARK} key").row,
    "accounts.Organization": lambda organization: organization,
    "jobs.WebhookEndpoint": lambda organization: factories.webhook(organization, description=MARK),
    "jobs.WebhookDelivery": lambda organization: factories.delivery(factories.webhook(organization)),
    "jobs.Job": lambda organization: factories.job(organization, prompt=MARK),
}

every_scoped_model = pytest.mark.parametrize("model", SCOPED, ids=lambda model: model._meta.label)
every_operators_model = pytest.mark.parametrize("model", FOR_OPERATORS, ids=lambda model: model._meta.label)


@pytest.fixture
def stranger(db: None) -> Organization:
    return Organization.objects.create(name=f"{MARK} Ltd", plan_id="scale")


@pytest.fixture
def owner(acme: Organization) -> User:
    return make_person("olga@example.com", acme, Role.OWNER, is_staff=True)


@pytest.fixture
def staff(api: Client, owner: User) -> Client:
    """The admin as Acme's owner sees it."""
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_person("ops@example.com", is_staff=True, is_superuser=True))
    return client


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def of_stranger(model: type[Model], stranger: Organization) -> Model:
    make = STRANGERS.get(model._meta.label)
    assert make, f"say in STRANGERS how to make a {model._meta.label} of a stranger"
    return make(stranger)


def everything() -> str:
    """All that a request might have changed."""
    rows = [*User.objects.values(), *Membership.objects.values(), *Plan.objects.values()]
    rest = [model.objects.order_by("pk") for model in SCOPED]
    return str(rows) + "".join(serializers.serialize("json", each) for each in rest)


def shows_nothing(response: HttpResponse, *forbidden: object) -> bool:
    page = response.content.decode()
    return not any(str(text) in page for text in (MARK, *forbidden))


# Every address


def patterns(found: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in found:
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern.url_patterns, prefix)
        else:
            yield f"{prefix}{pattern.pattern}", pattern


ADDRESSES = sorted({pattern.name for _, pattern in patterns(SITE.urls[0]) if pattern.name})
OPERATORS_ADDRESSES = {url.name for model in FOR_OPERATORS for url in SITE._registry[model].get_urls()}


def filled(name: str, stranger: Organization, key: ApiKey) -> str:
    """The address with a stranger's ids wherever it takes one."""
    pattern = next(pattern for _, pattern in patterns(SITE.urls[0]) if pattern.name == name)
    models = {model._meta.model_name: model for model in SCOPED}
    model = next((models[part] for part in name.split("_") if part in models), None)
    pk = of_stranger(model, stranger).pk if model else stranger.pk
    values = {
        "object_id": pk,
        "content_type_id": ContentType.objects.get_for_model(ApiKey).pk,
        "app_label": "accounts",
        "id": 1,
    }
    arguments = {
        name: values.get(name, 0 if type(converter).__name__ == "IntConverter" else "x")
        for name, converter in pattern.pattern.converters.items()
    }
    if not arguments and pattern.pattern.regex.groups:
        arguments = dict.fromkeys(pattern.pattern.regex.groupindex, "accounts")
    return reverse(f"admin:{name}", kwargs=arguments)


HARMLESS = {"logout", "password_change", "password_change_done", "jsi18n", "login"}


@pytest.mark.parametrize("name", sorted(set(ADDRESSES) - HARMLESS))
def test_no_address_shows_or_changes_anything_of_a_stranger(staff: Client, stranger: Organization, name: str):
    key = make_key(stranger, name=f"{MARK} key").row
    path, before = filled(name, stranger, key), everything()
    for response in (staff.get(path, {"s": MARK, "q": MARK}), staff.post(path, {"post": "yes"})):
        assert response.status_code in ((403,) if name in OPERATORS_ADDRESSES else (200, 302, 403, 404, 405))
        assert shows_nothing(response, key.pk)
        assert everything() == before


# Every model


@every_operators_model
def test_pages_for_operators_are_closed_to_staff(staff: Client, stranger: Organization, model: type[Model]):
    make_person("eve@example.com", stranger)
    for page in ("changelist", "add"):
        assert staff.get(address(model, page)).status_code == 403
    anything = (
        model._default_manager.first() if model._meta.managed and model._meta.label in OWN_TABLES else None
    )
    for page in ("change", "delete", "history") if anything else ():
        assert staff.get(address(model, page, anything.pk)).status_code == 403


OWN_TABLES = {"accounts.User", "accounts.Plan", "auditlog.LogEntry"}


@every_operators_model
def test_pages_for_operators_open_for_operators(operator: Client, model: type[Model]):
    assert operator.get(address(model, "changelist")).status_code == 200


def test_the_pages_of_people_plans_and_log_are_for_operators():
    labels = {model._meta.label for model in FOR_OPERATORS}
    assert labels >= {"accounts.User", "accounts.Plan", "auditlog.LogEntry", "django_rq.Dashboard"}


@every_scoped_model
def test_lists_show_ones_own_only(staff: Client, stranger: Organization, model: type[Model]):
    theirs = of_stranger(model, stranger)
    assert shows_nothing(staff.get(address(model, "changelist")), theirs.pk)


QUERIES = [
    f"q={MARK}",
    "organization__id__exact={organization}",
    "organization={organization}",
    "pk={pk}",
    "id__exact={pk}",
    "organization__memberships__user__email__startswith=e",
    "organization__name__startswith=S",
    "created_by__email__startswith=e",
    "all=",
    "o=1.2.3",
    "e=1",
    "_facets=True",
]


@every_scoped_model
def test_no_search_filter_or_order_shows_a_stranger(
    staff: Client, stranger: Organization, model: type[Model], subtests: pytest.Subtests
):
    theirs = of_stranger(model, stranger)
    for query in QUERIES:
        with subtests.test(query):
            asked = query.format(organization=stranger.pk, pk=theirs.pk)
            response = staff.get(f"{address(model, 'changelist')}?{asked}", follow=True)
            assert response.status_code in (200, 400)
            # The search box repeats what was asked.
            assert shows_nothing(response) or asked.startswith("q=")
            assert f"/{theirs.pk}/" not in response.content.decode()


@every_scoped_model
def test_a_strangers_object_and_none_at_all_answer_alike(
    staff: Client, stranger: Organization, model: type[Model]
):
    theirs = of_stranger(model, stranger)
    for page in ("change", "history", "delete"):
        answers = [staff.get(address(model, page, pk), follow=True) for pk in (theirs.pk, "nothing")]
        assert shows_nothing(answers[0])
        assert answers[0].status_code == answers[1].status_code
        pages = [answer.content.decode().replace(str(theirs.pk), "nothing") for answer in answers]
        assert len(pages[0]) == len(pages[1])


@every_scoped_model
def test_forms_offer_nothing_of_a_stranger(staff: Client, stranger: Organization, model: type[Model]):
    of_stranger(model, stranger)
    assert shows_nothing(staff.get(address(model, "add")), stranger.pk)


@every_scoped_model
def test_completion_offers_nothing_of_a_stranger(staff: Client, stranger: Organization, model: type[Model]):
    for other in (Organization, model):
        of_stranger(other, stranger)
    for field in model._meta.fields:
        if field.is_relation:
            names = {"app_label": model._meta.app_label, "model_name": model._meta.model_name}
            answer = staff.get(reverse("admin:autocomplete"), {**names, "field_name": field.name, "term": ""})
            assert answer.status_code in (200, 403, 404)
            assert shows_nothing(answer, stranger.pk)


@every_scoped_model
def test_bulk_actions_leave_strangers_alone(staff: Client, stranger: Organization, model: type[Model]):
    theirs, before = of_stranger(model, stranger), everything()
    page = SITE._registry[model]
    names = {"delete_selected", *(page.actions or ())}
    for name in names:
        for across in ("0", "1"):
            form = {"action": name, "_selected_action": [theirs.pk], "confirmed": "yes", "post": "yes"}
            response = staff.post(
                address(model, "changelist"), {**form, "select_across": across}, follow=True
            )
            assert shows_nothing(response)
    assert everything() == before


@every_scoped_model
def test_buttons_of_a_strangers_object_are_not_found(
    staff: Client, stranger: Organization, model: type[Model]
):
    theirs, before = of_stranger(model, stranger), everything()
    for action in SITE._registry[model]._get_base_actions_detail():
        path = reverse(f"admin:{action.action_name}", args=[theirs.pk])
        assert staff.get(path).status_code == 404
        assert staff.post(path, {"overlap_seconds": 0}).status_code == 404
    assert everything() == before


@every_scoped_model
def test_staff_without_an_organization_sees_nothing(stranger: Organization, model: type[Model]):
    client = Client()
    client.force_login(make_person("nobody@example.com", is_staff=True))
    of_stranger(model, stranger)
    assert client.get(address(model, "changelist")).status_code == 403
    assert shows_nothing(client.get(reverse("admin:index")))


# What staff may do with keys


def new_key_form(organization: Organization, **fields: Any) -> dict[str, Any]:
    form = {"organization": organization.pk, "name": "new", "mode": "test", "scopes": ["jobs:read"]}
    return form | {"expires_at_0": "", "expires_at_1": "", "allowed_ips": ""} | fields


def test_a_forged_organization_is_refused(staff: Client, stranger: Organization):
    response = staff.post(address(ApiKey, "add"), new_key_form(stranger))
    assert response.status_code == 200
    assert not ApiKey.objects.exists()
    assert shows_nothing(response)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
def test_who_may_not_manage_keys_does_not_see_them(acme: Organization, role: str):
    client = Client()
    client.force_login(make_person("dora@example.com", acme, role, is_staff=True))
    key = make_key(acme).row
    assert client.get(address(ApiKey, "changelist")).status_code == 403
    assert client.post(address(ApiKey, "add"), new_key_form(acme)).status_code == 403
    assert client.post(address(ApiKey, "rotate", key.pk), {"overlap_seconds": 0}).status_code == 404
    assert client.post(address(ApiKey, "revoke", key.pk)).status_code == 404
    assert list(ApiKey.objects.values_list("pk", "revoked_at")) == [(key.pk, None)]


def test_a_role_counts_only_in_its_own_organization(acme: Organization, globex: Organization):
    """Owner of one, viewer of the other: keys can be made and seen in the one only."""
    person = make_person("dora@example.com", acme, Role.OWNER, is_staff=True)
    Membership.objects.create(user=person, organization=globex, role=Role.VIEWER)
    client = Client()
    client.force_login(person)
    key = make_key(globex, name="theirs").row
    assert "theirs" not in client.get(address(ApiKey, "changelist")).content.decode()
    assert client.post(address(ApiKey, "revoke", key.pk)).status_code == 404
    client.post(address(ApiKey, "add"), new_key_form(globex))
    assert set(ApiKey.objects.values_list("pk", flat=True)) == {key.pk}


def test_staff_changes_no_key_no_limit_and_no_organization(staff: Client, acme: Organization):
    key = make_key(acme, name="mine").row
    before = everything()
    overrides = {"name": "other", "create_per_minute": 1_000_000, "scopes": ["keys:write"], "plan": "scale"}
    for thing in (key, acme):
        model = type(thing)
        assert staff.post(address(model, "change", thing.pk), overrides).status_code == 403
        assert staff.post(address(model, "delete", thing.pk), {"post": "yes"}).status_code == 403
    for button in ("suspend", "resume"):
        assert staff.post(address(Organization, button, acme.pk)).status_code == 403
    assert everything() == before


def test_staff_sees_no_memberships_and_no_overrides(staff: Client, acme: Organization, bob: User):
    page = staff.get(address(Organization, "change", acme.pk)).content.decode()
    assert "bob@example.com" not in page
    assert "Overrides" not in page


def test_nobody_deletes_a_key_or_an_organization(operator: Client, acme: Organization):
    for thing in (make_key(acme).row, acme):
        assert operator.post(address(type(thing), "delete", thing.pk), {"post": "yes"}).status_code == 403


def test_permissions_of_django_have_no_say(acme: Organization, stranger: Organization):
    """A model's page is open to operators or by role, whatever a package asks."""
    person = make_person("dora@example.com", acme, Role.OWNER, is_staff=True)
    assert not person.has_perm("accounts.change_plan")
    assert not person.has_module_perms("accounts")


@pytest.mark.parametrize("path", ["/admin/", "/admin/accounts/apikey/"])
def test_who_is_not_staff_is_shown_the_log_in(alice: User, path: str):
    client = Client()
    client.force_login(alice)
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_django_rqs_open_addresses_are_closed_too(staff: Client, operator: Client):
    """Those with which it answers to a token, beside the admin."""
    for name in ("django_rq_home_json", "django_rq_metrics"):
        try:
            path = reverse(f"admin:{name}")
        except NoReverseMatch:
            continue
        assert staff.get(path).status_code == 403
        assert operator.get(path).status_code == 200
        assert Client().get(path).status_code == 302
