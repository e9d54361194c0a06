"""Rows of a model by SQL that is made once.

Django compiles a query anew each time, which for tables with as many columns as ours takes longer than to
run it. So the SQL of a queryset is kept, and rows become instances as a queryset would make them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

from django.db import connection
from django.db.models import JSONField, Model, QuerySet
from django.db.models.base import ModelState

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Columns:
    """The columns of a model, in the order in which a queryset selects them.

    Attributes:
        names: The attributes that they fill.
        converters: What makes a value of Python's of one, by its place.
    """

    names: list[str]
    converters: list[tuple[int, Callable[[Any], Any]]]


def sql_of(queryset: QuerySet[M]) -> str:
    """The SQL of a queryset, with a placeholder for each value in it."""
    sql: str = queryset.query.sql_with_params()[0]
    return sql


def fetch(model: type[M], sql: str, params: Sequence[Any], deferred: frozenset[str] = frozenset()) -> list[M]:
    """Instances from SQL that selects the model's columns, but for those of the fields in `deferred`."""
    read, alias = columns(model, deferred), connection.alias
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [_made(model, read, alias, list(row)) for row in cursor.fetchall()]


def fetch_list(queryset: QuerySet[M]) -> list[M]:
    """As `list(queryset)`, where it chooses and orders rows by columns of their own table.

    What chooses them is compiled, which is little; the many columns, without those of `defer`, are not.
    """
    query, model = queryset.query, queryset.model
    deferred = frozenset(query.deferred_loading[0])
    where, params = query.get_compiler(connection=connection).compile(query.where)
    order = ", ".join(map(partial(_ordering, model), query.order_by))
    sql = f"{_select(model, deferred)} WHERE {where} ORDER BY {order} LIMIT %s"
    return fetch(model, sql, [*params, query.high_mark], deferred)


@cache
def _select(model: type[Model], deferred: frozenset[str]) -> str:
    return sql_of(model._default_manager.order_by().defer(*deferred))


def _ordering(model: type[Model], name: str) -> str:
    column = model._meta.pk.column if name.lstrip("-") == "pk" else name.lstrip("-")
    return f'"{model._meta.db_table}"."{column}" {"DESC" if name.startswith("-") else "ASC"}'


def instance(model: type[M], row: Sequence[Any]) -> M:
    """What the model's constructor makes of values from the database, without its look at each column."""
    return _made(model, columns(model), connection.alias, list(row))


def _made(model: type[M], read: Columns, alias: str, values: list[Any]) -> M:
    for place, convert in read.converters:
        if values[place] is not None:
            values[place] = convert(values[place])
    made = model.__new__(model)
    made._state = ModelState()
    made._state.adding, made._state.db = False, alias
    made.__dict__.update(zip(read.names, values, strict=True))
    return made


@cache
def columns(model: type[Model], deferred: frozenset[str] = frozenset()) -> Columns:
    fields = [field for field in model._meta.concrete_fields if field.name not in deferred]
    converters = [
        (place, _converter(field))
        for place, field in enumerate(fields)
        if field.get_db_converters(connection)
    ]
    return Columns([field.attname for field in fields], converters)


def _converter(field: Any) -> Callable[[Any], Any]:
    if type(field) is JSONField and field.decoder is None:
        return _json
    return lambda value: field.from_db_value(value, field.cached_col, connection)


def _json(text: str) -> Any:
    """What Postgres wrote: nothing stands before or behind it, so that needn't be looked for."""
    return _decode(text)[0]


_decode = json.JSONDecoder().raw_decode
