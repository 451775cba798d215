"""Sign-up and API tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from controlplane.accounts.models import ApiToken, User
from controlplane.accounts.revocations import revoke_issued_by
from controlplane.accounts.scopes import Scope
from controlplane.accounts.signals import token_bound, user_signed_up, username_wanted
from controlplane.accounts.trail import note
from controlplane.audit.services import record
from controlplane.common.clock import now
from controlplane.common.errors import Conflict, InvalidInput, NotAuthenticated, NotFound, PermissionDenied

TOKEN_PREFIX = "slw_"  # noqa: S105 - the visible mark of a token, not a secret
ADDRESS_LENGTH = 254
TOKENS_AT_MOST = 500
LAST_USE_PRECISION = timedelta(minutes=1)
USERNAME_RULE = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,58}[A-Za-z0-9_])?$")
RESERVED_NAMES = {"me", "admin", "hub", "api", "v1", "docs", "static", "new", "settings", "accounts", "operator"}


def sign_up(*, username: str, email: str, password: str) -> User:
    """Create a user and, through `user_signed_up`, their personal workspace.

    Raises `InvalidInput` (a name, address or password that will not do) and `Conflict` (taken).
    """
    check_username(username)
    user = User(username=username, email=checked_address(email))
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput(
            "password", "Choose another password: " + " ".join(error.messages), fields={"password": error.messages}
        ) from error
    if User.objects.filter(username__iexact=username).exists():
        raise Conflict("username_taken", f"The name '{username}' is taken. Choose another one.", fields={"username": ["taken"]})
    if User.objects.filter(email__iexact=user.email).exists():
        raise Conflict("email_taken", "There is an account with this e-mail address. Log in instead.", fields={"email": ["taken"]})
    user.password = make_password(password)
    try:
        with transaction.atomic():
            user.save()
            welcome(user)
    except IntegrityError as error:
        raise Conflict("username_taken", "Someone took this name or address a moment ago. Choose another one.") from error
    return user


def welcome(user: User) -> None:
    """Do what a sign-up brings in other rooms, and write it down. Call it in the transaction that has made the user."""
    user_signed_up.send(sender=User, user=user)
    note(user, "account.sign_up", actor=user)


def check_username(username: str) -> None:
    """Refuse names that could not be part of a path, or that mean something else there, such as an organization."""
    if not USERNAME_RULE.match(username):
        raise InvalidInput(
            "username",
            "A user name has 1 to 60 letters, digits, '_', '.' or '-', begins with a letter or digit and does not end in '.' or '-'.",
            fields={"username": ["not a valid name"]},
        )
    if username.lower() in RESERVED_NAMES:
        raise Conflict("username_taken", f"The name '{username}' is reserved. Choose another one.", fields={"username": ["reserved"]})
    username_wanted.send(sender=User, username=username)


def checked_address(email: str) -> str:
    """Return an e-mail address as it is kept, in lower case. Raises `InvalidInput` for one that no mail could be sent to.

    A quoted local part may hold control characters by the standard, but no header of a mail may; and some letters become two in lower case.
    """
    kept = email.strip().lower()
    if not kept.isprintable():
        raise InvalidInput("email", "An e-mail address holds no control characters.", fields={"email": ["not a valid address"]})
    if len(kept) > ADDRESS_LENGTH:
        raise InvalidInput("email", f"An e-mail address has {ADDRESS_LENGTH} characters at most.", fields={"email": ["too long"]})
    try:
        validate_email(kept)
    except ValidationError as error:
        raise InvalidInput("email", "This is not a valid e-mail address.", fields={"email": ["not a valid address"]}) from error
    return kept


def make_operator(*, username: str, operator: bool) -> User:
    """Give a user the rights of an operator, or take them. Raises `NotFound`."""
    with transaction.atomic():
        user = User.objects.select_for_update().filter(username__iexact=username).first()
        if user is None:
            raise NotFound("not_found", f"There is no user '{username}'. They sign up first.")
        user.is_staff = operator
        user.save(update_fields=["is_staff", "updated_at"])
        record(
            actor=None, action="account.operator", kind="account", target=user.pk, name=user.username, chain=None, details={"is": operator}
        )
    return user


def verify_password(*, username: str, password: str) -> User | None:
    """Return the active user with this name and password, or None; the time taken does not tell which was wrong."""
    user = User.objects.filter(username__iexact=username, is_active=True).first()
    if user is None:
        make_password(password)
        return None
    return user if check_password(password, user.password) else None


def create_token(
    *, user: User, name: str, ttl: timedelta, scopes: Collection[Scope] | None = None, project_id: UUID | None = None
) -> tuple[ApiToken, str]:
    """Create a token that lives for `ttl`; return its row and the clear token, which is not kept.

    Without `scopes` it is a full one; with `project_id` it sees that project alone. One that a token asks for ends with that token at the
    latest, whatever `ttl` says. Raises `PermissionDenied` when the token of the request would give more than it has, `NotFound` for a
    project that the user does not see, `NotAuthenticated` when what the request came with has ended meanwhile, and `Conflict` for one
    token too many.
    """
    check_not_wider(user.credential, scopes, project_id)
    clear = TOKEN_PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        asking = lock_asking(user)
        moment = now()
        check_room(user, moment)
        if project_id is not None:
            token_bound.send(sender=ApiToken, user=user, project_id=project_id)
        token = ApiToken.objects.create(
            user=user,
            name=name,
            digest=token_digest(clear),
            prefix=clear[:8],
            scopes=None if scopes is None else sorted(set(scopes)),
            project_id=project_id,
            made_by=asking,
            expires_at=min(moment + ttl, asking.expires_at) if asking else moment + ttl,
        )
        seconds = int((token.expires_at - moment).total_seconds())
        details = {"scopes": token.scopes, "project": project_id, "seconds": seconds, "made_by": asking and asking.pk}
        record(actor=user, action="token.create", kind="token", target=token.pk, name=str(token), chain=user.pk, details=details)
    return token, clear


def check_room(user: User, moment: datetime) -> None:
    """Raise `Conflict` when a user, who is locked, has as many valid tokens as anybody may have."""
    if ApiToken.objects.filter(user=user).valid_at(moment).count() >= TOKENS_AT_MOST:
        raise Conflict(
            "too_many_tokens", f"You have {TOKENS_AT_MOST} valid tokens, and nobody may have more. Revoke some that you do not need."
        )


def lock_asking(user: User) -> ApiToken | None:
    """Lock a user and the token of the request, which is returned, so that neither ends before the transaction does.

    Raises `NotAuthenticated` when one has ended since the request was let in: no token outlives what it was made with.
    """
    present = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if user.credential is not None:
        valid = ApiToken.objects.valid_at(now()).filter(pk=user.credential.pk)
        asking: ApiToken | None = valid.select_for_update(of=("self",), no_key=True).first()
        if asking is not None:
            return asking
    elif present.is_active and present.password == user.password:
        return None
    raise NotAuthenticated("not_authenticated", "What you have signed in with is no longer valid. Sign in again.")


def check_not_wider(credential: ApiToken | None, scopes: Collection[Scope] | None, project_id: UUID | None) -> None:
    """Raise `PermissionDenied` if a token is asked for that may more than the one that asks."""
    if credential is None:
        return
    wider = credential.scopes is not None and (scopes is None or not all(credential.covers(scope) for scope in scopes))
    if wider or credential.project_id not in (None, project_id):
        raise PermissionDenied(
            "wider_token", "A token can make tokens with its own scopes and project only. Make this one with your name and password."
        )


def token_digest(clear: str) -> str:
    """Return the SHA-256 under which a token is kept."""
    return hashlib.sha256(clear.encode()).hexdigest()


def use_token(*, clear: str) -> ApiToken | None:
    """Return the valid token and record its use (to the minute, so that reading does not write each time)."""
    moment = now()
    token = ApiToken.objects.valid_at(moment).select_related("user").filter(digest=token_digest(clear)).first()
    if token is not None and used_long_ago(token, moment):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=moment)
        token.last_used_at = moment
    return token


def used_long_ago(token: ApiToken, moment: datetime) -> bool:
    """Tell whether the recorded last use is older than its precision."""
    return token.last_used_at is None or moment - token.last_used_at >= LAST_USE_PRECISION


def revoke_token(*, actor: User, token_id: object) -> None:
    """Revoke one of the actor's tokens at once, with those that it made and the endpoint tokens that they all got.

    Raises `NotFound`; revoking twice is no error.
    """
    with transaction.atomic():
        token = ApiToken.objects.visible_to(actor).select_for_update().filter(pk=token_id).first()
        if token is None:
            raise NotFound("not_found", "You have no such token.")
        ended = [one for one in with_made(token) if one.revoked_at is None]
        ApiToken.objects.filter(pk__in=[one.pk for one in ended]).update(revoked_at=now())
        for one in ended:
            revoke_issued_by(token_id=one.pk)
            details = {} if one.pk == token.pk else {"with": str(token)}
            record(actor=actor, action="token.revoke", kind="token", target=one.pk, name=str(one), chain=actor.pk, details=details)


def with_made(token: ApiToken) -> list[ApiToken]:
    """Return a locked token and, locked as well, those that it made, those that they made, and so on."""
    found, latest = [token], [token]
    while latest:
        latest = list(ApiToken.objects.select_for_update().filter(made_by__in=[one.pk for one in latest]).order_by("created_at"))
        found += latest
    return found
