"""The states of a deployment and of its replicas: what may follow what, and what users read about it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import TextChoices


class Status(TextChoices):
    """Where a deployment is. Only the reconciler writes it, through `transitions.switch_status`."""

    QUEUED = "QUEUED"
    BUILDING = "BUILDING"
    SCALING = "SCALING"
    RUNNING = "RUNNING"
    UPDATING = "UPDATING"
    PAUSED = "PAUSED"
    SUSPENDED = "SUSPENDED"
    ERROR = "ERROR"
    STUCK = "STUCK"
    DELETING = "DELETING"
    DELETED = "DELETED"


class DesiredState(TextChoices):
    """What the user wants of a deployment (intent); the API and pages write it, the reconciler brings it about."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DELETED = "DELETED"


class ReplicaStatus(TextChoices):
    """Where a replica is. It is TERMINATED only when the provider says that it is gone."""

    STARTING = "STARTING"
    SERVING = "SERVING"
    DRAINING = "DRAINING"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"


ALIVE = (ReplicaStatus.STARTING, ReplicaStatus.SERVING)

ALLOWED: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.BUILDING, Status.PAUSED, Status.SUSPENDED, Status.ERROR, Status.DELETING}),
    Status.BUILDING: frozenset({Status.SCALING, Status.PAUSED, Status.SUSPENDED, Status.ERROR, Status.DELETING}),
    Status.SCALING: frozenset({Status.BUILDING, Status.RUNNING, Status.PAUSED, Status.SUSPENDED, Status.ERROR, Status.DELETING}),
    Status.RUNNING: frozenset({Status.UPDATING, Status.SCALING, Status.PAUSED, Status.SUSPENDED, Status.ERROR, Status.DELETING}),
    Status.UPDATING: frozenset({Status.RUNNING, Status.BUILDING, Status.PAUSED, Status.SUSPENDED, Status.ERROR, Status.DELETING}),
    Status.PAUSED: frozenset({Status.QUEUED, Status.DELETING}),
    Status.SUSPENDED: frozenset({Status.QUEUED, Status.DELETING}),
    Status.ERROR: frozenset({Status.QUEUED, Status.PAUSED, Status.DELETING}),
    Status.STUCK: frozenset({Status.DELETING}),
    Status.DELETING: frozenset({Status.DELETED, Status.STUCK}),
    Status.DELETED: frozenset(),
}

SERVING_STATUSES = frozenset({Status.RUNNING, Status.UPDATING})

