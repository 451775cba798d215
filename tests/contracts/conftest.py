"""A person at the running service and deployments of theirs, made once for all tests of the clients."""

from __future__ import annotations

import json

import pytest

from controlplane.projects.examples_catalogue import EXAMPLES
from tests.contracts.person import Person
from tests.contracts.workflows import lost_page, only_blur, soft_edges, sure_boxes, write_failing_plugin
from tests.pictures import COINS

PROJECT = "clients"


@pytest.fixture(scope="session")
def person(stack, tmp_path_factory):
    """A user with a project."""
    person = Person(stack.url, tmp_path_factory.mktemp("person"), "olga")
    person.must("project", "add", person.username, PROJECT)
    return person


@pytest.fixture(scope="session")
def deployed(person):
    """Return `deployed(document, **plugins)`: the endpoint of a running deployment of a workflow, made at its first call."""
    endpoints: dict[str, str] = {}

    def endpoint_of(document, **plugins):
        name = document["metadata"]["name"]
        if name not in endpoints:
            person.must("project", "push", PROJECT, str(person.save(document, **plugins)))
            endpoints[name] = person.deploy(PROJECT, name)["endpoint"]
        return endpoints[name]

    return endpoint_of


@pytest.fixture(scope="session")
def edges_endpoint(deployed):
    """Blur and edges."""
    return deployed(soft_edges())


@pytest.fixture(scope="session")
def blur_endpoint(deployed):
    """Blur alone."""
    return deployed(only_blur())


@pytest.fixture(scope="session")
def filter_endpoint(deployed):
    """Filters the detections that it is given."""
    return deployed(sure_boxes())


@pytest.fixture(scope="session")
def failing_endpoint(deployed, tmp_path_factory):
    """Fails on every picture."""
    return deployed(lost_page(), lose_page=write_failing_plugin(tmp_path_factory.mktemp("plugins")))


@pytest.fixture(scope="session")
def detector_endpoint(person, deployed):
    """The example that finds objects."""
    folder = EXAMPLES / "detect_objects"
    document = json.loads((folder / "workflow.json").read_text())
    plugins = {path.name: path for path in folder.iterdir() if path.is_dir()}
    return deployed(document, **plugins)


@pytest.fixture(scope="session")
def picture():
    """A photograph of coins."""
    return str(COINS)
