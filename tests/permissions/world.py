"""One organization with everything in it, everyone who may call, and a request for each route that would succeed for its owner."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from rest_framework.test import APIClient

from billing.caps import set_cap
from controlplane.accounts.keys import current_key
from controlplane.accounts.models import ApiToken, User
from controlplane.accounts.scopes import Scope
from controlplane.accounts.services import create_token, revoke_token
from controlplane.common.clock import now
from controlplane.common.objectstore import object_store
from controlplane.hub.models import Algorithm, HubPackage, Package
from controlplane.projects.archive import pack_folder
from controlplane.projects.examples_catalogue import EXAMPLES
from controlplane.webhooks.models import Delivery, DeliveryState
from controlplane.webhooks.services import create_webhook, ping_webhook
from controlplane.workspaces.members import give_role
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace
from deployments.schedules import create_schedule
from deployments.services import request_deployment
from storage.access import StorageAccess
from storage.bucket import bucket
from storage.direct import begin_direct_upload
from storage.models import UploadKind
from storage.uploads import Wanted
from tests.factories import make_member, make_organization, make_shared_project, make_user, make_workflow
from tests.hub.algorithms import demo, make_algorithm, make_published, plugin, png, upload
from tests.storage.builders import store_file

CALLERS = (
    "anonymous",
    "void",
    "stranger",
    "partner",
    "member",
    "manager",
    "owner",
    "raised",
    "operator",
    "read",
    "deploy",
    "consume",
    "storage",
    "admin",
    "bound",
    "elsewhere",
)
NOT_COMPARED = {"django_migrations", "django_session"}
USED = (
    "(SELECT md5(coalesce(string_agg(md5((to_jsonb(t) - 'last_used_at' - 'updated_at')::text), '' ORDER BY t::text), '')) FROM {table} t)"
)


@dataclass
class World:
    """What the rows speak of."""

    owner: User = field(default_factory=lambda: make_user("owner"))

    def __post_init__(self) -> None:
        """Build it."""
        self.organization = make_organization(self.owner, "harbour")
        self.root = self.organization.namespaces.get()
        self.inner = create_namespace(actor=self.owner, parent_id=self.root.pk, name="inner")
        self.project = make_shared_project(self.organization)
        self.other_project = make_shared_project(self.organization, "dock")
        self.workflow = make_workflow(self.project, user=self.owner, stored=True)
        self.spare_workflow = make_workflow(self.project, "edges", user=self.owner, stored=True)
        self.empty_project = make_shared_project(self.organization, "empty")
        offer = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "S"}
        self.deployment = request_deployment(actor=self.owner, workflow_id=self.workflow.pk, **offer)
        self.schedule = create_schedule(
            actor=self.owner, deployment_id=self.deployment.pk, action="RESUME", cron="0 7 * * 1-5", time_zone="UTC"
        )
        self.people = {
            "stranger": make_user("stranger"),
            "partner": make_member(self.organization, Role.PARTNER, make_user("partner")),
            "member": make_member(self.organization, Role.MEMBER, make_user("member")),
            "manager": make_member(self.organization, Role.MANAGER, make_user("manager")),
            "owner": self.owner,
            "raised": make_member(self.organization, Role.PARTNER, make_user("raised")),
            "operator": make_user("watchman"),
        }
        User.objects.filter(username="watchman").update(is_staff=True)
        give_role(actor=self.owner, target=self.project, user_id=self.people["raised"].pk, role=Role.MANAGER)
        give_role(actor=self.owner, target=self.empty_project, user_id=self.people["raised"].pk, role=Role.MANAGER)
        self.colleague = make_member(self.organization, Role.MEMBER, make_user("colleague"))
        give_role(actor=self.owner, target=self.project, user_id=self.colleague.pk, role=Role.MANAGER)
        give_role(actor=self.owner, target=self.inner, user_id=self.colleague.pk, role=Role.MANAGER)
        self.cap = set_cap(actor=self.owner, namespace_id=self.root.pk, deployment_id=None, period="MONTH", amount=10**12)
        self.listen()
        self.publish()
        self.store()
        self.tokens = {name: self.token(user) for name, user in self.people.items()}
        self.tokens |= {scope.value: self.token(self.owner, scopes=[scope]) for scope in Scope}
        self.tokens["bound"] = self.token(self.owner, project_id=self.project.pk)
        self.tokens["elsewhere"] = self.token(self.owner, project_id=self.other_project.pk)
        self.expired, self.revoked = self.token(self.owner), self.token(self.owner)
        ApiToken.objects.filter(pk=self.found(self.expired).pk).update(expires_at=now() - timedelta(seconds=1))
        revoke_token(actor=self.owner, token_id=self.found(self.revoked).pk)

    def listen(self) -> None:
        """Add a webhook to the project, with a delivery that nobody has taken."""
        address = "https://hooks.example.com/slipway"
        self.webhook, _ = create_webhook(actor=self.owner, project_id=self.project.pk, target_url=address, events=["run.failed"])
        self.delivery = ping_webhook(actor=self.owner, webhook_id=self.webhook.pk)
        Delivery.objects.update(state=DeliveryState.DEAD, ended_at=now())

    def publish(self) -> None:
        """Add a published algorithm with all that one can have, and a spare one to delete."""
        object_store().ensure_bucket()
        self.hub = make_published(self.owner, with_demo=True, namespace=self.root, icon=png())
        self.algorithm = Algorithm.objects.get(name=self.hub.name)
        self.spare_algorithm = make_algorithm(self.owner, "spare_algorithm", namespace=self.root)
        for algorithm in (self.algorithm, self.spare_algorithm):
            give_role(actor=self.owner, target=algorithm, user_id=self.colleague.pk, role=Role.MANAGER)

    def store(self) -> None:
        """Add an object to the project's storage, and the key that signs tokens for it."""
        current_key(now())
        access = StorageAccess(self.owner.pk, self.project.pk, may_write=True)
        self.stored = store_file(access, b"belt", path="belts/4.bin")
        wanted = Wanted(path="belts/6.bin", content_type="text/plain", size=4, sha256=sha256(b"belt").hexdigest())
        self.direct = begin_direct_upload(access, wanted, kind=UploadKind.PUT)
        bucket().client.put_object(Bucket=bucket().name, Key=self.direct.key, Body=b"belt", ChecksumAlgorithm="SHA256")
        self.parts = begin_direct_upload(access, replace(wanted, path="belts/7.bin"), kind=UploadKind.MULTIPART)

    @staticmethod
    def token(user: User, **narrower: Any) -> str:
        """Return a clear token."""
        return create_token(user=user, name="table", ttl=timedelta(hours=1), **narrower)[1]

    @staticmethod
    def found(clear: str) -> ApiToken:
        """Return the row of a clear token."""
        return ApiToken.objects.get(prefix=clear[:8])

    def clients(self, caller: str, route: str = "") -> list[APIClient]:
        """Return the callers of a column: one, for `void` one with an expired and one with a revoked token.

        For routes of the storage they first ask for a storage token of the project, and send what they have when they get none.
        """
        if caller == "anonymous":
            return [APIClient()]
        clears = [self.expired, self.revoked] if caller == "void" else [self.tokens[caller]]
        made = []
        for clear in clears:
            client = APIClient(raise_request_exception=False)
            client.credentials(HTTP_AUTHORIZATION=f"Token {clear}")
            if route.startswith("storage-"):
                answer = client.get(f"/v1/projects/{self.project.pk}/jwt/?storage=true")
                if answer.status_code == 200:
                    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['id_token']}")
            made.append(client)
        return made

    def arguments(self, names: set[str], caller: str, route: str, method: str) -> dict[str, Any]:
        """Return the arguments of a route: always the things of the organization, and the caller's own token."""
        package = HubPackage.objects.get() if route.startswith("hub") else Package.objects.get(algorithm=self.algorithm)
        people = self.people.get(caller, self.owner)
        own = ApiToken.objects.filter(user=people, revoked_at=None).order_by("created_at").first()
        known: dict[str, Any] = {
            "organization_id": self.organization.pk,
            "namespace_id": self.inner.pk,
            "project_id": self.project.pk,
            "workflow_id": self.workflow.pk,
            "deployment_id": self.deployment.pk,
            "schedule_id": self.schedule.pk,
            "webhook_id": self.webhook.pk,
            "cap_id": self.cap.pk,
            "delivery_id": self.delivery.uid,
            "user_id": self.colleague.pk,
            "token_id": own.pk if own else self.owner.pk,
            "number": 1,
            "algorithm_id": self.algorithm.pk,
            "package_id": package.pk,
            "demo_id": self.algorithm.demo.pk,
            "hub_id": self.hub.pk,
            "object_id": self.stored.pk,
            "upload_id": self.parts.pk if route == "storage-upload-parts" else self.direct.pk,
            "path": "belts/5.bin" if method == "POST" else self.stored.path,
        }
        if method == "DELETE" and route in ("workflow", "project", "algorithm"):
            spare = {"workflow_id": self.spare_workflow, "project_id": self.empty_project, "algorithm_id": self.spare_algorithm}
            known |= {name: one.pk for name, one in spare.items()}
        return {name: known[name] for name in names}


