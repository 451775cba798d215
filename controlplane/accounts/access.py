"""Taking back every way into an account: API tokens, endpoint tokens and sessions."""

from __future__ import annotations

from datetime import timedelta

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.db import transaction

from controlplane.accounts.models import ApiToken, User
from controlplane.accounts.revocations import revoke_all_endpoint_access
from controlplane.accounts.trail import note
from controlplane.audit.services import record
from controlplane.common.clock import now
from controlplane.common.errors import NotFound

# Who confirms an address and then finds that the account is not theirs resets the password within this time. Whoever had made the account can
# still sign in meanwhile.
SETTLING = timedelta(days=1)


def end_access(*, user: User, because: str, actor: User | None, kept_session: str | None = None) -> int:
    """Revoke all tokens of a user and end their sessions but `kept_session` (a session key); returns how many tokens and sessions that were.

    A token that is being made at the same time with what held until now is not made: `services.create_token` waits for this transaction.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        tokens = end_tokens(user)
        sessions = UserSession.objects.filter(user=user).exclude(session_key=kept_session or "")
        ended = [session.end() for session in sessions]
        details = {"because": because, "tokens": tokens, "sessions": len(ended)}
        note(user, "account.access_end", actor=actor, details=details)
    return tokens + len(ended)


def set_active(*, username: str, active: bool) -> User:
    """Shut somebody out of everything at once, or let them sign in again (with new tokens). What is theirs stays, and goes on running.

    Raises `NotFound`.
    """
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).filter(username__iexact=username).first()
        if user is None:
            raise NotFound("not_found", f"There is no user '{username}'.")
        user.is_active = active
        user.save(update_fields=["is_active", "updated_at"])
        action = "account.restore" if active else "account.deactivate"
        record(actor=None, action=action, kind="account", target=user.pk, name=user.username, chain=None)
        if not active:
            end_access(user=user, because="deactivated", actor=None)
    return user


def end_tokens(user: User) -> int:
    """Revoke all API tokens of a user, and void all endpoint tokens; returns how many API tokens that were. Call it in a transaction."""
    tokens = ApiToken.objects.filter(user=user, revoked_at=None, expires_at__gt=now()).update(revoked_at=now())
    revoke_all_endpoint_access(user_id=user.pk)
    return tokens


def end_earlier_ways_in(*, user: User) -> None:
    """Remove the second factors, connected accounts and other addresses of whoever made an account with an address that was not theirs.

    Called when the password is reset by mail. Only where the main address was first confirmed by somebody who was not signed in; what was
    added later than `SETTLING` after that stays.
    """
    if user.confirmed_elsewhere_at is None:
        return
    until = user.confirmed_elsewhere_at + SETTLING
    with transaction.atomic():
        factors = Authenticator.objects.filter(user=user)
        ended = factors.filter(created_at__lt=until).delete()[0]
        if not factors.exclude(type=Authenticator.Type.RECOVERY_CODES).exists():
            ended += factors.delete()[0]
        ended += SocialAccount.objects.filter(user=user, date_joined__lt=until).delete()[0]
        if now() < until:
            ended += EmailAddress.objects.filter(user=user, primary=False).delete()[0]
        if ended:
            note(user, "account.earlier_ways_end", actor=user)
