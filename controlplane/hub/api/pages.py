"""Pages long enough for the engine, which asks for the whole HUB at once and follows no links."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from controlplane.api.pagination import Page


class LongPage(Page):
    """20 rows a page; `page_size` up to 5000."""

    max_page_size = 5000


def long_paged(view: APIView, queryset: QuerySet[Any], serializer: type[BaseSerializer[Any]]) -> Response:
    """Answer one page of a queryset through a serializer."""
    pages = LongPage()
    rows = pages.paginate_queryset(queryset, view.request, view)
    return pages.get_paginated_response(serializer(rows, many=True, context={"request": view.request}).data)
