"""Shapes of the HUB on the wire."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from controlplane.api.fields import ChoiceField, TextField, UrlField, absolute_url
from controlplane.hub.api.fields import DescriptionField, LinkField, PaperField, ProjectUrlField, UpperWordsField, VersionField, WordsField
from controlplane.hub.models import (
    DESCRIBED,
    PLATFORM,
    Algorithm,
    AlgorithmType,
    DemoWorkflow,
    HubAlgorithm,
    HubPackage,
    HubVersion,
    Language,
    License,
    Package,
)
from controlplane.workspaces.models import Visibility

SYSTEMS = [("LINUX", "Linux"), ("WINDOWS", "Windows"), ("OSX", "macOS"), ("DARWIN", "macOS, as Python names it")]
DEFAULTS = ("ikomia_min_version", "ikomia_max_version", "python_min_version", "python_max_version", "os")
ADDRESS_OR_NULL = {"type": ["string", "null"], "format": "uri"}
# The engine reads this date in exactly this form.
MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"


class PlatformInput(serializers.Serializer[Any]):
    """What a plugin runs on; nothing where it does not matter."""

    ikomia_min_version = VersionField(max_length=30, allow_blank=True, required=False)
    ikomia_max_version = VersionField(max_length=30, allow_blank=True, required=False)
    python_min_version = VersionField(max_length=30, allow_blank=True, required=False)
    python_max_version = VersionField(max_length=30, allow_blank=True, required=False)
    os = serializers.MultipleChoiceField(choices=SYSTEMS, required=False)

    def validate_os(self, value: set[str]) -> list[str]:
        """Return the systems in one order, as the engine names them."""
        return sorted({"OSX" if name == "DARWIN" else name for name in value})


class AlgorithmChange(PlatformInput):
    """What may change of an algorithm; the whole object may come back, read-only fields are ignored."""

    name = TextField(max_length=100, required=False)
    visibility = ChoiceField(choices=Visibility.choices, required=False)
    short_description = TextField(max_length=2_000, allow_blank=True, required=False)
    description = TextField(max_length=100_000, allow_blank=True, required=False)
    keywords = WordsField(required=False)
    paper = PaperField(required=False)
    language = ChoiceField(choices=Language.choices, required=False)
    algo_type = ChoiceField(choices=AlgorithmType.choices, required=False)
    algo_task = UpperWordsField(child=TextField(allow_blank=True, max_length=60), required=False)
    repository = LinkField(max_length=500, allow_blank=True, required=False)
    original_implementation_repository = LinkField(max_length=500, allow_blank=True, required=False)
    icon = serializers.FileField(required=False, help_text="PNG, JPEG, GIF or WebP.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Put what the plugin tells of its platform together: packages take it where they tell nothing."""
        told = {name: attrs.pop(name) for name in DEFAULTS if name in attrs}
        return {**attrs, **({"defaults": {name: value for name, value in told.items() if value}} if told else {})}


class AlgorithmInput(AlgorithmChange):
    """An algorithm to add; without a visibility it is the team's, in a personal workspace private."""

    name = TextField(max_length=100)


