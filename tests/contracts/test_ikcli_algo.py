"""The unmodified command line client with the engine: local algorithms, the private HUB, the public HUB, and the engine that installs from it."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.contracts.clients import WITH_ENGINE, ikcli, run_engine
from tests.contracts.person import Person
from tests.contracts.plugins import ICON, add_icon, describe, write_plugin
from tests.pictures import COINS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
YES, NO = "y\n", "n\n"
SHORT = "Detect objects that stand out from their background"


def new_name(word="hulls"):
    """Return a name of an algorithm that nothing else has."""
    return f"{word}_{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def mira(stack, tmp_path_factory):
    """Who writes algorithms; operators let her publish."""
    mira = Person(stack.url, tmp_path_factory.mktemp("mira"), "mira", WITH_ENGINE)
    stack.manage("allow_publishing", mira.username)
    return mira


@pytest.fixture(scope="module")
def carl(stack, tmp_path_factory):
    """Somebody else, without the engine."""
    return Person(stack.url, tmp_path_factory.mktemp("carl"), "carl")


@pytest.fixture
def nobody(stack, tmp_path):
    """Return a function that runs a command without a token and without the engine."""
    return lambda *args: ikcli(stack.url, None, *args, cwd=tmp_path, home=tmp_path)


@pytest.fixture
def local(mira):
    """The name of a new algorithm in Mira's folder."""
    name = new_name()
    write_plugin(mira.home, name)
    return name


@pytest.fixture
def added(mira, local):
    """The name of an algorithm of hers in the private HUB."""
    mira.must("algo", "add", mira.username, local)
    return local


@pytest.fixture
def harbour(mira):
    """The name of a new organization of hers."""
    name = f"harbour-{secrets.token_hex(3)}"
    mira.must("organization", "add", name)
    return name


@pytest.fixture
def publish(mira):
    """Return `publish(name, …)`: choose the first licence of the menu, the version offered first, and confirm, but for the options."""
    return lambda name, *options, answers="1\n1\ny\n": mira.ikcli("algo", "publish", name, *options, answers=answers)


@pytest.fixture
def published(added, publish):
    """The name of a published algorithm, version 1.0.0."""
    done = publish(added)
    assert done.code == 0, done.printed + done.complained
    return added


def algorithm(person, name):
    """Return an algorithm as the API shows it."""
    return person.one("/v1/algos/", name=name)


class TestLocal:
    def test_one_is_created_from_the_template_listed_and_not_created_twice(self, mira):
        name = new_name("cranes")
        told = mira.must("algo", "local", "create", name).text
        assert f"{name} successfully created" in told
        assert f"Ikomia/Plugins/Python/{name}" in told.replace(" ", "")
        row = next(row for row in mira.must("algo", "local", "ls").rows if row[0] == name)
        assert row[2:] == ["your short description", "PYTHON"]
        mira.ikcli("algo", "local", "create", name).refused("already exists")

    def test_what_is_no_name_of_a_module_is_told(self, mira):
        mira.ikcli("algo", "local", "create", "12-hulls").refused("not a valid algo name")

    def test_one_from_the_template_is_added_as_it_is(self, mira):
        name = new_name("cranes")
        mira.must("algo", "local", "create", name)
        told = mira.must("algo", "add", mira.username, name, "--visibility", "PUBLIC", "--demo_workflow", "FALSE").text
        assert f"Algo {mira.username}/{name}: your short description" in told
        assert "workflow" not in told.lower()
        row = [name, f"{mira.username}/{name}", "your short description", "PYTHON", "OTHER"]
        [listed] = mira.must("algo", "ls", "--name", name).rows
        assert (listed[:5], listed[6]) == (row, "PUBLIC")


