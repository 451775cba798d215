"""Page-number lists: `{count, next, previous, results}`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from controlplane.common.errors import InvalidInput


class Page(PageNumberPagination):
    """20 rows a page; `page_size` up to 500; `page_size=0` gives the count alone."""

    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 500

    def paginate_queryset(self, queryset: QuerySet[Any] | Iterable[Any], request: Request, view: APIView | None = None) -> list[Any] | None:
        """Return the rows of the page; a wrong page number is a 404 that says how many there are."""
        if request.query_params.get("page_size") == "0":
            self.only_count = queryset.count() if isinstance(queryset, QuerySet) else len(list(queryset))
            return []
        try:
            return super().paginate_queryset(queryset, request, view)  # type: ignore[arg-type]
        except NotFound as error:
            raise InvalidInput(
                "page", "There is no such page. Start at page=1 and follow 'next'.", fields={"page": [str(error.detail)]}
            ) from error

    def get_paginated_response(self, data: Any) -> Response:
        """Wrap the rows."""
        if (count := getattr(self, "only_count", None)) is not None:
            return Response({"count": count, "next": None, "previous": None, "results": []})
        return super().get_paginated_response(data)


def paged(view: APIView, queryset: QuerySet[Any], serializer: type[BaseSerializer[Any]]) -> Response:
    """Answer one page of a queryset through a serializer."""
    pages = Page()
    rows = pages.paginate_queryset(queryset, view.request, view)
    return pages.get_paginated_response(serializer(rows, many=True, context={"request": view.request}).data)


def exact_filters(request: Request, queryset: QuerySet[Any], **lookups: str) -> QuerySet[Any]:
    """Narrow a queryset by the query parameters that are given: `exact_filters(request, rows, name="name", role="role")`."""
    for parameter, lookup in lookups.items():
        value = request.query_params.get(parameter)
        if value not in (None, ""):
            if "\x00" in str(value):
                return queryset.none()
            queryset = queryset.filter(**{lookup: value})
    return queryset
