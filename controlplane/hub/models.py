"""Algorithms of a workspace (the private HUB), and immutable published versions of them (the public HUB)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models.functions import Lower

from controlplane.common.models import BaseModel
from controlplane.hub.platforms import platform_object
from controlplane.hub.querysets import (
    LANGUAGE,
    AlgorithmPartQuerySet,
    AlgorithmQuerySet,
    HubAlgorithmQuerySet,
    PackageUseQuerySet,
    PublicQuerySet,
)
from controlplane.projects.models import WorkflowVersion
from controlplane.workspaces.models import Namespace, Visibility

PAPER = ("authors", "title", "journal", "year", "link")
DESCRIBED = (
    "short_description",
    "description",
    "keywords",
    "paper",
    "language",
    "algo_type",
    "algo_task",
    "repository",
    "original_implementation_repository",
)
PLATFORM = (
    "language",
    "ikomia_min_version",
    "ikomia_max_version",
    "python_min_version",
    "python_max_version",
    "os",
    "architecture",
    "features",
)


class Language(models.TextChoices):
    """What an algorithm is written in; only Python runs in deployments."""

    CPP = "CPP", "C++"
    PYTHON = "PYTHON", "Python"


class AlgorithmType(models.TextChoices):
    """What an algorithm does, as the engine names it."""

    INFER = "INFER", "Inference"
    TRAIN = "TRAIN", "Training"
    DATASET = "DATASET", "Dataset loading"
    OTHER = "OTHER", "Other"


class License(models.TextChoices):
    """Licences that an algorithm can be published under; CUSTOM stands in its repository."""

    CUSTOM = "CUSTOM", "Custom, see the repository"
    AGPL_30 = "AGPL_30", "AGPL-3.0"
    APACHE_20 = "APACHE_20", "Apache-2.0"
    BSD_2_CLAUSE = "BSD_2_CLAUSE", "BSD-2-Clause"
    BSD_3_CLAUSE = "BSD_3_CLAUSE", "BSD-3-Clause"
    CC0_10 = "CC0_10", "CC0-1.0"
    CC_BY_NC_40 = "CC_BY_NC_40", "CC-BY-NC-4.0"
    GPL_30 = "GPL_30", "GPL-3.0"
    LGPL_30 = "LGPL_30", "LGPL-3.0"
    MIT = "MIT", "MIT"


def empty_paper() -> dict[str, Any]:
    """Return a paper that is not known."""
    return dict.fromkeys(PAPER)


class Described(BaseModel):
    """What is told of an algorithm. `icon_key` is where its picture lies, "" without one; `search` is kept by the database."""

    name = models.CharField(max_length=100)
    short_description = models.TextField(max_length=2_000, blank=True, default="")
    description = models.TextField(max_length=100_000, blank=True, default="")
    keywords = models.JSONField(default=list)
    paper = models.JSONField(default=empty_paper)
    language = models.CharField(max_length=10, choices=Language, default=Language.PYTHON)
    algo_type = models.CharField(max_length=10, choices=AlgorithmType, default=AlgorithmType.OTHER)
    algo_task = ArrayField(models.CharField(max_length=60), default=list)
    repository = models.CharField(max_length=500, blank=True, default="")
    original_implementation_repository = models.CharField(max_length=500, blank=True, default="")
    icon_key = models.CharField(max_length=300, blank=True, default="")
    icon_type = models.CharField(max_length=20, blank=True, default="")
    search = models.GeneratedField(
        expression=SearchVector("name", weight="A", config=LANGUAGE)
        + SearchVector("keywords", weight="B", config=LANGUAGE)
        + SearchVector("short_description", weight="C", config=LANGUAGE)
        + SearchVector("description", weight="D", config=LANGUAGE),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        abstract = True


class PackageFile(BaseModel):
    """A plugin as a zip with its files at the root: where it lies, and the platform it is for. Versions are text, "" for no bound; maxima are exclusive."""

    key = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    language = models.CharField(max_length=10, choices=Language, default=Language.PYTHON)
    ikomia_min_version = models.CharField(max_length=30, blank=True, default="")
    ikomia_max_version = models.CharField(max_length=30, blank=True, default="")
    python_min_version = models.CharField(max_length=30, blank=True, default="")
    python_max_version = models.CharField(max_length=30, blank=True, default="")
    os = ArrayField(models.CharField(max_length=20), default=list)
    architecture = ArrayField(models.CharField(max_length=20), default=list)
    features = ArrayField(models.CharField(max_length=40), default=list)
    platform_key = models.CharField(max_length=64)

    class Meta:
        abstract = True

    @property
    def platform(self) -> dict[str, Any]:
        """Return the platform as the wire has it."""
        return platform_object(self)


class Algorithm(Described):
    """An algorithm of a namespace, named like its plugin. `defaults` are the platform fields that packages take where they name none."""

    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="algorithms")
    visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.PRIVATE)
    defaults = models.JSONField(default=dict)

    objects = AlgorithmQuerySet.as_manager()

    class Meta:
        verbose_name = "algorithm"
        constraints = [models.UniqueConstraint(fields=["namespace", "name"], name="algorithm_name_unique")]
        indexes = [GinIndex(fields=["search"], name="algorithm_search"), models.Index(fields=["name"], name="algorithm_name")]

    @property
    def path(self) -> str:
        """Return the algorithm's full path."""
        return f"{self.namespace.path}/{self.name}"

    @property
    def workspace_id(self) -> UUID:
        """Return the id of the organization or the person that it belongs to."""
        return self.namespace.workspace_id


