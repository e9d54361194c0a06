"""Who: people, organizations, what they may do, and the keys they use."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Self

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.api_keys import ID_LENGTH
from accounts.scopes import Role, Scope
from avatar_api.common.choices import preset_choices, resolution_choices
from avatar_api.common.ids import new_id
from avatar_api.common.tenant_queryset import TenantQuerySet

# What a new organization gets, from the seeded plans.
DEFAULT_PLAN = "free"
DEFAULT_TEST_PLAN = "test"

at_least_one = MinValueValidator(1)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        user.vouch_for_email()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser):
    """A person. What members of an organization may do says their role there, see `accounts.scopes`.

    Operators of the deployment may do everything, so Django's permissions per model have no say here;
    in the admin, `accounts.admin_scope` lets staff do what their role allows.
    """

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_staff = models.BooleanField("staff", default=False, help_text="May enter the admin.")
    is_superuser = models.BooleanField(
        "operator", default=False, help_text="Sees and does everything in the admin, of all organizations."
    )
    is_active = models.BooleanField("active", default=True, help_text="Off instead of deleting a person.")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    # Part of what sessions are checked against: a new value ends them all.
    session_epoch = models.CharField(max_length=16, default="", db_default="", editable=False)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_in_lower_case")
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip().lower()

    def vouch_for_email(self) -> None:
        """Take the address as verified, and as the only one: an operator or a command has set it."""
        from allauth.account.models import EmailAddress  # needs this model

        EmailAddress.objects.filter(user=self).exclude(email=self.email).delete()
        verified = {"verified": True, "primary": True}
        EmailAddress.objects.update_or_create(user=self, email=self.email, defaults=verified)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's own as long as no epoch was begun, so that sessions outlast an upgrade."""
        salt = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash"
        value = self.password + self.session_epoch
        return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()

    @property
    def is_operator(self) -> bool:
        return self.is_active and self.is_superuser

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.is_operator

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_operator


class RandomId(Func):
    """An id as the database makes one: of digits that all ids may have, but not by time."""

    template = "%(prefix)s || substr(replace(gen_random_uuid()::text, '-', ''), 1, 26)"
    output_field = models.CharField()

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix=f"'{prefix}_'")

    def deconstruct(self) -> tuple[str, tuple[str], dict[str, str]]:
        return "accounts.models.RandomId", (self.extra["prefix"].strip("'_"),), {}


def override_of(limit: models.Field[Any, Any]) -> models.Field[Any, Any]:
    """The same field, which may be empty and is so by default."""
    _, _, args, options = limit.deconstruct()
    for default in ("default", "db_default"):
        options.pop(default, None)
    return type(limit)(*args, **options | {"null": True, "blank": True})


class PlanLimits(models.Model):
    """Each limit, declared once: the plan's value, its overrides and what `/v1/me` shows follow from it.

    `accounts.limits.Limits` says what each means, and its type.
    """

    create_per_minute = models.PositiveIntegerField(validators=[at_least_one])
    read_per_minute = models.PositiveIntegerField(validators=[at_least_one])
    concurrent_jobs = models.PositiveIntegerField(validators=[at_least_one])
    queued_jobs = models.PositiveIntegerField(validators=[at_least_one])
    video_seconds_per_month = models.PositiveIntegerField()
    max_speech_seconds = models.PositiveIntegerField(validators=[at_least_one])
    max_upload_bytes = models.PositiveBigIntegerField(validators=[at_least_one])
    resolutions = ArrayField(models.CharField(max_length=16, choices=resolution_choices))
    presets = ArrayField(models.CharField(max_length=16, choices=preset_choices))
    retention_seconds = models.PositiveIntegerField(default=6 * 3600)
    price_per_video_second_usd = models.DecimalField(
        max_digits=10, decimal_places=6, validators=[MinValueValidator(0)]
    )
    weight = models.PositiveIntegerField(default=1, validators=[at_least_one])
    # The release before knows none of these: its inserts take the database's default.
    active_keys = models.PositiveIntegerField(db_default=100, default=100, validators=[at_least_one])
    open_assets = models.PositiveIntegerField(db_default=200, default=200, validators=[at_least_one])
    open_asset_bytes = models.PositiveBigIntegerField(
        db_default=10_000_000_000, default=10_000_000_000, validators=[at_least_one]
    )
    open_streams = models.PositiveIntegerField(db_default=200, default=200, validators=[at_least_one])
    open_uploads = models.PositiveIntegerField(db_default=64, default=64, validators=[at_least_one])
    consent_required = models.BooleanField(db_default=False, default=False)

    class Meta:
        abstract = True


