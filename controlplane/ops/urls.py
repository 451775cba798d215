"""Paths of the console."""

from django.urls import path

from controlplane.ops import views

urlpatterns = [
    path("mails/", views.mails, name="ops_mails"),
    path("mails/<uuid:mail_id>/", views.mail, name="ops_mail"),
]
