"""The query that every request makes: a key with its organization and the plan of its mode.

Django compiles a query anew each time, which for these 60 columns takes longer than to run it. So the SQL
of the queryset is made once, and rows become instances as a queryset would make them.
"""

from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model

from accounts.models import ApiKey, Organization, Plan

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
    sql: str = queryset.query.sql_with_params()[0]
    return sql


def instances(row: tuple[Any, ...]) -> Any:
    """One instance of each of PARTS, from the columns side by side."""
    start = 0
    for model in PARTS:
        names = columns(model)
        yield model.from_db(connection.alias, names, row[start : start + len(names)])
        start += len(names)


@cache
def columns(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]
