"""What the views of the storage share."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.api.pagination import Page
from controlplane.api.views import WorkspaceView
from storage.api.authentication import StorageTokenAuthentication, access_of
from storage.api.serializers import object_data
from storage.querysets import StoredObjectQuerySet

TAGS = ["Storage"]


class ObjectPage(Page):
    """1000 objects a page."""

    page_size = 1000
    max_page_size = 1000


class StorageView(WorkspaceView):
    """A view that takes storage tokens."""

    authentication_classes: tuple[type[BaseAuthentication], ...] = (StorageTokenAuthentication,)
    replies_in_transaction = False

    def caller_of(self, request: Request) -> str:
        """Return whose keys a request uses: one set for each person, project, and reading or writing."""
        access = access_of(request)
        return f"storage {access.user_id} {access.project_id} {'write' if access.may_write else 'read'}"

    def answer_page(self, rows: StoredObjectQuerySet) -> Response:
        """Answer one page of objects."""
        pages = ObjectPage()
        return pages.get_paginated_response([object_data(row) for row in pages.paginate_queryset(rows, self.request, self) or []])