MEANINGS: dict[Status, tuple[str, str]] = {
    Status.QUEUED: ("Accepted; work starts in a moment.", "Building"),
    Status.BUILDING: ("The environment of the workflow is being put together.", "Scaling"),
    Status.SCALING: ("The infrastructure is being started.", "Running"),
    Status.RUNNING: ("The endpoint serves runs.", "It stays so until you update, resize, pause or delete it."),
    Status.UPDATING: ("The endpoint serves the former version while the new one starts.", "Running, with the new version or as before"),
    Status.PAUSED: ("Nothing runs and nothing is charged; the URL stays.", "Resume it to serve again."),
    Status.SUSPENDED: (
        "Nothing pays for it now: credits ran out, or a spend cap was reached. The URL stays.",
        "Add credits, then resume it.",
    ),
    Status.ERROR: ("It could not be built or started.", "Read the reason, then update it to try again."),
    Status.STUCK: (
        "Its provider does not remove what it was asked to remove; nothing is charged.",
        "An operator has been told; nothing for you to do.",
    ),
    Status.DELETING: ("The endpoint is closed and its infrastructure is being removed.", "Deleted"),
    Status.DELETED: ("Gone.", ""),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a deployment is where it is: a stable `code`, a sentence in `detail`. What to do about it comes from `next_step`."""

    code: str
    detail: str


NEXT_STEPS: dict[str, str] = {
    "BAD_REQUIREMENT": "Write the line as name, version and marker (no paths, options or addresses); push again, then update.",
    "NOT_FOUND": "Correct the name in the plugin's requirements, or have the package put on the index; push again, then update.",
    "NO_VERSION": "Ask for a version that exists in the plugin's requirements; push again, then update.",
    "ENGINE_CONFLICT": "Widen the requirement to the version that the engine has, or remove the line; push again, then update.",
    "PLUGIN_CONFLICT": "Change one of the named requirements so that one version fits all plugins; push again, then update.",
    "NO_WHEEL": "Ask for a version that has a wheel for Linux and the runtime's Python, or for another package; push again, then update.",
    "WRONG_PYTHON": "Ask for a version that supports the runtime's Python; push again, then update.",
    "INSTALL_FAILED": "Read the build log, correct the plugin's requirements, push again, then update.",
    "INDEX_DOWN": "Nothing: it goes on by itself when the package index answers. If it stays, tell the operator.",
    "BEING_BUILT": "Nothing: it goes on by itself when the build is done.",
    "ALGORITHM_CHANGED": "Nothing: it is built again with the package that the HUB has now.",
    "TIMEOUT": "Update the deployment to try again; if it stays, ask for fewer or smaller packages.",
    "BAD_PACKAGE": "Replace the package that the reason names, then update the deployment.",
    "PACKAGE_MISSING": "Upload the algorithm's package again, then update the deployment.",
    "ALGORITHM_MISSING": "Upload a package of the algorithm, or push the workflow with its plugins in the archive; then update.",
    "BUNDLE_TOO_LARGE": "Ask for fewer or smaller packages, push again, then update.",
    "UNSUPPORTED_RUNTIME": "Save the workflow with an engine and a Python that are supported, push again, then update.",
    "NO_RUNTIME": "Tell the operator that the engine's environment is missing where bundles are built, or is none of the runtime bases.",
    "NO_BUILD_FOLDER": "Tell the operator that the folder for builds cannot be written.",
    "REGISTRY_DOWN": "Nothing: it goes on by itself when the registry answers. If it stays, tell the operator.",
    "REGISTRY_REFUSED": "Tell the operator: the registry refuses the image, or has no image of the runtime base.",
    "BAD_ARCHIVE": "Push the workflow again, then update the deployment.",
    "ARCHIVE_MISSING": "Push the workflow again, then update the deployment.",
    "OBJECT_STORE_DOWN": "Nothing: it goes on by itself when the object store answers.",
    "PROVIDER_UNAVAILABLE": "Nothing: it goes on by itself when the provider answers.",
    "START_FAILED": "Read the logs of the deployment, correct the workflow or its plugins, push again, then update.",
    "START_TIMEOUT": "Update the deployment to try again, with a larger size if the workflow loads large models.",
    "NO_CAPACITY": "Restart the deployment later, or choose another size, region or provider.",
    "REPLICA_LOST": "Nothing: another one is being started.",
    "ROLLED_BACK": "Read the logs of the failed version, correct it, push again, then update.",
    "SMOKE_RUN_FAILED": "Try the workflow on a picture in the engine, correct it, push again, then update.",
    "RESOURCE_STUCK": "Nothing: an operator has been told, and it is not charged.",
    "EXPIRED": "Deploy the workflow again if you still need it.",
    "NO_CREDITS": "Add credits, then resume it.",
    "SPEND_CAP": "Raise or remove the spend cap, then resume it.",
    "QUOTA_EXCEEDED": "Ask the operator to raise the provider's quota, or choose a smaller size.",
    "BAD_CREDENTIALS": "Ask the operator to renew the provider's credentials, then update the deployment.",
    "INTERNAL_ERROR": "Update the deployment to try again; if it stays, tell the operator the code and the time.",
}


def next_step(reason_code: str, status: Status) -> str:
    """Return what the user can do: of the reason if there is one, else what comes after this state."""
    return NEXT_STEPS.get(reason_code) or MEANINGS[status][1]


def state_diagram() -> str:
    """Return ALLOWED as the text of a mermaid state diagram; docs/deployments.md shows it and a test keeps it current."""
    lines = ["stateDiagram-v2", "    [*] --> QUEUED"]
    for status in Status:
        lines += [f"    {status} --> {after}" for after in Status if after in ALLOWED[status]]
    return "\n".join([*lines, "    DELETED --> [*]"])
