"""The query that every request makes: a key with its organization and the plan of its mode."""

from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model

from accounts.models import ApiKey, Organization, Plan
from avatar_api.common import compiled_queries

PARTS: tuple[type[Model], ...] = (ApiKey, Organization, Plan)


def find(key_id: str, *, livemode: bool) -> ApiKey | None:
    """The key, or None; its organization and the plan that holds for `livemode` cost no further query."""
    plan_name = "plan" if livemode else "test_plan"
    with connection.cursor() as cursor:
        cursor.execute(statement(plan_name), [key_id])
        row = cursor.fetchone()
    if row is None:
        return None
    api_key, organization, plan = instances(row)
    setattr(organization, plan_name, plan)
    api_key.organization = organization
    return api_key


@cache
def statement(plan_name: str) -> str:
    """The SQL with a placeholder for the key's id; columns come in the order of PARTS."""
    queryset = ApiKey.objects.filter(pk="").select_related(f"organization__{plan_name}").order_by()
    return compiled_queries.sql_of(queryset)


def instances(row: tuple[Any, ...]) -> Any:
    """One instance of each of PARTS, from the columns side by side."""
    start = 0
    for model in PARTS:
        end = start + len(compiled_queries.columns(model).names)
        yield compiled_queries.instance(model, row[start:end])
        start = end