def snapshot() -> dict[str, str]:
    """Return a digest of each table, without what every use of a token notes."""
    tables = [table for table in connection.introspection.table_names() if table not in NOT_COMPARED]
    query = "SELECT " + ", ".join(USED.format(table=f'"{table}"') for table in tables)
    with connection.cursor() as cursor:
        cursor.execute(query)
        return dict(zip(tables, cursor.fetchone(), strict=True))


def archive(example: str = "blur") -> SimpleUploadedFile:
    """Return a workflow archive to push."""
    return SimpleUploadedFile("archive.zip", io.BytesIO(pack_folder(EXAMPLES / example)).getvalue(), "application/octet-stream")


def person(world: World) -> str:
    """Return the address of the user whom requests add or change."""
    return f"http://testserver/v1/users/{world.colleague.pk}/"


Body = Callable[[World], dict[str, Any]]
OFFER = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "S"}
BODIES: dict[tuple[str, str], Body] = {
    ("signup", "POST"): lambda _: {"username": "newcomer", "email": "new@example.com", "password": "a long walk by the quay"},
    ("tokens", "POST"): lambda _: {"name": "another", "ttl": 60},
    ("organizations", "POST"): lambda _: {"name": "another"},
    ("organization", "PUT"): lambda _: {"location": "Brest"},
    ("organization-members", "POST"): lambda world: {"user": person(world), "role": "MANAGER"},
    ("organization-member", "PUT"): lambda _: {"role": "MANAGER"},
    ("namespace", "PUT"): lambda _: {"visibility": "PRIVATE"},
    ("namespace-namespaces", "POST"): lambda _: {"name": "another"},
    ("namespace-members", "POST"): lambda world: {"user": person(world), "role": "OWNER"},
    ("namespace-member", "PUT"): lambda _: {"role": "OWNER"},
    ("namespace-projects", "POST"): lambda _: {"name": "another"},
    ("project", "PUT"): lambda _: {"description": "changed"},
    ("project-members", "POST"): lambda world: {"user": person(world), "role": "OWNER"},
    ("project-member", "PUT"): lambda _: {"role": "OWNER"},
    ("project-workflows", "POST"): lambda _: {"archive": archive()},
    ("project-webhooks", "POST"): lambda _: {"target_url": "https://hooks.example.com/other", "events": ["run.failed"]},
    ("billing-caps", "POST"): lambda world: {"deployment": str(world.deployment.pk), "period": "TOTAL", "amount": 10**12},
    ("billing-cap", "PUT"): lambda _: {"amount": 10**13},
    ("webhook", "PATCH"): lambda _: {"events": ["deployment.error"]},
    ("workflow-deployments", "POST"): lambda _: OFFER,
    ("deployment", "PUT"): lambda _: {"size": "M"},
    ("deployment", "PATCH"): lambda _: {"max_replicas": 2},
    ("deployment-rollback", "POST"): lambda _: {"tag": "v1"},
    ("deployment-schedules", "POST"): lambda _: {"action": "PAUSE", "cron": "0 19 * * 1-5", "time_zone": "Europe/Paris"},
    ("namespace-algorithms", "POST"): lambda _: {"name": "another_one"},
    ("algorithm", "PUT"): lambda _: {"short_description": "changed"},
    ("algorithm-members", "POST"): lambda world: {"user": person(world), "role": "OWNER"},
    ("algorithm-member", "PUT"): lambda _: {"role": "OWNER"},
    ("algorithm-packages", "POST"): lambda _: {"file": upload(plugin(body="new")), "os": ["LINUX"]},
    ("algorithm-demos", "POST"): lambda _: {"archive": upload(demo(body="new"))},
    ("algorithm-publish", "PUT"): lambda _: {"license": "MIT", "version": "1.0.1"},
    ("storage-objects", "POST"): lambda _: {"file": upload(b"new")},
    ("storage-objects-at", "POST"): lambda _: {"file": upload(b"new")},
    ("storage-objects-at", "PUT"): lambda _: {"file": upload(b"new")},
    ("storage-uploads", "POST"): lambda _: {"path": "belts/8.bin", "size": 4, "method": "multipart"},
    ("storage-upload-parts", "POST"): lambda _: {"numbers": [1]},
    ("storage-link", "PUT"): lambda _: {"expire_at": (now() + timedelta(hours=1)).isoformat()},
    ("billing-checkout", "POST"): lambda _: {"plan": "starter-monthly"},
    ("billing-plan", "POST"): lambda _: {"plan": "starter-monthly"},
    ("hub-deploy", "POST"): lambda world: {"project": f"http://testserver/v1/projects/{world.project.pk}/"},
}
MULTIPART = {
    ("project-workflows", "POST"),
    ("algorithm-packages", "POST"),
    ("algorithm-demos", "POST"),
    ("storage-objects", "POST"),
    ("storage-objects-at", "POST"),
    ("storage-objects-at", "PUT"),
}
QUERIES: dict[tuple[str, str], Callable[[World], dict[str, str]]] = {
    ("endpoint-token", "GET"): lambda world: {"endpoint": world.deployment.endpoint},
    ("storage-objects", "DELETE"): lambda _: {"all": "true"},
    ("namespace-quote", "GET"): lambda _: OFFER,
}
