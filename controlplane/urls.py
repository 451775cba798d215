"""Every route of the web process."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from controlplane.accounts.api.views import jwks
from controlplane.api.health import healthz, home
from deployments.api.token_views import EndpointToken

urlpatterns = [
    path("", home, name="home"),
    path("healthz", healthz, name="healthz"),
    path(".well-known/jwks.json", jwks, name="jwks"),
    path("v1/", include("controlplane.accounts.api.urls")),
    path("v1/", include("controlplane.workspaces.api.urls")),
    path("v1/", include("controlplane.projects.api.urls")),
    path("v1/", include("controlplane.webhooks.api.urls")),
    path("v1/", include("controlplane.hub.api.urls")),
    path("v1/", include("billing.api.urls")),
    path("v1/", include("billing.api.stripe_urls")),
    path("v1/projects/jwt/", EndpointToken.as_view(), name="endpoint-token"),
    path("v1/", include("deployments.api.urls")),
    path("v1/", include("storage.api.urls")),
    path("", include("controlplane.accounts.page_urls")),
    path("operator/", include("controlplane.ops.urls")),
    path("v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
]
handler400 = "controlplane.api.errors.bad_request"
handler404 = "controlplane.accounts.page_errors.not_found"
handler429 = "controlplane.accounts.page_errors.too_many_requests"
handler500 = "controlplane.accounts.page_errors.server_error"