class TestAdd:
    def test_it_brings_a_package_and_a_demo_workflow(self, mira, local):
        told = mira.must("algo", "add", mira.username, local).text
        assert f"Algo {mira.username}/{local}: {SHORT}" in told
        assert "PYTHON package (os" in told
        assert f"Workflow {local} uploaded" in told
        row = [local, f"{mira.username}/{local}", SHORT, "PYTHON", "INFER", "OBJECT_DETECTION", "PRIVATE"]
        assert mira.must("algo", "ls", "--name", local).rows == [row]

    def test_it_is_shown_with_its_packages_and_the_readme(self, mira, added):
        shown = mira.must("algo", "show", added).text
        assert f"Name: {added} Path: {mira.username}/{added} Visibility: PRIVATE Short Description: {SHORT}" in shown
        assert "Keywords: detection,contours Language: PYTHON Algo Type: INFER Algo Task: OBJECT_DETECTION" in shown
        assert "Counts hulls at a quay.[^1]" in shown
        assert "mind the [/red] light" in shown.replace("\u2060", "")
        assert "Paper: " in shown
        assert "Packages (1)" in shown

    def test_its_packages_are_listed_with_their_platforms(self, mira, local):
        told = {"min_ikomia_version": '"0.15.0"', "min_python_version": '"3.9.0"', "max_python_version": '"3.12.0"'}
        describe(mira.home, local, **told)
        mira.must("algo", "add", mira.username, local)
        [row] = mira.must("algo", "package", "ls", local).rows
        assert (row[1], row[3:6]) == ("0.15.0", ["3.9.0", "3.13.0", "LINUX,WINDOWS"])
        assert row[0]
        assert row[6]

    def test_an_icon_comes_along(self, mira, local):
        add_icon(mira.home, local)
        mira.must("algo", "add", mira.username, local)
        assert mira.send("GET", algorithm(mira, local)["icon_url"]) == ICON

    def test_refusals_are_told_in_words(self, mira, carl, added, harbour):
        mira.ikcli("algo", "add", mira.username, added).refused("already has an algorithm")
        mira.ikcli("algo", "add", "no-such-namespace", added).refused("Namespace that match", "was not found")
        mira.ikcli("algo", "add", mira.username, new_name()).refused()
        carl.ikcli("algo", "show", added).refused("Unable to find algo")
        mira.must("organization", "member", "add", harbour, carl.username, "MEMBER")
        token, mira.token = mira.token, carl.token
        try:
            mira.ikcli("algo", "add", harbour, added).refused("You are MEMBER here", "takes one of: MANAGER, OWNER")
        finally:
            mira.token = token
        assert mira.must("algo", "ls", "--name", added).rows[0][1] == f"{mira.username}/{added}"

    def test_words_of_names_keywords_and_descriptions_find_it(self, mira, carl, local):
        word = f"quay{secrets.token_hex(3)}"
        describe(mira.home, local, keywords=f'"boats,{word}"')
        mira.must("algo", "add", mira.username, local)
        assert [row[0] for row in mira.must("algo", "ls", "-q", word).rows] == [local]
        assert local in [row[0] for row in mira.must("algo", "ls", "--query", "hulls", "--limit", "100").rows]
        assert mira.must("algo", "ls", "-q", f"{word} submarine").rows == []
        assert carl.must("algo", "ls", "-q", word).rows == []


class TestUpdate:
    def test_what_the_plugin_tells_now_replaces_what_it_told_and_its_package_the_last_one(self, mira, added):
        describe(mira.home, added, short_description='"Counts [b]hulls[/b]"', keywords='"boats"', algo_tasks='"OTHER"')
        told = mira.must("algo", "update", added).text
        assert "updated" in told
        shown = mira.must("algo", "show", added).text
        assert "Keywords: boats" in shown
        assert "Algo Task: OTHER" in shown
        assert algorithm(mira, added)["short_description"] == "Counts [b]hulls[/b]"
        assert [row[0] for row in mira.must("algo", "package", "ls", added).rows] == ["v2"]

    def test_an_icon_sends_every_field_along_as_a_form(self, mira, added):
        add_icon(mira.home, added)
        before = algorithm(mira, added)
        mira.must("algo", "update", added, "--demo_workflow", "FALSE")
        after = algorithm(mira, added)
        assert mira.send("GET", after["icon_url"]) == ICON
        same = ("url", "name", "path", "visibility", "description", "keywords", "paper", "algo_type", "algo_task", "language")
        assert {name: after[name] for name in same} == {name: before[name] for name in same}

    def test_one_that_was_not_added_is_told(self, mira, local):
        mira.ikcli("algo", "update", local).refused("Unable to find algo")


class TestMembers:
    def test_a_partner_raised_on_an_algorithm_sees_it_alone(self, mira, carl, local, harbour):
        mira.must("algo", "add", harbour, local, "--demo_workflow", "FALSE")
        mira.must("organization", "member", "add", harbour, carl.username, "PARTNER")
        assert carl.must("algo", "ls", "--name", local).rows == []
        assert f"{carl.username} as MEMBER" in mira.must("algo", "member", "add", local, carl.username, "MEMBER").text
        assert [row[1] for row in carl.must("algo", "ls", "--name", local).rows] == [f"{harbour}/{local}"]
        owner, member = [mira.username, "OWNER", harbour], [carl.username, "MEMBER", f"{harbour}/{local}"]
        command = ("algo", "member", "ls", local)
        assert mira.must(*command).rows == [owner, member]
        assert carl.must(*command, "--role", "OWNER").rows == [owner]
        assert mira.must(*command, "--username", carl.username).rows == [member]
        carl.ikcli("algo", "delete", local, answers=YES).refused("You are MEMBER here")
        assert "Member deleted" in mira.must("algo", "member", "delete", local, carl.username, answers=YES).text
        assert carl.must("algo", "ls", "--name", local).rows == []

    def test_a_personal_one_has_its_owner_alone(self, mira, carl, added):
        mira.ikcli("algo", "member", "add", added, carl.username, "MEMBER").refused("A personal workspace has no members")
        assert mira.must("algo", "member", "ls", added).rows == [[mira.username, "OWNER", mira.username]]


