"""Pages of the settings area that are our own: the profile and API tokens. The others are allauth's views with our templates."""

from __future__ import annotations

from uuid import UUID

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from controlplane.accounts.api.actors import actor_of
from controlplane.accounts.forms import ProfileForm, TokenForm
from controlplane.accounts.models import ApiToken
from controlplane.accounts.services import TOKENS_AT_MOST, create_token, revoke_token
from controlplane.accounts.trail import note
from controlplane.common.clock import now
from controlplane.common.errors import Conflict, NotFound

TOKENS_A_PAGE = 50
ENDED_SHOWN = 20


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show and change what others may know."""
    form = ProfileForm(request.POST or None, instance=actor_of(request))
    if request.method == "POST" and form.is_valid():
        save_profile(form)
        messages.success(request, "Saved.")
        return redirect("settings")
    return render(request, "accounts/profile.html", {"form": form})


def save_profile(form: ProfileForm) -> None:
    """Save what was changed, and write down the names of the fields: what stands in them is the person's own."""
    if form.has_changed():
        with transaction.atomic():
            user = form.save()
            note(user, "account.profile_change", actor=user, details={"fields": sorted(form.changed_data)})


@login_required
@require_safe
def tokens(request: HttpRequest) -> HttpResponse:
    """List a page of the person's valid API tokens, newest first; on the first page some that open nothing any more come last."""
    number, moment = page_number(request), now()
    rows = ApiToken.objects.visible_to(actor_of(request)).order_by("-created_at")
    begin = (number - 1) * TOKENS_A_PAGE
    valid = list(rows.filter(revoked_at=None, expires_at__gt=moment)[begin : begin + TOKENS_A_PAGE + 1])
    over = rows.filter(Q(revoked_at__isnull=False) | Q(expires_at__lte=moment))[:ENDED_SHOWN] if number == 1 else []
    more = number + 1 if len(valid) > TOKENS_A_PAGE else None
    return render(request, "accounts/tokens.html", {"valid": valid[:TOKENS_A_PAGE], "over": over, "number": number, "more": more})


def page_number(request: HttpRequest) -> int:
    """Return which page is asked for, the first for nonsense. There are not more than tokens."""
    asked = request.GET.get("page", "")
    return min(max(int(asked), 1), TOKENS_AT_MOST) if asked.isascii() and asked.isdecimal() and len(asked) < 6 else 1


@login_required
@reauthentication_required(app="allauth.account")  # type: ignore[untyped-decorator]
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("clear")
def new_token(request: HttpRequest) -> HttpResponse:
    """Make a token and show it, this once: it stands in the answer to the form and nowhere else."""
    form = TokenForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/token_new.html", {"form": form})
    wanted = form.cleaned_data
    try:
        token, clear = create_token(user=actor_of(request), name=wanted["name"], ttl=wanted["lifetime"], scopes=wanted["scopes"])
    except Conflict as error:
        form.add_error(None, error.detail)
        return render(request, "accounts/token_new.html", {"form": form})
    return render(request, "accounts/token_made.html", {"token": token, "clear": clear})


@login_required
@require_POST
def revoke(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Revoke a token at once."""
    try:
        revoke_token(actor=actor_of(request), token_id=token_id)
    except NotFound as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, "The token is revoked. It opens nothing any more.")
    return redirect("settings_tokens")
