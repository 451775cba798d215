"""Who may see the console."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec

from django.http import Http404, HttpRequest, HttpResponse

from controlplane.accounts.models import User

Words = ParamSpec("Words")


def operators_only(
    view: Callable[Concatenate[HttpRequest, Words], HttpResponse],
) -> Callable[Concatenate[HttpRequest, Words], HttpResponse]:
    """Answer 404 to everyone but staff: others need not know that there is a console."""

    def guarded(request: HttpRequest, /, *args: Words.args, **kwargs: Words.kwargs) -> HttpResponse:
        if not (isinstance(request.user, User) and request.user.is_staff):
            raise Http404
        return view(request, *args, **kwargs)

    return update_wrapper(guarded, view)
