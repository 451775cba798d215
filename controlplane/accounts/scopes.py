"""What an API token may be used for. A token without scopes is a full one, as the command line client makes it."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """Parts of the API that a token can be narrowed to."""

    READ = "read"
    DEPLOY = "deploy"
    CONSUME = "consume"
    STORAGE = "storage"
    ADMIN = "admin"


MEANING = {
    Scope.READ: "see projects, workflows, deployments, algorithms, logs and usage",
    Scope.DEPLOY: "push workflows and algorithms, create and change deployments; includes read",
    Scope.CONSUME: "get endpoint tokens, to call deployments",
    Scope.STORAGE: "get endpoint tokens that open the storage of a project too; includes consume",
    Scope.ADMIN: "change projects, organizations, members, webhooks and tokens, delete and publish algorithms, read the audit log; includes read",
}

IMPLIED = {Scope.DEPLOY: frozenset({Scope.READ}), Scope.STORAGE: frozenset({Scope.CONSUME}), Scope.ADMIN: frozenset({Scope.READ})}


def widened(scopes: frozenset[Scope]) -> frozenset[Scope]:
    """Return the scopes with those that they include."""
    return scopes.union(*(IMPLIED.get(scope, frozenset()) for scope in scopes))
