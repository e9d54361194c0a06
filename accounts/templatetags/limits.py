"""Limits as people read them."""

from decimal import Decimal

from django import template

from accounts.limits import ExplainedLimit

register = template.Library()


@register.filter
def label(limit: ExplainedLimit) -> str:
    words = limit.name.removesuffix("_usd").removesuffix("_bytes").replace("_", " ").capitalize()
    return f"{words} (USD)" if limit.name.endswith("_usd") else words


@register.filter
def shown(limit: ExplainedLimit) -> str:
    if isinstance(limit.value, frozenset):
        return ", ".join(sorted(limit.value)) or "none"
    if isinstance(limit.value, Decimal):
        return f"{limit.value.normalize():f}"
    if limit.name.endswith("_bytes"):
        return f"{limit.value / 1e6:,g} MB"
    return f"{limit.value:,}"
