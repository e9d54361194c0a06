"""Where a person sets up a second factor: a QR code, then a code that proves that the app has it."""

from base64 import b32encode

import qrcode
from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.safestring import mark_safe
from django_otp.plugins.otp_totp.models import TOTPDevice
from qrcode.image.svg import SvgPathImage
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.models import User


class CodeForm(forms.Form):
    otp_token = forms.CharField(
        label="Code from the app",
        widget=UnfoldAdminTextInputWidget({"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )


def set_up(request: HttpRequest) -> TemplateResponse:
    """Offers a new secret until a code from it was entered; from then on log-in asks for a code."""
    assert isinstance(request.user, User)
    if TOTPDevice.objects.filter(user=request.user, confirmed=True).exists():
        return page(request)
    device, _ = TOTPDevice.objects.get_or_create(
        user=request.user, confirmed=False, defaults={"name": "Authenticator app"}
    )
    form = CodeForm(request.POST or None)
    if form.is_valid():
        if device.verify_token(form.cleaned_data["otp_token"]):
            device.confirmed = True
            device.save(update_fields=["confirmed"])
            return page(request)
        form.add_error("otp_token", "The code is not valid. Enter the current code from the app.")
    return page(request, device, form)


def page(
    request: HttpRequest, device: TOTPDevice | None = None, form: CodeForm | None = None
) -> TemplateResponse:
    context = admin.site.each_context(request) | {"title": "Second factor", "form": form}
    if device is not None:
        context["secret"] = b32encode(device.bin_key).decode()
        context["qr_code"] = qr_code(device.config_url)
    return TemplateResponse(request, "accounts/admin/two_factor.html", context)


def qr_code(text: str) -> str:
    """An SVG element."""
    image = qrcode.make(text, image_factory=SvgPathImage, box_size=12)
    return mark_safe(image.to_string(encoding="unicode"))  # noqa: S308  (our own drawing)