class Plan(PlanLimits):
    """Limits and price that organizations share."""

    code = models.SlugField(primary_key=True, max_length=32)
    name = models.CharField(max_length=64)

    class Meta:
        ordering = ["price_per_video_second_usd", "code"]

    def __str__(self) -> str:
        return self.name


class LimitOverrides(models.Model):
    """Each limit of the plan once more; empty means: as the plan says."""

    class Meta:
        abstract = True


for declared in PlanLimits._meta.local_fields:
    LimitOverrides.add_to_class(declared.name, override_of(declared))


class Organization(LimitOverrides):
    """A tenant: what it makes is seen by its own members and keys only."""

    id = models.CharField(
        primary_key=True, max_length=30, default=partial(new_id, "org"), editable=False, db_collation="C"
    )
    name = models.CharField(max_length=100, unique=True)
    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, default=DEFAULT_PLAN, related_name="organizations"
    )
    test_plan = models.ForeignKey(
        Plan,
        on_delete=models.PROTECT,
        default=DEFAULT_TEST_PLAN,
        related_name="+",
        help_text="The limits of test mode. The overrides below hold for live mode only.",
    )
    suspended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_suspended(self) -> bool:
        return self.suspended_at is not None


class Membership(models.Model):
    """A person's role in an organization."""

    # The release before knows none: its inserts take the database's.
    member_id = models.CharField(
        max_length=30, editable=False, default=partial(new_id, "mem"), db_default=RandomId("mem")
    )
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class Invitation(models.Model):
    """Somebody is asked by mail to become a member. Of the link's secret only a SHA-256 is kept."""

    id = models.CharField(
        primary_key=True, max_length=30, default=partial(new_id, "inv"), editable=False, db_collation="C"
    )
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Role.choices)
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "email"], name="invitation_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="invitation_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.organization}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()


class ApiKeyQuerySet(TenantQuerySet["ApiKey"]):
    def active(self) -> Self:
        """Those that work now."""
        in_time = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
        return self.filter(in_time, revoked_at__isnull=True)


class ApiKey(LimitOverrides):
    """A key without its secret, of which only a SHA-256 is kept."""

    class State(models.TextChoices):
        ACTIVE = "active"
        EXPIRED = "expired"
        REVOKED = "revoked"

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, editable=False, db_collation="C")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    livemode = models.BooleanField(editable=False)
    secret_sha256 = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=32, choices=Scope.choices))
    allowed_ips = ArrayField(
        models.CharField(max_length=43),
        default=list,
        blank=True,
        verbose_name="allowed addresses",
        help_text="Networks that may use the key, such as 203.0.113.0/24. Empty: any.",
    )
    created_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    # A rotation brings `expires_at` forward; what it was before is what the next rotation hands on.
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_unless_rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_ip = models.GenericIPAddressField("last used IP", null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=Scope.values), name="api_key_scopes_known"
            ),
        ]
        indexes = [models.Index(fields=["organization", "livemode", "-id"], name="api_key_list")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def mode(self) -> str:
        return "live" if self.livemode else "test"

    @property
    def prefix(self) -> str:
        """The part of the key that isn't secret."""
        return f"av_{self.mode}_{self.id}"

    @property
    def lifetime_ends_at(self) -> datetime | None:
        """When the key and those that take its place expire; None: never."""
        return self.expires_unless_rotated_at if self.rotated_at else self.expires_at

    def state(self, now: datetime | None = None) -> State:
        if self.revoked_at is not None:
            return self.State.REVOKED
        if self.expires_at is not None and self.expires_at <= (now or timezone.now()):
            return self.State.EXPIRED
        return self.State.ACTIVE


class IdempotencyClaim(models.Model):
    """A key that a request has claimed; complete once the request has made its object."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    livemode = models.BooleanField()
    key = models.CharField(max_length=255)
    endpoint = models.CharField(max_length=16)
    body_sha256 = models.CharField(max_length=64)
    object_id = models.CharField(max_length=30, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "jobs_idempotencyclaim"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "livemode", "endpoint", "key"], name="claim_once_an_endpoint"
            ),
        ]
        indexes = [models.Index(fields=["created_at"], name="claim_expiring")]

    def __str__(self) -> str:
        return f"{self.key} of {self.organization_id}"