class PackageInput(PlatformInput):
    """A package to upload; `python_max_version` and `ikomia_max_version` are exclusive."""

    file = serializers.FileField(help_text="Zip with the plugin's files at its root.")
    architecture = UpperWordsField(child=serializers.RegexField(r"^[A-Za-z0-9_]{0,20}$", allow_blank=True), required=False)
    features = WordsField(child=TextField(allow_blank=True, max_length=40), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Leave out what is not told."""
        return {name: value for name, value in attrs.items() if name == "file" or value}


class PlatformOutput(serializers.Serializer[Any]):
    """A platform as the engine reads it."""

    os = serializers.ListField(child=serializers.CharField())
    ikomia = serializers.CharField(help_text="Such as `>=0.16.1` or `>=0.15.0,<0.17.0`.")
    python = serializers.CharField()
    architecture = serializers.ListField(child=serializers.CharField())
    features = serializers.ListField(child=serializers.CharField())


class PackageOutput(serializers.ModelSerializer[Package]):
    """A package of an algorithm."""

    url = UrlField("algorithm-package", algorithm_id="algorithm_id", package_id="id")
    tag = serializers.CharField(read_only=True)
    platform = PlatformOutput(read_only=True)

    class Meta:
        model = Package
        fields = ["url", "tag", "platform", *PLATFORM, "sha256", "size", "created_at"]


class DemoWorkflowInput(serializers.Serializer[Any]):
    """A demo workflow to upload."""

    archive = serializers.FileField(help_text="Zip: workflow.json and a folder for each plugin.")


class DemoWorkflowOutput(serializers.ModelSerializer[DemoWorkflow]):
    """The demo workflow of an algorithm."""

    url = UrlField("algorithm-demo", algorithm_id="algorithm_id", demo_id="id")
    archive = UrlField("algorithm-demo-archive", algorithm_id="algorithm_id", demo_id="id")
    data = serializers.JSONField(read_only=True)  # type: ignore[assignment]

    class Meta:
        model = DemoWorkflow
        fields = ["url", "name", "description", "archive", "archive_sha256", "archive_size", "data", "updated_at"]


class PaperOutput(serializers.Serializer[Any]):
    """A paper; what is not known is null."""

    authors = serializers.CharField(allow_null=True)
    title = serializers.CharField(allow_null=True)
    journal = serializers.CharField(allow_null=True)
    year = serializers.IntegerField(allow_null=True)
    link = serializers.CharField(allow_null=True)


class AlgorithmOutput(serializers.ModelSerializer[Algorithm]):
    """An algorithm. At its top level stand only texts, lists, objects and nulls: a client sends all of it back as a form."""

    url = UrlField("algorithm", algorithm_id="id")
    path = serializers.CharField(read_only=True)
    description = DescriptionField(read_only=True)
    keywords = serializers.ListField(child=serializers.CharField(), read_only=True)
    paper = PaperOutput(read_only=True)
    packages = PackageOutput(many=True, source="current_packages", read_only=True)
    icon_url = serializers.SerializerMethodField()
    demo_workflow = serializers.SerializerMethodField()
    published = serializers.SerializerMethodField()
    updated_at = serializers.DateTimeField(format=MOMENT, read_only=True)

    class Meta:
        model = Algorithm
        fields = [
            *("url", "name", "path", "visibility", *DESCRIBED, "packages"),
            *("icon_url", "demo_workflow", "published", "created_at", "updated_at"),
        ]

    @extend_schema_field(ADDRESS_OR_NULL)
    def get_icon_url(self, algorithm: Algorithm) -> str | None:
        """Return where the icon is, None without one."""
        return absolute_url(self.context["request"], "algorithm-icon", algorithm_id=algorithm.pk) if algorithm.icon_key else None

    @extend_schema_field(ADDRESS_OR_NULL)
    def get_demo_workflow(self, algorithm: Algorithm) -> str | None:
        """Return where the demo workflow is, None without one."""
        demo: DemoWorkflow | None = getattr(algorithm, "demo", None)
        keys = {"algorithm_id": algorithm.pk, "demo_id": demo.pk} if demo else {}
        return absolute_url(self.context["request"], "algorithm-demo", **keys) if keys else None

    @extend_schema_field(ADDRESS_OR_NULL)
    def get_published(self, algorithm: Algorithm) -> str | None:
        """Return its entry of the public HUB, None before it is published."""
        hub: HubAlgorithm | None = getattr(algorithm, "published", None)
        return absolute_url(self.context["request"], "hub-algorithm", hub_id=hub.pk) if hub else None


class NextVersions(serializers.Serializer[Any]):
    """Versions that can be published next; three equal ones before the first."""

    major = serializers.CharField()
    minor = serializers.CharField()
    patch = serializers.CharField()


class PublishOutput(serializers.Serializer[Any]):
    """How an algorithm was published last, and what can be next."""

    license = ChoiceField(choices=License.choices, allow_null=True)
    next_versions = NextVersions()


class PublishInput(serializers.Serializer[Any]):
    """A publication."""

    license = ChoiceField(choices=License.choices)
    version = TextField(max_length=30)


class HubPackageOutput(serializers.ModelSerializer[HubPackage]):
    """A published package."""

    url = serializers.SerializerMethodField()
    version = serializers.CharField(source="version.version", read_only=True)
    license = serializers.CharField(source="version.license", read_only=True)
    platform = PlatformOutput(read_only=True)

    class Meta:
        model = HubPackage
        fields = ["url", "version", "license", "platform", *PLATFORM, "sha256", "size", "created_at"]

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, package: HubPackage) -> str:
        """Return its address; with `download/` behind it is the zip."""
        return absolute_url(self.context["request"], "hub-package", hub_id=package.version.hub_id, package_id=package.pk)


class HubAlgorithmRow(serializers.ModelSerializer[HubAlgorithm]):
    """A published algorithm in a list: its newest version in short."""

    url = UrlField("hub-algorithm", hub_id="id")
    version = serializers.CharField(source="current.version", read_only=True)
    license = serializers.CharField(source="current.license", read_only=True)
    short_description = serializers.CharField(source="current.short_description", read_only=True)
    keywords = serializers.ListField(child=serializers.CharField(), source="current.keywords", read_only=True)
    language = serializers.CharField(source="current.language", read_only=True)
    algo_type = serializers.CharField(source="current.algo_type", read_only=True)
    algo_task = serializers.ListField(child=serializers.CharField(), source="current.algo_task", read_only=True)
    certification = serializers.BooleanField(source="certified", read_only=True)
    one_click = serializers.BooleanField(source="current.demo_key", read_only=True, help_text="It has a demo workflow to deploy.")
    publisher = serializers.SerializerMethodField(help_text="The workspace that it belongs to, as it is called now.")
    icon_url = serializers.SerializerMethodField()
    updated_at = serializers.DateTimeField(format=MOMENT, read_only=True)

    class Meta:
        model = HubAlgorithm
        fields: list[str] = [
            *("url", "name", "short_description", "version", "license", "keywords", "language", "algo_type", "algo_task"),
            *("certification", "one_click", "publisher", "icon_url", "created_at", "updated_at"),
        ]

    def get_publisher(self, hub: HubAlgorithm) -> str:
        """Return the path of the workspace; what it was called at the last publication, when it is gone: somebody else may have that name now."""
        return hub.workspace_path or f"{hub.publisher} (gone)"

    @extend_schema_field(ADDRESS_OR_NULL)
    def get_icon_url(self, hub: HubAlgorithm) -> str | None:
        """Return where the icon is, None without one."""
        has_icon = hub.current is not None and hub.current.icon_key
        return absolute_url(self.context["request"], "hub-icon", hub_id=hub.pk) if has_icon else None


class HubAlgorithmOutput(HubAlgorithmRow):
    """A published algorithm with all that is told of its newest version."""

    description = DescriptionField(source="current.description", read_only=True)
    paper = PaperOutput(source="current.paper", read_only=True)
    repository = serializers.CharField(source="current.repository", read_only=True)
    original_implementation_repository = serializers.CharField(source="current.original_implementation_repository", read_only=True)
    packages = serializers.SerializerMethodField()

    class Meta(HubAlgorithmRow.Meta):
        fields = [
            *HubAlgorithmRow.Meta.fields,
            *("description", "paper", "repository", "original_implementation_repository", "packages"),
        ]

    @extend_schema_field(HubPackageOutput(many=True))
    def get_packages(self, hub: HubAlgorithm) -> list[dict[str, Any]]:
        """Return the packages of the newest version, which know the version and the entry without further queries."""
        version = hub.current
        if version is None:
            return []
        version.hub = hub
        packages = list(version.packages.all())
        for package in packages:
            package.version = version
        return [dict(row) for row in HubPackageOutput(packages, many=True, context=self.context).data]


class HubVersionOutput(serializers.ModelSerializer[HubVersion]):
    """A published version."""

    version = serializers.CharField(read_only=True)
    one_click = serializers.BooleanField(source="demo_key", read_only=True)

    class Meta:
        model = HubVersion
        fields = ["version", "license", "short_description", "one_click", "digest", "created_at"]


class DeployInput(serializers.Serializer[Any]):
    """Where the demo workflow goes."""

    project = ProjectUrlField()
