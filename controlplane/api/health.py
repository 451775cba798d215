"""Whether this process can do its work, and the front door."""

from __future__ import annotations

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers, else 503."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return JsonResponse({"status": "failing", "database": "does not answer"}, status=503)
    return JsonResponse({"status": "ok"})


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show a newcomer where to begin."""
    origin = request.build_absolute_uri("/").rstrip("/")
    return render(request, "api/home.html", {"origin": origin, "gateway": settings.GATEWAY_URL})
