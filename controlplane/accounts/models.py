"""Users, API tokens, signing keys and what was revoked."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

from controlplane.accounts.querysets import ApiTokenQuerySet
from controlplane.accounts.scopes import Scope, widened
from controlplane.common.models import BaseModel


class UserManager(BaseUserManager["User"]):
    """What Django's createsuperuser needs; people come through `services.sign_up`."""

    def create_user(self, username: str, email: str, password: str | None = None, **extra: Any) -> User:
        """Create a user with a hashed password."""
        user = self.model(username=username, email=self.normalize_email(email), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, email: str, password: str | None = None, **extra: Any) -> User:
        """Create an operator."""
        return self.create_user(username, email, password, is_staff=True, is_superuser=True, **extra)

    def get_by_natural_key(self, username: str | None) -> User:
        """Find by name, whatever its case."""
        return self.get(username__iexact=username)


class User(BaseModel, AbstractBaseUser, PermissionsMixin):
    """A person. Names are unique whatever their case, since they are the first part of paths."""

    username = models.CharField(max_length=60, unique=True)
    email = models.EmailField(max_length=254)
    first_name = models.CharField(max_length=100, blank=True, default="")
    last_name = models.CharField(max_length=100, blank=True, default="")
    job = models.CharField(max_length=100, blank=True, default="")
    company = models.CharField(max_length=100, blank=True, default="")
    location = models.CharField(max_length=100, blank=True, default="")
    homepage = models.CharField(max_length=300, blank=True, default="")
    biography = models.TextField(max_length=5000, blank=True, default="")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    # When the main address was first confirmed by somebody who was not signed in: perhaps not whoever had made the account.
    confirmed_elsewhere_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[UserManager] = UserManager()

    # The API token that this request came with; it may allow less than the person could do.
    credential: ApiToken | None = None

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_unique"),
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
        ]

    def __str__(self) -> str:
        return self.username


class ApiToken(BaseModel):
    """A token of a user. Only its SHA-256 is kept: the token is 256 random bits, so a slow hash would add nothing.

    `scopes` None: a full token. `project_id`: it sees that project alone (no foreign key: projects stand above accounts).
    `made_by`: the token that asked for it; it ends with that one at the latest.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)
    scopes = ArrayField(models.CharField(max_length=20, choices=[(scope.value, scope.value) for scope in Scope]), null=True, blank=True)
    project_id = models.UUIDField(null=True, blank=True)
    made_by = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="made")
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "token"
        indexes = [models.Index(fields=["user", "created_at"], name="token_user")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_narrow(self) -> bool:
        """Tell whether it may do less than its person."""
        return self.scopes is not None or self.project_id is not None

    def covers(self, scope: str) -> bool:
        """Tell whether the token may be used for this scope."""
        return self.scopes is None or scope in widened(frozenset(Scope(name) for name in self.scopes))


class SigningKey(BaseModel):
    """An ES256 key pair for endpoint tokens; the private part is encrypted at rest with FIELD_KEY."""

    kid = models.CharField(max_length=32, unique=True)
    private_encrypted = models.TextField()
    public_pem = models.TextField()
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "signing key"

    def __str__(self) -> str:
        return self.kid


class Revocation(BaseModel):
    """Endpoint tokens of `subject` that were made at or before `at` are void. Rows are added, never changed back; the newest of a subject counts.

    `subject`: `u/<user>`, `u/<user>/p/<project>` or `t/<API token>`. At `expires_at` the last token that it could void has ended.
    """

    subject = models.CharField(max_length=100)
    at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name = "revocation"
        indexes = [models.Index(fields=["expires_at"], name="revocation_expiry")]

    def __str__(self) -> str:
        return self.subject
