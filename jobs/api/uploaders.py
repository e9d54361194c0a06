"""For whom a body counts while it is received: an address; large ones, for the owner of a credential."""

import re

from django.db import close_old_connections

from accounts import access
from accounts.client_address import client_address, throttled_as
from accounts.limits import effective_limits
from accounts.models import Organization
from avatar_api.common.asgi import Scope, request_of
from avatar_api.common.problems import Problem, translate
from avatar_api.common.request_bodies import Uploader
from avatar_api.common.transient_errors import transient_cause
from jobs.intake import assets

FILE_PATH = re.compile(r"/v1/files/([^/]+)")


def address_of(scope: Scope) -> str:
    return throttled_as(client_address(request_of(scope)))


def uploader_of(scope: Scope) -> Uploader | None:
    """The organization that a large body is for; None: it will be refused, so none of it is kept.

    Raises:
        Problem: `service_unavailable`, while that can't be looked up. Passed on without its body, the request
            might meet a database that is back, and be refused for what it lacks.
    """
    close_old_connections()
    try:
        if match := FILE_PATH.fullmatch(scope["path"]):
            asset = assets.asset_of_token(match[1])
            return _uploader(asset.organization, asset.livemode)
        tenant = access.tenant_of(request_of(scope))
        return _uploader(tenant.organization, tenant.livemode) if tenant else None
    except Problem:
        return None
    except Exception as error:
        if transient_cause(error) and (problem := translate(error)):
            raise problem from error
        raise
    finally:
        close_old_connections()


def _uploader(organization: Organization, livemode: bool) -> Uploader:
    limits = effective_limits(organization, livemode=livemode)
    return Uploader(f"{organization.pk}:{livemode}", limits.open_uploads)
