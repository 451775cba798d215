"""What follows from a sign-up, a sign-in and a new password."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from allauth.account import signals as account_signals
from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa import signals as mfa_signals
from allauth.socialaccount import signals as social_signals
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.models import Session
from django.db import transaction
from django.dispatch import Signal, receiver
from django.http import HttpRequest

from controlplane.accounts.access import end_access
from controlplane.accounts.models import User
from controlplane.accounts.signals import user_signed_up
from controlplane.accounts.throttle import forget_tries, know_address
from controlplane.accounts.trail import note, note_refusal
from controlplane.audit.origin import client_address
from controlplane.common.clock import now
from controlplane.common.errors import Conflict, Unavailable

SWEPT_SESSIONS = 200
ENDED = "Sessions and API tokens from before your address was confirmed have ended. Sign in and make new tokens where you need them."
# What the audit log says of allauth's signals. Signals of third parties carry the user inside something else.
RECORDED: dict[Signal, str] = {
    account_signals.user_logged_in: "account.sign_in",
    user_logged_out: "account.sign_out",
    account_signals.password_changed: "account.password_change",
    account_signals.password_set: "account.password_set",
    account_signals.password_reset: "account.password_reset",
    account_signals.email_added: "account.address_add",
    account_signals.email_removed: "account.address_remove",
    account_signals.email_changed: "account.address_change",
    mfa_signals.authenticator_added: "account.second_factor_add",
    mfa_signals.authenticator_removed: "account.second_factor_remove",
    mfa_signals.authenticator_reset: "account.recovery_codes_renew",
    social_signals.social_account_added: "account.connect",
    social_signals.social_account_removed: "account.disconnect",
}


@receiver(user_signed_up, dispatch_uid="accounts.keep_address")
def keep_address(sender: type[User], user: User, **_: Any) -> None:
    """Keep the address of a new user, in lower case, and ask for its confirmation. A sign-up in the browser has done both.

    Raises `Conflict`, which undoes the sign-up, when the address is one of another account.
    """
    if EmailAddress.objects.filter(user=user).exists():
        return
    email = user.email.lower()
    if EmailAddress.objects.filter(email=email).exists():
        raise Conflict("email_taken", "There is an account with this e-mail address. Log in instead.", fields={"email": ["taken"]})
    if user.email != email:
        user.email = email
        user.save(update_fields=["email"])
    address = EmailAddress.objects.create(user=user, email=email, primary=True)
    transaction.on_commit(lambda: send_confirmation(address), robust=True)


def send_confirmation(address: EmailAddress) -> None:
    """Send the mail with the link."""
    address.send_confirmation(context.request, signup=True)


@receiver(account_signals.email_confirmed, dispatch_uid="accounts.end_what_was_before")
def end_what_was_before(sender: type[EmailAddress], request: HttpRequest, email_address: EmailAddress, **_: Any) -> None:
    """End all access when the main address of an account is confirmed, which happens once: anybody could have signed up with it.

    Whoever confirms it in the session of that account has shown both, and stays signed in under another session key.
    """
    if not email_address.primary:
        return
    user: User = email_address.user
    at_home = request.user.is_authenticated and request.user.pk == user.pk
    if at_home:
        before = UserSession.objects.filter(session_key=request.session.session_key)
        request.session.cycle_key()
        before.update(session_key=request.session.session_key)
    else:
        User.objects.filter(pk=user.pk).update(confirmed_elsewhere_at=now())
    if end_access(user=user, because="address confirmed", actor=user, kept_session=request.session.session_key if at_home else None):
        get_adapter(request).add_message(request, messages.WARNING, message=ENDED)


@receiver(account_signals.password_reset, dispatch_uid="accounts.forget_tries")
def forget_wrong_passwords(sender: type[User], user: User, **_: Any) -> None:
    """Let somebody in who has just chosen a new password, after however many wrong ones."""
    forget_tries(user)


@receiver(account_signals.user_logged_in, dispatch_uid="accounts.know_address")
def know_where_from(sender: type[User], request: HttpRequest, user: User, **_: Any) -> None:
    """Know the address of a sign-in that is complete. When Valkey went away a moment ago, the person is signed in all the same."""
    with suppress(Unavailable):
        know_address(user, client_address(request))


@receiver(account_signals.user_logged_in, dispatch_uid="accounts.sweep_sessions")
def sweep_sessions(sender: type[User], **_: Any) -> None:
    """Remove sessions that are over: a few at each sign-in keep the table as small as it needs to be."""
    with transaction.atomic():
        over = Session.objects.select_for_update(skip_locked=True).filter(expire_date__lt=now())
        Session.objects.filter(pk__in=list(over.values_list("pk", flat=True)[:SWEPT_SESSIONS])).delete()


@receiver(mfa_signals.authentication_failed, dispatch_uid="accounts.refused_code")
def write_down_refused_code(sender: Any, user: User, **_: Any) -> None:
    """Add a wrong code of the second step in the browser to the audit log."""
    note_refusal(user, "code")


def write_down(sender: Any, signal: Signal, **told: Any) -> None:
    """Add the act to the audit log of the person's own workspace, which they can read."""
    user = person_of(told)
    if user is not None:
        with transaction.atomic():
            note(user, RECORDED[signal], actor=user)


def person_of(told: dict[str, Any]) -> User | None:
    """Return the user whom a signal is about."""
    for name in ("user", "sociallogin", "socialaccount"):
        found = told.get(name)
        found = found if name == "user" else getattr(found, "user", None)
        if isinstance(found, User):
            return found
    return None


for each in RECORDED:
    each.connect(write_down, dispatch_uid="accounts.write_down")
