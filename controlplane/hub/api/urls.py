"""Paths of the HUB under /v1/."""

from django.urls import path

from controlplane.hub.api import algorithm_views, file_views, hub_views

ALGORITHM = "algos/<uuid:algorithm_id>/"
PACKAGE = f"{ALGORITHM}packages/<uuid:package_id>/"
DEMO = f"{ALGORITHM}demo-workflows/<uuid:demo_id>/"
HUB = "hub/<uuid:hub_id>/"
HUB_PACKAGE = f"{HUB}packages/<uuid:package_id>/"

urlpatterns = [
    path("algos/", algorithm_views.AlgorithmList.as_view(), name="algorithms"),
    path("namespaces/<uuid:namespace_id>/algos/", algorithm_views.NamespaceAlgorithmList.as_view(), name="namespace-algorithms"),
    path(ALGORITHM, algorithm_views.AlgorithmDetail.as_view(), name="algorithm"),
    path(f"{ALGORITHM}icon/", algorithm_views.AlgorithmIcon.as_view(), name="algorithm-icon"),
    path(f"{ALGORITHM}publish/", algorithm_views.AlgorithmPublish.as_view(), name="algorithm-publish"),
    path(f"{ALGORITHM}members/", algorithm_views.AlgorithmMemberList.as_view(), name="algorithm-members"),
    path(f"{ALGORITHM}members/<uuid:user_id>/", algorithm_views.AlgorithmMemberDetail.as_view(), name="algorithm-member"),
    path(f"{ALGORITHM}packages/", file_views.PackageList.as_view(), name="algorithm-packages"),
    path(PACKAGE, file_views.PackageDetail.as_view(), name="algorithm-package"),
    path(f"{PACKAGE}download/", file_views.PackageDownload.as_view(), name="algorithm-package-download"),
    path(f"{ALGORITHM}demo-workflows/", file_views.DemoWorkflowList.as_view(), name="algorithm-demos"),
    path(DEMO, file_views.DemoWorkflowDetail.as_view(), name="algorithm-demo"),
    path(f"{DEMO}archive/", file_views.DemoWorkflowArchive.as_view(), name="algorithm-demo-archive"),
    path("hub/", hub_views.HubList.as_view(), name="hub"),
    path(HUB, hub_views.HubDetail.as_view(), name="hub-algorithm"),
    path(f"{HUB}icon/", hub_views.HubIcon.as_view(), name="hub-icon"),
    path(f"{HUB}versions/", hub_views.HubVersionList.as_view(), name="hub-versions"),
    path(f"{HUB}packages/", hub_views.HubPackageList.as_view(), name="hub-packages"),
    path(HUB_PACKAGE, hub_views.HubPackageDetail.as_view(), name="hub-package"),
    path(f"{HUB_PACKAGE}download/", hub_views.HubPackageDownload.as_view(), name="hub-package-download"),
    path(f"{HUB}deploy/", hub_views.HubDeploy.as_view(), name="hub-deploy"),
]
