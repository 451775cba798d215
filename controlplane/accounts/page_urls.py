"""Paths of the pages about accounts. The names are those that allauth looks for."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.socialaccount import views as social
from allauth.urls import build_provider_urlpatterns
from allauth.usersessions import views as sessions
from django.urls import URLPattern, URLResolver, include, path, re_path

from controlplane.accounts import page_views

entrance: list[URLPattern | URLResolver] = [
    path("sign-in/", account.login, name="account_login"),
    path("sign-in/code/", mfa.authenticate, name="mfa_authenticate"),
    path("sign-out/", account.logout, name="account_logout"),
    path("sign-up/", account.signup, name="account_signup"),
    path("closed/", account.account_inactive, name="account_inactive"),
    path("confirm/", account.reauthenticate, name="account_reauthenticate"),
    path("confirm/code/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path("address/", account.email_verification_sent, name="account_email_verification_sent"),
    re_path(r"^address/(?P<key>[-:\w]+)/$", account.confirm_email, name="account_confirm_email"),
    path("password/", account.password_reset, name="account_reset_password"),
    path("password/sent/", account.password_reset_done, name="account_reset_password_done"),
    path("password/done/", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(r"^password/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$", account.password_reset_from_key, name="account_reset_password_from_key"),
    path("with/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("with/error/", social.login_error, name="socialaccount_login_error"),
    path("with/sign-up/", social.signup, name="socialaccount_signup"),
    path("with/", include(build_provider_urlpatterns())),
]
settings_area: list[URLPattern | URLResolver] = [
    path("", page_views.profile, name="settings"),
    path("addresses/", account.email, name="account_email"),
    path("password/", account.password_change, name="account_change_password"),
    path("password/first/", account.password_set, name="account_set_password"),
    path("second-factor/", mfa.index, name="mfa_index"),
    path("second-factor/app/", totp.activate_totp, name="mfa_activate_totp"),
    path("second-factor/app/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("second-factor/codes/", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("second-factor/codes/new/", recovery_codes.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("connections/", social.connections, name="socialaccount_connections"),
    path("sessions/", sessions.list_usersessions, name="usersessions_list"),
    path("tokens/", page_views.tokens, name="settings_tokens"),
    path("tokens/new/", page_views.new_token, name="settings_token_new"),
    path("tokens/<uuid:token_id>/revoke/", page_views.revoke, name="settings_token_revoke"),
]
urlpatterns = [path("accounts/", include(entrance)), path("settings/", include(settings_area))]
