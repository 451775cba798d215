"""Paths of accounts under /v1/."""

from django.urls import path

from controlplane.accounts.api import views

urlpatterns = [
    path("accounts/signup/", views.SignUp.as_view(), name="signup"),
    path("users/", views.UserList.as_view(), name="users"),
    path("users/me/", views.Me.as_view(), name="me"),
    path("users/me/tokens/", views.TokenList.as_view(), name="tokens"),
    path("users/me/tokens/<uuid:token_id>/", views.TokenDetail.as_view(), name="token"),
    path("users/<uuid:user_id>/", views.UserDetail.as_view(), name="user"),
]
