"""Paths of webhooks under /v1/."""

from django.urls import path

from controlplane.webhooks.api import views

urlpatterns = [
    path("projects/<uuid:project_id>/webhooks/", views.ProjectWebhookList.as_view(), name="project-webhooks"),
    path("webhooks/<uuid:webhook_id>/", views.WebhookDetail.as_view(), name="webhook"),
    path("webhooks/<uuid:webhook_id>/rotate/", views.WebhookRotation.as_view(), name="webhook-rotate"),
    path("webhooks/<uuid:webhook_id>/ping/", views.WebhookPing.as_view(), name="webhook-ping"),
    path("webhooks/<uuid:webhook_id>/replay/", views.WebhookReplay.as_view(), name="webhook-replay"),
    path("webhooks/<uuid:webhook_id>/deliveries/", views.WebhookDeliveryList.as_view(), name="webhook-deliveries"),
    path("webhooks/deliveries/<uuid:delivery_id>/", views.WebhookDeliveryDetail.as_view(), name="webhook-delivery"),
    path("webhooks/deliveries/<uuid:delivery_id>/replay/", views.WebhookDeliveryReplay.as_view(), name="webhook-delivery-replay"),
]
