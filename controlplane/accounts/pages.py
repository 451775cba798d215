"""What all pages have in common: their headers, and a way out to other sites."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import redis
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseRedirectBase
from django.shortcuts import render
from requests import RequestException

from controlplane.accounts.page_errors import error_page
from controlplane.audit.origin import set_credential
from controlplane.common.errors import SlipwayError

logger = logging.getLogger(__name__)

PREFIXES = ("/accounts/", "/settings/", "/operator/")
POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
# The page of the API description brings scripts of its own.
OWN_POLICY = ("/docs/",)


class PagesMiddleware:
    """Stands last: gives HTML its Content-Security-Policy, keeps pages out of caches, and turns faults of pages into pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer. The audit log shows that somebody came with a session."""
        if request.path.startswith(PREFIXES) and request.user.is_authenticated:
            set_credential("session")
        response = self.get_response(request)
        if request.path.startswith(PREFIXES):
            response = leaving(request, response)
            response["Cache-Control"] = "no-store"
        if response.get("Content-Type", "").startswith("text/html") and not request.path.startswith(OWN_POLICY):
            response.setdefault("Content-Security-Policy", POLICY)
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Show a refusal as a page; what nobody expected goes on to Django."""
        if not request.path.startswith(PREFIXES):
            return None
        if isinstance(error, SlipwayError):
            return error_page(request, status=error.status, title="That did not work", text=error.detail)
        if isinstance(error, redis.RedisError | RequestException):
            logger.error("%s %s: %s", request.method, request.path, error)
            text = "Something that signing in needs does not answer for the moment. Try again in a minute."
            return error_page(request, status=503, title="That did not work", text=text)
        return None


def leaving(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Turn a redirect of a form to another site into a page that goes there.

    `form-action 'self'` also holds for where a form's answer leads: without this nobody could sign in with a third party.
    """
    if request.method != "POST" or not isinstance(response, HttpResponseRedirectBase) or not is_elsewhere(request, response.url):
        return response
    page = render(request, "accounts/leaving.html", {"target": response.url, "host": urlsplit(response.url).hostname})
    page.cookies = response.cookies
    return page


def is_elsewhere(request: HttpRequest, url: str) -> bool:
    """Tell whether a redirect leads to another origin."""
    parts = urlsplit(url)
    return bool(parts.netloc) and (parts.scheme or request.scheme, parts.netloc) != (request.scheme, request.get_host())
