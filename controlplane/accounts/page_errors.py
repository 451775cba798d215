"""What people see when a page cannot be shown. Programs keep getting the envelope."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from controlplane.accounts.throttle import TooManyTries, duration
from controlplane.api import errors as envelope

# allauth's limits are per minute or per few minutes and do not say how long they still last.
WAIT_SECONDS = 60


def is_for_people(request: HttpRequest) -> bool:
    """Tell whether a browser asks for a page: the API answers JSON, whoever asks."""
    return not request.path.startswith("/v1/") and "text/html" in request.headers.get("Accept", "")


def error_page(request: HttpRequest, *, status: int, title: str, text: str, **more: Any) -> HttpResponse:
    """Return a page that says what happened and what to do."""
    return render(request, "accounts/error.html", {"title": title, "text": text, **more}, status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown path."""
    if not is_for_people(request):
        return envelope.not_found(request, exception)
    return error_page(request, status=404, title="There is nothing here", text="The address is wrong, or you may not see what is there.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a fault of ours; the log has it under the request id that the page names."""
    answer = envelope.server_error(request)
    if not is_for_people(request):
        return answer
    text = "This is a fault of the service. Try again; if it stays, give the operator this number."
    return error_page(request, status=500, title="That did not work", text=text, reference=envelope.request_id_of(request))


def wrong_origin(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form without its CSRF token."""
    text = "This form was open for too long, or your browser keeps no cookies for this site. Go back, load the page again and send it once more."
    return error_page(request, status=403, title="The form could not be accepted", text=text)


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """Answer somebody whom one of allauth's limits has stopped."""
    text = f"There were too many tries in a short time. Wait {duration(WAIT_SECONDS)}, then try again."
    answer = error_page(request, status=429, title="Too many tries", text=text)
    answer["Retry-After"] = str(WAIT_SECONDS)
    return answer


def too_many_tries(request: HttpRequest, error: TooManyTries) -> HttpResponse:
    """Answer somebody who has sent too many wrong passwords."""
    answer = error_page(request, status=429, title="Too many wrong passwords", text=error.detail, reset=True)
    answer["Retry-After"] = str(error.retry_after)
    return answer
