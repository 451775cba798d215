"""Paths of billing under /v1/."""

from django.urls import URLPattern

from billing.api import ledger_urls

urlpatterns: list[URLPattern] = [*ledger_urls.urlpatterns]
