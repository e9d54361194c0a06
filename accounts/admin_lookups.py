"""By which columns a list of the admin may be filtered from its address: by what the page shows.

Django allows every column of the model, so `?token_hash__startswith=a` would give a hash away letter by
letter to anybody who may see the list.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import FieldDoesNotExist
from django.http import HttpRequest


def is_shown(page: admin.ModelAdmin, lookup: str, request: HttpRequest) -> bool:
    """Whether the page shows the column that `lookup`, a parameter of its address, begins with."""
    name = lookup.partition("__")[0]
    try:
        field = page.model._meta.get_field("id" if name == "pk" else name)
    except FieldDoesNotExist:
        return True  # The name of a filter, which reads it itself.
    return getattr(field, "primary_key", False) or field.name in _shown(page, request)


def _shown(page: admin.ModelAdmin, request: HttpRequest) -> set[str]:
    fields = flatten_fieldsets(page.get_fieldsets(request))
    filters = [each[0] if isinstance(each, tuple) else each for each in page.get_list_filter(request)]
    names: list[Any] = [*page.get_list_display(request), *fields, *filters, page.date_hierarchy]
    return {name for name in names if isinstance(name, str)}
