"""Paths of the storage under /v1/."""

from django.urls import path

from storage.api import content_views, upload_views, views

urlpatterns = [
    path("objects/", views.Objects.as_view(), name="storage-objects"),
    path("objects/<path:path>", views.ObjectsAt.as_view(), name="storage-objects-at"),
    path("contents/<uuid:object_id>/", content_views.ObjectContent.as_view(), name="storage-content"),
    path("presigned-urls/download/<uuid:object_id>", views.DownloadLink.as_view(), name="storage-link"),
    path("uploads/", upload_views.Uploads.as_view(), name="storage-uploads"),
    path("uploads/<uuid:upload_id>/", upload_views.UploadDetail.as_view(), name="storage-upload"),
    path("uploads/<uuid:upload_id>/parts/", upload_views.UploadParts.as_view(), name="storage-upload-parts"),
    path("uploads/<uuid:upload_id>/complete/", upload_views.UploadComplete.as_view(), name="storage-upload-complete"),
    path("infos", views.Infos.as_view(), name="storage-infos"),
]
