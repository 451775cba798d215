"""Forms of the pages about accounts: allauth's, in our words, and those for the profile and for API tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from allauth.account import forms as account_forms
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.base import forms as mfa_forms
from allauth.mfa.totp import forms as totp_forms
from allauth.socialaccount import forms as social_forms
from django import forms
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.shortcuts import redirect

from controlplane.accounts.access import end_access, end_earlier_ways_in
from controlplane.accounts.adapter import has_verified_address
from controlplane.accounts.models import User
from controlplane.accounts.scopes import MEANING, Scope
from controlplane.accounts.second_factor import SecondFactorAdapter, remember_code
from controlplane.accounts.services import welcome

PASSWORD_HINT = "At least 8 characters, not only digits, and nothing that many people use."  # noqa: S105 - a hint
TAKEN_MEANWHILE = "Someone took this name or address a moment ago. Choose another one."


def present_session() -> str | None:
    """Return the key of the session of the present request, which Django itself ends, or keeps, with the new password."""
    return cast("str | None", context.request.session.session_key)


class Plain:
    """Labels and hints instead of placeholders, which vanish as soon as one types."""

    labels: dict[str, str] = {}
    hints: dict[str, str] = {}
    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs.pop("placeholder", None)
            field.label = self.labels.get(name, field.label)
            field.help_text = self.hints.get(name, "")


class SignInForm(Plain, account_forms.LoginForm):
    """User name or e-mail address, and password."""

    labels = {"login": "User name or e-mail", "password": "Password", "remember": "Stay signed in on this device"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget.attrs.update(autocomplete="username", autocapitalize="none", spellcheck="false", maxlength=254)


class SignUpForm(Plain, account_forms.SignupForm):
    """A new account."""

    labels = {"username": "User name", "email": "E-mail", "password1": "Password"}
    hints = {"username": "The first part of the paths of your projects. Letters, digits, '_', '.' and '-'.", "password1": PASSWORD_HINT}

    def save(self, request: HttpRequest) -> User:
        """Create the user, their address and, in the same transaction, their workspace."""
        try:
            with transaction.atomic():
                user = cast(User, super().save(request))
                welcome(user)
        except IntegrityError as error:
            messages.error(request, TAKEN_MEANWHILE)
            raise ImmediateHttpResponse(redirect("account_signup")) from error
        return user


class SocialSignUpForm(Plain, social_forms.SignupForm):
    """A new account for somebody who comes from a third party."""

    labels = {"username": "User name", "email": "E-mail"}
    hints = {"username": SignUpForm.hints["username"]}


class AddAddressForm(Plain, account_forms.AddEmailForm):
    """One more e-mail address."""

    labels = {"email": "Another address"}

    def clean_email(self) -> str:
        """Refuse an address that any account has: no two share one."""
        email = str(super().clean_email())
        others = EmailAddress.objects.filter(email=email).exists() or User.objects.filter(email__iexact=email).exists()
        if others:
            raise forms.ValidationError("There is another account with this address.", code="email_taken")
        return email

    def save(self, request: HttpRequest) -> EmailAddress:
        """Add it and send the mail with the link."""
        try:
            with transaction.atomic():
                return cast(EmailAddress, super().save(request))
        except IntegrityError as error:
            messages.error(request, "Someone took this address a moment ago.")
            raise ImmediateHttpResponse(redirect("account_email")) from error


class ChangePasswordForm(Plain, account_forms.ChangePasswordForm):
    """A new password in place of the present one, and the end of all API tokens unless they are to stay."""

    labels = {
        "oldpassword": "Present password",
        "password1": "New password",
        "password2": "New password, again",
        "end_tokens": "Revoke all my API tokens as well",
    }
    hints = {"password1": PASSWORD_HINT}
    end_tokens = forms.BooleanField(required=False, initial=True)

    def save(self) -> None:
        """Set the password and, in the same transaction, revoke what was ticked."""
        with transaction.atomic():
            super().save()
            if self.cleaned_data["end_tokens"]:
                user = cast(User, self.user)
                end_access(user=user, because="password change", actor=user, kept_session=present_session())


class SetPasswordForm(Plain, account_forms.SetPasswordForm):
    """A first password, for somebody who came from a third party."""

    labels = {"password1": "Password", "password2": "Password, again"}
    hints = {"password1": PASSWORD_HINT}


class NewPasswordForm(Plain, account_forms.ResetPasswordKeyForm):
    """A new password in place of a forgotten one."""

    labels = ChangePasswordForm.labels
    hints = ChangePasswordForm.hints

    def save(self) -> None:
        """Set the password and, in the same transaction, end all other ways in: whoever needs this may have lost them to somebody else."""
        with transaction.atomic():
            super().save()
            end_access(user=self.user, because="password reset", actor=self.user, kept_session=present_session())
            end_earlier_ways_in(user=self.user)


class ForgottenPasswordForm(Plain, account_forms.ResetPasswordForm):
    """Asks for the mail that resets a password. Only verified addresses get one; the page answers all alike."""

    labels = {"email": "E-mail"}

    def clean_email(self) -> str:
        """Find whom the address belongs to for certain, or who has yet to confirm it."""
        email = str(super().clean_email())
        self.users = [user for user in self.users if has_verified_address(user, email)]
        unverified = EmailAddress.objects.filter(email=email.lower(), verified=False, user__is_active=True)
        self.unverified = None if self.users else unverified.first()
        return email

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        """Send the link, or first the one that confirms the address."""
        if self.unverified is None:
            return str(super().save(request, **kwargs))
        self.unverified.send_confirmation(request)
        return str(self.cleaned_data["email"])


class ConfirmPasswordForm(Plain, account_forms.ReauthenticateForm):
    """The password once more, before something that matters."""

    labels = {"password": "Password"}


class CodeOnce(Plain):
    """A code that has not been used before."""

    labels = {"code": "Code"}
    user: User

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].widget.attrs.update(inputmode="numeric", autofocus=True, maxlength=20)

    def clean_code(self) -> str:
        """Check the code and use it up."""
        code = str(super().clean_code())  # type: ignore[misc]
        if not remember_code(self.user, code):
            raise SecondFactorAdapter().validation_error("incorrect_code")
        return code


class CodeForm(CodeOnce, mfa_forms.AuthenticateForm):
    """The second step of a sign-in."""

    hints = {"code": "Six digits of your authenticator app, or one of your recovery codes."}


class ConfirmCodeForm(CodeOnce, mfa_forms.ReauthenticateForm):
    """A code once more, before something that matters."""

    hints = CodeForm.hints


class ActivateAppForm(CodeOnce, totp_forms.ActivateTOTPForm):
    """The first code of a new authenticator app."""

    hints = {"code": "Six digits that the app shows now."}


class ProfileForm(Plain, forms.ModelForm):  # type: ignore[type-arg]
    """What others may know."""

    labels = {"first_name": "First name", "last_name": "Last name", "homepage": "Web page", "biography": "About you"}
    homepage = forms.URLField(required=False, max_length=300, assume_scheme="https")

    class Meta:
        model = User
        fields = ["first_name", "last_name", "job", "company", "location", "homepage", "biography"]


class TokenForm(Plain, forms.Form):
    """An API token to make."""

    EVERYTHING = "everything"
    labels = {"name": "Name", "lifetime": "Valid for", "scopes": "What it may do"}
    hints = {"name": "Where you use it, so that you know it again.", "scopes": "'Everything' does not go with others."}

    name = forms.CharField(max_length=100)
    lifetime = forms.TypedChoiceField(
        choices=[(1, "1 day"), (7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "1 year")],
        coerce=lambda days: timedelta(days=int(days)),
        initial=30,
    )
    scopes = forms.MultipleChoiceField(
        choices=[(EVERYTHING, "everything"), *((scope.value, f"{scope.value}: {MEANING[scope]}") for scope in Scope)],
        widget=forms.CheckboxSelectMultiple,
        initial=[EVERYTHING],
    )

    def clean_scopes(self) -> list[Scope] | None:
        """Return the scopes, or None for everything."""
        chosen = self.cleaned_data["scopes"]
        if chosen == [self.EVERYTHING]:
            return None
        if self.EVERYTHING in chosen:
            raise forms.ValidationError("Choose 'everything' alone, or only the parts that you need.")
        return [Scope(word) for word in chosen]
