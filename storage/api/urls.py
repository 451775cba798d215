"""Paths of the storage under /v1/."""

from django.urls import path

from storage.api import content_views, views

urlpatterns = [
    path("objects/", views.Objects.as_view(), name="storage-objects"),
    path("objects/<path:path>", views.ObjectsAt.as_view(), name="storage-objects-at"),
    path("contents/<uuid:object_id>/", content_views.ObjectContent.as_view(), name="storage-content"),
    path("presigned-urls/download/<uuid:object_id>", views.DownloadLink.as_view(), name="storage-link"),
    path("infos", views.Infos.as_view(), name="storage-infos"),
]