class TestPublish:
    def test_it_takes_the_operators_leave(self, mira, local, harbour, publish, nobody):
        mira.must("algo", "add", harbour, local, "--demo_workflow", "FALSE")
        publish(local).refused("may not publish to the public HUB yet")
        assert nobody("hub", "ls", "--name", local).rows == []

    def test_licence_and_version_are_asked_for_and_confirmed(self, mira, added, publish, nobody):
        told = publish(added, "--license", "MIT", answers="1\n" + NO)
        assert "First version = 1.0.0" in told.text
        assert "Aborted by user" in told.text
        assert nobody("hub", "ls", "--name", added).rows == []
        told = publish(added, "--license", "MIT", answers="1\n" + YES)
        assert f"Algo {added} v1.0.0 published" in told.text
        row = [added, SHORT, "1.0.0", "MIT", "INFER", "OBJECT_DETECTION", "False"]
        assert nobody("hub", "ls", "--name", added).rows == [row]

    def test_the_next_version_is_offered_with_the_licence_of_the_last(self, mira, published, publish, nobody):
        describe(mira.home, published, short_description='"Counts hulls"')
        mira.must("algo", "update", published)
        told = publish(published, answers="\n\ny\n")
        assert "Next minor = 1.1.0" in told.text
        assert f"Algo {published} v1.1.0 published" in told.text
        assert [row[1:3] for row in nobody("hub", "ls", "--name", published).rows] == [["Counts hulls", "1.1.0"]]
        assert [row[0] for row in nobody("hub", "package", "ls", published, "--version", "1.0.0").rows] == ["1.0.0"]

    def test_a_version_that_is_published_never_changes(self, mira, published, publish, nobody):
        assert publish(published, "--version", "1.0.0", answers="1\n" + YES).code == 0
        describe(mira.home, published, short_description='"Counts hulls"')
        mira.must("algo", "update", published)
        publish(published, "--version", "1.0.0", answers="1\n" + YES).refused("is published and never changes")
        publish(published, "--version", "3.0.0", answers="1\n" + YES).refused("The newest version is 1.0.0")
        assert [row[1:3] for row in nobody("hub", "ls", "--name", published).rows] == [[SHORT, "1.0.0"]]


class TestHub:
    def test_it_is_browsed_without_an_account(self, published, nobody):
        shown = nobody("hub", "show", published)
        assert shown.code == 0, shown.printed
        assert f"Name: {published} Short Description: {SHORT} Keywords: detection,contours" in shown.text
        assert "Packages (1)" in shown.text
        assert "1.0.0" in shown.text
        [row] = nobody("hub", "package", "ls", published).rows
        assert row[0] == "1.0.0"
        assert "LINUX,WINDOWS" in row
        nobody("hub", "show", new_name()).refused("Unable to find algo")
        nobody("hub", "package", "ls", new_name()).refused("Unable to find algo")

    def test_words_find_what_is_published_alone(self, mira, local, publish, nobody):
        word = f"quay{secrets.token_hex(3)}"
        describe(mira.home, local, keywords=f'"boats,{word}"')
        mira.must("algo", "add", mira.username, local)
        assert nobody("hub", "ls", "-q", word).rows == []
        assert publish(local).code == 0
        assert [row[0] for row in nobody("hub", "ls", "-q", word, "--limit", "5").rows] == [local]

    def test_operators_certify(self, stack, published, nobody):
        stack.manage("certify", published)
        assert nobody("hub", "ls", "--name", published).rows[0][-1] == "True"


class TestDelete:
    def test_it_is_deleted_after_a_yes_and_what_is_published_stays(self, mira, published, nobody):
        assert "Aborted" in mira.must("algo", "delete", published, answers=NO).text
        assert "Algo deleted" in mira.must("algo", "delete", published, answers=YES).text
        assert mira.must("algo", "ls", "--name", published).rows == []
        assert [row[0] for row in nobody("hub", "ls", "--name", published).rows] == [published]


class TestEngine:
    @pytest.fixture
    def install(self, stack, tmp_path):
        """Return a function that installs an algorithm in an empty folder, runs it on a picture, and returns what the engine told."""

        def run(name, token=None):
            done = run_engine(stack.url, token, tmp_path, name, str(COINS))
            assert done.code == 0, done.printed + done.complained
            assert (tmp_path / "Ikomia/Plugins/Python" / name / f"{name}_process.py").exists()
            return json.loads(done.printed.strip().splitlines()[-1])

        return run

    def test_it_installs_and_runs_what_is_published_without_a_token(self, published, install):
        told = install(published)
        assert published in told["offered"]
        assert len(told["found"]["detections"]) > 5

    def test_it_installs_and_runs_with_a_token_what_is_not_published(self, mira, added, install):
        told = install(added, mira.token)
        assert added in told["offered"]
        assert len(told["found"]["detections"]) > 5
