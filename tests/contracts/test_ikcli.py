"""The unmodified command line client against the running service: everything from sign-up to the end of a deployment."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.contracts.clients import ikcli, token_in
from tests.contracts.conftest import PROJECT
from tests.contracts.person import PASSWORD, Person
from tests.contracts.workflows import circle, only_blur, soft_edges

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
OFFER = ("AWS", "FRANCE", "SERVERLESS")
ASKED_OFTEN = 40


def until(ask, wanted):
    """Repeat a command (each takes most of a second) until its output is as wanted; return the last one."""
    for _ in range(ASKED_OFTEN):
        told = ask()
        if wanted(told):
            return told
    return told


@pytest.fixture
def nobody(stack, tmp_path):
    """Return a function that runs ikcli without a token."""
    return lambda *args, token=None, answers="": ikcli(stack.url, token, *args, cwd=tmp_path, home=tmp_path, answers=answers)


@pytest.fixture
def project(person):
    """The name of a new project."""
    name = f"p-{secrets.token_hex(3)}"
    person.must("project", "add", person.username, name, "--description", "made by a test")
    return name


class TestAccounts:
    def test_signup_and_login_ask_for_what_is_missing(self, nobody):
        name = f"asked-{secrets.token_hex(4)}"
        done = nobody("signup", answers=f"{name}\n{name}@example.com\n{PASSWORD}\n{PASSWORD}\n")
        assert done.code == 0, done.printed + done.complained
        assert f"User {name}" in done.text
        done = nobody("login", "--token-ttl", "120", answers=f"{name}\n{PASSWORD}\n")
        assert "valid for next 120 seconds" in done.text
        assert name in nobody("whoami", token=token_in(done.printed)).text

    def test_whoami_shows_the_account(self, person):
        told = person.must("whoami").text
        assert f"Logged in as '{person.username}' on '{person.url}" in told
        assert f"Email: {person.username}@example.com" in told
        assert "Biography" in told

    def test_a_wrong_password_is_told_as_invalid_credentials(self, person, nobody):
        done = nobody("login", "--username", person.username, "--password", "not the one")
        assert "Invalid credentials" in done.text
        assert "IKOMIA_TOKEN" not in done.text

    @pytest.mark.parametrize("token", [None, "slw_not-a-token"])
    def test_without_a_valid_token_nobody_is_logged_in(self, nobody, token):
        assert "Not logged in on" in nobody("whoami", token=token).text
        done = nobody("project", "ls", token=token)
        assert done.code == 1
        assert "ikcli login" in done.text

    def test_a_taken_name_is_refused_in_words(self, person, nobody):
        done = nobody("signup", "--username", person.username, "--email", "x@example.com", "--password", PASSWORD)
        assert done.code == 1
        assert person.username in done.text

    def test_sign_up_brings_a_namespace_and_a_first_project_with_examples(self, person):
        assert [person.username, person.username] in [row[:2] for row in person.must("namespace", "ls").rows]
        assert "Getting_started" in person.must("project", "ls").text
        rows = person.must("project", "workflow", "ls", "Getting_started").rows
        assert len(rows) >= 3
        assert {row[2] for row in rows} == {"v1"}


class TestProjects:
    def test_a_project_is_added_listed_and_shown(self, person, project):
        row = next(row for row in person.must("project", "ls", "--name", project).rows)
        assert row == [project, f"{person.username}/{project}", "made by a test", "PRIVATE"]
        shown = person.must("project", "show", project).text
        assert "made by a test" in shown
        assert f"{person.username} OWNER" in shown

    def test_a_project_is_deleted_only_after_a_yes(self, person, project):
        assert "Aborted" in person.must("project", "delete", project, answers="n\n").text
        assert person.must("project", "ls", "--name", project).rows
        assert "Project deleted" in person.must("project", "delete", project, answers="y\n").text
        assert "Projects (0)" in person.must("project", "ls", "--name", project).text

    def test_two_projects_of_one_name_are_told_apart_by_path(self, person, project):
        assert person.must("project", "show", project, "--path", person.username).code == 0
        done = person.ikcli("project", "show", project, "--path", "elsewhere")
        assert done.code == 1
        assert "Unable to find project" in done.text

    def test_a_name_twice_is_refused_in_words(self, person, project):
        done = person.ikcli("project", "add", person.username, project)
        assert done.code == 1
        assert "already has a project" in done.text

    def test_a_stranger_sees_nothing_of_it(self, stack, project, tmp_path):
        stranger = Person(stack.url, tmp_path, "stranger")
        assert project not in stranger.must("project", "ls").text
        assert stranger.ikcli("project", "delete", project, answers="y\n").code == 1


class TestWorkflows:
    def test_a_push_is_listed_and_shown_as_it_was_saved(self, person, project):
        document = soft_edges()
        assert "Workflow soft_edges" in person.must("project", "push", project, str(person.save(document))).text
        assert person.must("project", "workflow", "ls", project).rows == [["soft_edges", "Blurs, then finds edges.", "v1"]]
        assert person.must("project", "workflow", "show", project, "soft_edges").documents() == [document]

    def test_the_same_name_again_makes_a_new_tag(self, person, project):
        for size, tag in (("5", "v1"), ("9", "v2"), ("9", "v3")):
            person.must("project", "push", project, str(person.save(only_blur(size=size))))
            assert person.must("project", "workflow", "ls", project, "--name", "only_blur").rows == [["only_blur", "", tag]]

    def test_a_workflow_that_cannot_run_is_refused_with_the_reason_and_nothing_is_made(self, person, project):
        done = person.ikcli("project", "push", project, str(person.save(circle())))
        assert done.code == 1
        assert 'run in a circle: task 0 "ocv_blur" -> task 1 "ocv_blur" -> task 0 "ocv_blur"' in done.text
        assert person.must("project", "workflow", "ls", project).rows == []

    def test_text_in_a_refusal_does_not_break_its_display(self, person, project):
        document = only_blur()
        document["tasks"][0]["task_data"]["name"] = "[/bold]\x1b[31m"
        done = person.ikcli("project", "push", project, str(person.save(document)))
        assert done.code == 1
        assert "Traceback" not in done.printed + done.complained
        assert "/tasks/0/task_data/name" in done.text.replace(" ", "")

    def test_a_workflow_is_deleted(self, person, project):
        person.must("project", "push", project, str(person.save(only_blur())))
        assert "Workflow deleted" in person.must("project", "workflow", "delete", project, "only_blur", answers="y\n").text
        assert person.must("project", "workflow", "ls", project).rows == []


class TestDeployments:
    def test_a_deployment_is_listed_with_its_endpoint(self, person, edges_endpoint):
        rows = person.must("project", "deployment", "ls", PROJECT, "soft_edges").rows
        assert rows == [[*OFFER, "S", "v1", "RUNNING", edges_endpoint]]

    def test_a_run_shows_the_result(self, person, edges_endpoint, picture):
        told = person.must("project", "deployment", "run", PROJECT, "soft_edges", picture)
        assert told.documents() == [{"image": "<base64 content opened in viewer>"}]
        assert "Done in" in told.text

    def test_detections_are_shown_as_json(self, person, detector_endpoint, picture):
        told = person.must("project", "deployment", "run", PROJECT, "detect_objects", picture).documents()
        boxes = next(document["OBJECT_DETECTION"] for document in told if "OBJECT_DETECTION" in document)
        assert len(boxes["detections"]) > 5

    def test_a_failed_run_shows_the_message_of_the_engine(self, person, failing_endpoint, picture):
        done = person.ikcli("project", "deployment", "run", PROJECT, "lost_page", picture)
        assert done.code == 1
        assert "the page was lost at sea" in done.text

    def test_logs_show_the_runs_and_what_plugins_print(self, person, failing_endpoint, picture):
        person.ikcli("project", "deployment", "run", PROJECT, "lost_page", picture)
        command = ("project", "deployment", "logs", PROJECT, "lost_page")
        told = until(lambda: person.must(*command), lambda told: "failed" in told.text)
        assert "about to lose the page" in told.text
        assert "the page was lost at sea" in told.text
        only = person.must(*command, "--level", "ERROR").documents()
        assert {line["level"] for line in only} == {"ERROR"}
        assert len(person.must(*command, "--limit", "1").documents()) == 1

    def test_usage_counts_the_runs(self, person, edges_endpoint, picture):
        command = ("project", "deployment", "usage", PROJECT, "soft_edges", "--period", "day")
        person.must("project", "deployment", "run", PROJECT, "soft_edges", picture)
        told = until(lambda: person.must(*command), lambda told: "No usage" not in told.text)
        assert "AWS SERVERLESS S" in told.text
        assert "Total" in told.text

    def test_usage_of_an_idle_deployment_says_so(self, person, edges_endpoint):
        told = person.must("project", "deployment", "usage", PROJECT, "soft_edges", "--period", "last_month")
        assert "No usage found on period" in told.text

    def test_the_life_of_a_deployment(self, person, project, picture):
        person.must("project", "push", project, str(person.save(only_blur())))
        told = person.must("project", "workflow", "deploy", project, "only_blur", *OFFER, "--size", "S").text
        assert "Deployment AWS FRANCE SERVERLESS http" in told
        endpoint = person.until_running(project, "only_blur")["endpoint"]
        assert "Nothing to update" in person.must("project", "deployment", "update", project, "only_blur").text

        person.must("project", "push", project, str(person.save(only_blur(size="9"))))
        told = person.must("project", "deployment", "update", project, "only_blur", "--size", "M", answers="y\n").text
        assert "Will Update These Deployments (1)" in told
        assert "Done" in told
        updated = person.until_running(project, "only_blur")
        assert (updated["tag"], updated["size"], updated["endpoint"]) == ("v2", "M", endpoint)
        assert "Nothing to update" in person.must("project", "deployment", "update", project, "only_blur").text

        refused = person.ikcli("project", "workflow", "delete", project, "only_blur", answers="y\n")
        assert refused.code == 1
        assert "still deployed" in refused.text
        assert "Deployment deleted" in person.must("project", "deployment", "delete", project, "only_blur", answers="y\n").text
        gone = until(lambda: person.must("project", "deployment", "ls", project, "only_blur"), lambda told: "Deployments (0)" in told.text)
        assert gone.rows == []
        person.must("project", "workflow", "delete", project, "only_blur", answers="y\n")
        person.must("project", "delete", project, answers="y\n")

    def test_an_offer_that_does_not_exist_is_refused_in_words(self, person, project):
        person.must("project", "push", project, str(person.save(only_blur())))
        done = person.ikcli("project", "workflow", "deploy", project, "only_blur", "AWS", "NETHERLANDS", "GPU", "--size", "XS")
        assert done.code == 1
        assert "AWS" in done.text
        assert person.must("project", "deployment", "ls", project, "only_blur").rows == []

    def test_the_other_name_of_scaleway_is_understood(self, person, project):
        person.must("project", "push", project, str(person.save(only_blur())))
        told = person.must("project", "workflow", "deploy", project, "only_blur", "SCALEWAY_VIA_SCALEDYNAMICS", "FRANCE", "CLUSTER").text
        assert "FRANCE CLUSTER http" in told
        command = ("project", "deployment", "delete", project, "only_blur", "--provider", "SCALEWAY_VIA_SCALEDYNAMICS")
        assert "Deployment deleted" in person.must(*command, answers="y\n").text


def test_every_answer_is_one_that_the_client_can_read(person):
    """The client reads every answer; one that it cannot read ends in a traceback of its own."""
    for command in (("project", "ls"), ("namespace", "ls"), ("organization", "ls"), ("algo", "ls"), ("hub", "ls")):
        done = person.ikcli(*command)
        assert "TypeError" not in done.printed + done.complained, json.dumps(done.printed)
