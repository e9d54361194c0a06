"""Limits as people read them."""

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.template.defaultfilters import filesizeformat

from accounts.limits import ExplainedLimit

register = template.Library()


@register.filter
def label(limit: ExplainedLimit) -> str:
    return limit.name.replace("_usd", " (USD)").replace("_", " ").capitalize()


@register.filter
def shown(limit: ExplainedLimit) -> str:
    if isinstance(limit.value, frozenset):
        return ", ".join(sorted(limit.value)) or "none"
    if limit.name == "max_upload_bytes":
        return filesizeformat(limit.value)
    return intcomma(limit.value)
