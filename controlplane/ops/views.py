"""Pages of the console."""

from __future__ import annotations

from itertools import islice
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from controlplane.accounts.mail import KEPT, FileBackend, read_mail, stored_mails
from controlplane.ops.access import operators_only

SHOWN = 100
FILES = f"{FileBackend.__module__}.{FileBackend.__qualname__}"


@operators_only
@require_safe
def mails(request: HttpRequest) -> HttpResponse:
    """List what would have been mailed, newest first."""
    shown = list(islice(stored_mails(), SHOWN))
    return render(request, "ops/mails.html", {"mails": shown, "kept": KEPT, "sent": settings.EMAIL_BACKEND != FILES})


@operators_only
@require_safe
def mail(request: HttpRequest, mail_id: UUID) -> HttpResponse:
    """Show one as text."""
    try:
        found = read_mail(mail_id)
    except (FileNotFoundError, ValueError) as error:
        raise Http404 from error
    return render(request, "ops/mail.html", {"mail": found})
