"""Pages long enough for the engine, which asks for the whole HUB at once and follows no links."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from controlplane.api.pagination import Page
from controlplane.hub.selectors import with_beginnings


class LongPage(Page):
    """20 rows a page; `page_size` up to 5000."""

    max_page_size = 5000


def long_paged(view: APIView, queryset: QuerySet[Any], serializer: type[BaseSerializer[Any]], description: str) -> Response:
    """Answer one page of a queryset through a serializer; the descriptions, which stand in the column `description`, are cut.

    The one algorithm of a name is told whole: clients look algorithms up that way, and then work with the row.
    """
    if not (view.request.query_params.get("name") and queryset.count() == 1):
        queryset = with_beginnings(queryset, description)
    pages = LongPage()
    rows = pages.paginate_queryset(queryset, view.request, view)
    return pages.get_paginated_response(serializer(rows, many=True, context={"request": view.request}).data)