class Package(PackageFile):
    """An upload for one platform; a newer one for the same platform retires it, but workflows that were built with it keep it."""

    algorithm = models.ForeignKey(Algorithm, on_delete=models.CASCADE, related_name="packages")
    number = models.PositiveIntegerField()
    retired = models.BooleanField(default=False)

    objects = AlgorithmPartQuerySet.as_manager()

    class Meta:
        verbose_name = "package"
        constraints = [
            models.UniqueConstraint(fields=["algorithm", "number"], name="package_number_unique"),
            models.UniqueConstraint(
                fields=["algorithm", "platform_key"], condition=models.Q(retired=False), name="package_current_of_platform"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.algorithm.name} {self.tag}"

    @property
    def tag(self) -> str:
        """Return the package's name: v1, v2, …"""
        return f"v{self.number}"


class PackageUse(BaseModel):
    """A workflow version whose bundle was made with a package, which therefore stays."""

    package = models.ForeignKey(Package, on_delete=models.PROTECT, related_name="uses")
    version = models.ForeignKey(WorkflowVersion, on_delete=models.CASCADE, related_name="+")

    objects = PackageUseQuerySet.as_manager()

    class Meta:
        verbose_name = "use of a package"
        constraints = [models.UniqueConstraint(fields=["package", "version"], name="package_use_unique")]


class DemoWorkflow(BaseModel):
    """The workflow that shows an algorithm at work; a new upload takes its place."""

    algorithm = models.OneToOneField(Algorithm, on_delete=models.CASCADE, related_name="demo")
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True, default="")
    data = models.JSONField()
    archive_key = models.CharField(max_length=300)
    archive_sha256 = models.CharField(max_length=64)
    archive_size = models.PositiveBigIntegerField()

    objects = AlgorithmPartQuerySet.as_manager()

    class Meta:
        verbose_name = "demo workflow"


class HubAlgorithm(BaseModel):
    """A name of the public HUB. It belongs to the workspace that published first (`workspace_id`), also when the algorithm is deleted there.

    `publisher` is what the workspace was called at the last publication.
    """

    name = models.CharField(max_length=100)
    workspace_id = models.UUIDField()
    publisher = models.CharField(max_length=600)
    algorithm = models.OneToOneField(Algorithm, on_delete=models.SET_NULL, null=True, related_name="published")
    certified = models.BooleanField(default=False)
    current = models.ForeignKey("HubVersion", on_delete=models.PROTECT, null=True, related_name="+")

    # What the workspace is called now, None when it is gone: selectors.with_current fetches it.
    workspace_path: str | None

    objects = HubAlgorithmQuerySet.as_manager()

    class Meta:
        verbose_name = "published algorithm"
        constraints = [models.UniqueConstraint(Lower("name"), name="hub_name_unique")]

    @property
    def path(self) -> str:
        """Return its name, which is all of its path."""
        return self.name


class HubVersion(Described):
    """One publication: a copy of all that was told of the algorithm then. The database refuses to change or delete it.

    `digest` is the SHA-256 of all that makes the content, so that publishing again can be told from publishing something else.
    """

    hub = models.ForeignKey(HubAlgorithm, on_delete=models.PROTECT, related_name="versions")
    major = models.PositiveIntegerField()
    minor = models.PositiveIntegerField()
    patch = models.PositiveIntegerField()
    license = models.CharField(max_length=20, choices=License)
    published_by = models.CharField(max_length=60)
    digest = models.CharField(max_length=64)
    demo_name = models.CharField(max_length=100, blank=True, default="")
    demo_key = models.CharField(max_length=300, blank=True, default="")
    demo_sha256 = models.CharField(max_length=64, blank=True, default="")

    objects = PublicQuerySet.as_manager()

    class Meta:
        verbose_name = "published version"
        constraints = [models.UniqueConstraint(fields=["hub", "major", "minor", "patch"], name="hub_version_unique")]
        indexes = [
            GinIndex(fields=["search"], name="hub_version_search"),
            models.Index(fields=["icon_key"], name="hub_version_icon"),
            models.Index(fields=["demo_key"], name="hub_version_demo"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def version(self) -> str:
        """Return the semantic version."""
        return f"{self.major}.{self.minor}.{self.patch}"


class HubPackage(PackageFile):
    """A package of a published version; it shares number and object with the upload that it was made from. As immutable as its version."""

    version = models.ForeignKey(HubVersion, on_delete=models.PROTECT, related_name="packages")
    number = models.PositiveIntegerField()

    objects = PublicQuerySet.as_manager()

    class Meta:
        verbose_name = "published package"
        constraints = [models.UniqueConstraint(fields=["version", "platform_key"], name="hub_package_of_platform")]
        indexes = [models.Index(fields=["key"], name="hub_package_key")]

    def __str__(self) -> str:
        return str(self.version)
