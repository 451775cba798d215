"""The unmodified command line client as several people of one organization: organizations, sub-namespaces, and members everywhere."""

from __future__ import annotations

import secrets

import pytest

from tests.contracts.person import Person

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
YES, NO = "y\n", "n\n"


def new_name(word):
    """Return a name that nothing else has: the client looks things up by name."""
    return f"{word}-{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def people(stack, tmp_path_factory):
    """Olga, who owns what the tests make, Carl, whom she adds, and Sten, a stranger."""
    return [Person(stack.url, tmp_path_factory.mktemp(name), name) for name in ("olga", "carl", "sten")]


@pytest.fixture(scope="module")
def olga(people):
    return people[0]


@pytest.fixture(scope="module")
def carl(people):
    return people[1]


@pytest.fixture(scope="module")
def sten(people):
    return people[2]


@pytest.fixture
def harbour(olga):
    """The name of a new organization of Olga's."""
    name = new_name("harbour")
    olga.must("organization", "add", name)
    return name


@pytest.fixture
def cranes(olga, harbour):
    """The name of a namespace in it."""
    name = new_name("cranes")
    olga.must("namespace", "add", harbour, name)
    return name


@pytest.fixture
def quay(olga, harbour):
    """The name of a project in it."""
    name = new_name("quay")
    olga.must("project", "add", harbour, name)
    return name


@pytest.fixture
def join(olga, harbour, carl):
    """Return `join(role)`: Carl gets a role on the organization."""
    return lambda role: olga.must("organization", "member", "add", harbour, carl.username, role)


class TestOrganizations:
    def test_an_organization_is_added_listed_and_shown(self, olga, harbour):
        own = olga.one("/v1/organizations/", name=harbour)
        olga.send("PUT", own["url"], {"description": "Ships", "location": "Marseille", "homepage": "https://harbour.example/"})
        row = [harbour, "Ships", "TEAM", "Marseille", "https://harbour.example/"]
        assert olga.must("organization", "ls", "--name", harbour).rows == [row]
        shown = olga.must("organization", "show", harbour).text
        assert f"Name: {harbour} Description: Ships Visibility: TEAM Location: Marseille Homepage: https://harbour.example/" in shown
        assert f"Members (1) Username Role {olga.username} OWNER" in shown

    def test_a_public_one_is_seen_by_everyone_and_a_teams_own_by_its_members(self, olga, sten, harbour):
        public = new_name("port")
        assert f"Organization {public}" in olga.must("organization", "add", "--visibility", "PUBLIC", public).text
        assert [row[0] for row in sten.must("organization", "ls", "--name", public, "--visibility", "public").rows] == [public]
        assert sten.must("organization", "ls", "--name", public, "--visibility", "TEAM").rows == []
        assert "Organizations (0)" in sten.must("organization", "ls", "--name", harbour).text
        sten.ikcli("organization", "show", harbour).refused("Unable to find organization")
        sten.ikcli("organization", "show", public).refused("You have no role here", f"Ask the owner of '{public}'")

    def test_a_list_is_cut_where_asked_and_says_how_many_remain(self, olga, harbour):
        olga.must("organization", "add", new_name("other"))
        rows = olga.must("organization", "ls", "--limit", "1").rows
        assert len(rows) == 2
        assert "remaining" in rows[1][0]

    def test_a_name_that_is_taken_or_no_name_is_refused_in_words(self, olga, sten, harbour):
        sten.ikcli("organization", "add", harbour.upper()).refused("is taken", "Choose another name")
        sten.ikcli("organization", "add", olga.username).refused("is taken")
        olga.ikcli("organization", "add", "[bold]port").refused("1 to 60 letters, digits")
        assert olga.must("organization", "ls", "--name", "[bold]port").rows == []

    def test_it_is_deleted_after_a_yes_when_nothing_is_in_it(self, olga, harbour, cranes):
        assert "Aborted" in olga.must("organization", "delete", harbour, answers=NO).text
        olga.ikcli("organization", "delete", harbour, answers=YES).refused("still holds", f"'{harbour}/{cranes}'", "Delete them first")
        olga.must("namespace", "delete", cranes, answers=YES)
        assert "Organization deleted" in olga.must("organization", "delete", harbour, answers=YES).text
        assert olga.must("organization", "ls", "--name", harbour).rows == []
        assert olga.must("namespace", "ls", "--name", harbour).rows == []


class TestOrganizationMembers:
    def test_members_are_added_given_another_role_listed_and_removed(self, olga, carl, harbour, join):
        assert f"{carl.username} as MEMBER" in join("MEMBER").text
        command = ("organization", "member", "ls", harbour)
        assert olga.must(*command).rows == [[olga.username, "OWNER"], [carl.username, "MEMBER"]]
        assert f"{carl.username} as MANAGER" in join("manager").text
        assert olga.must(*command, "--role", "MANAGER").rows == [[carl.username, "MANAGER"]]
        assert olga.must(*command, "--role", "MEMBER").rows == []
        assert olga.must(*command, "--username", olga.username).rows == [[olga.username, "OWNER"]]
        assert f"{carl.username} MANAGER" in carl.must("organization", "show", harbour).text

        remove = ("organization", "member", "delete", harbour, carl.username)
        assert "Aborted" in olga.must(*remove, answers=NO).text
        assert "Member deleted" in olga.must(*remove, answers=YES).text
        assert olga.must(*command).rows == [[olga.username, "OWNER"]]
        assert carl.must("organization", "ls", "--name", harbour).rows == []

    def test_the_last_owner_stays_until_ownership_was_passed_on(self, olga, carl, harbour, join):
        leave = ("organization", "member", "delete", harbour, olga.username)
        olga.ikcli(*leave, answers=YES).refused("is the last owner", "Make somebody else an owner first")
        olga.ikcli("organization", "member", "add", harbour, olga.username, "MEMBER").refused("is the last owner")
        join("OWNER")
        assert "Member deleted" in olga.must(*leave, answers=YES).text
        assert carl.must("organization", "member", "ls", harbour).rows == [[carl.username, "OWNER"]]
        assert olga.must("organization", "ls", "--name", harbour).rows == []

    @pytest.mark.parametrize("role", ["PARTNER", "MANAGER"])
    def test_members_of_every_role_can_leave(self, carl, harbour, join, role):
        join(role)
        assert "Member deleted" in carl.must("organization", "member", "delete", harbour, carl.username, answers=YES).text
        assert carl.must("organization", "ls", "--name", harbour).rows == []

    def test_a_partner_sees_the_profile_and_themselves_alone(self, carl, harbour, join):
        join("PARTNER")
        assert carl.must("organization", "member", "ls", harbour).rows == [[carl.username, "PARTNER"]]
        assert "Members (1)" in carl.must("organization", "show", harbour).text
        assert carl.must("namespace", "ls", "--name", harbour).rows == []

    def test_only_owners_manage_members(self, olga, carl, sten, harbour, join):
        join("MANAGER")
        add = ("organization", "member", "add", harbour, sten.username, "MEMBER")
        carl.ikcli(*add).refused("You are MANAGER here", "takes one of: OWNER")
        carl.ikcli("organization", "member", "delete", harbour, olga.username, answers=YES).refused("takes one of: OWNER")
        carl.ikcli("organization", "delete", harbour, answers=YES).refused("You are MANAGER here")
        sten.ikcli(*add).refused("Organization that match", harbour)
        assert olga.must("organization", "member", "ls", harbour).rows == [[olga.username, "OWNER"], [carl.username, "MANAGER"]]

    def test_who_does_not_exist_is_told(self, olga, harbour):
        nobody = new_name("nobody")
        olga.ikcli("organization", "member", "add", harbour, nobody, "MEMBER").refused("User that match", nobody, "was not found")
        olga.ikcli("organization", "member", "delete", harbour, nobody, answers=YES).refused("Member that match", nobody)


class TestNamespaces:
    def test_namespaces_are_added_in_each_other_listed_and_shown(self, olga, harbour, cranes):
        deep = new_name("deep")
        assert f"Namespace {harbour}/{cranes}/{deep}" in "".join(
            olga.must("namespace", "add", cranes, deep, "--visibility", "PRIVATE").printed.splitlines()
        )
        assert olga.must("namespace", "ls", "--name", cranes).rows == [[cranes, f"{harbour}/{cranes}", "TEAM"]]
        assert olga.must("namespace", "ls", "--name", deep).rows == [[deep, f"{harbour}/{cranes}/{deep}", "PRIVATE"]]
        assert "remaining" in olga.must("namespace", "ls", "--limit", "2").rows[-1][0]
        shown = olga.must("namespace", "show", deep).text
        assert f"Path: {harbour}/{cranes}/{deep} Visibility: PRIVATE" in shown
        assert f"{olga.username} OWNER {harbour}" in shown

    def test_roots_are_shown_and_a_personal_one_has_no_members(self, olga, harbour):
        assert f"{olga.username} OWNER {harbour}" in olga.must("namespace", "show", harbour).text
        assert "Members" not in olga.must("namespace", "show", olga.username).text
        add = ("namespace", "member", "add", olga.username, olga.username, "MEMBER")
        olga.ikcli(*add).refused("A personal workspace has no members")

    def test_one_that_is_not_there_or_is_there_twice_is_told(self, olga, sten, harbour, cranes):
        sten.ikcli("namespace", "show", cranes).refused("Unable to find namespace")
        olga.must("namespace", "add", olga.username, cranes)
        olga.ikcli("namespace", "show", cranes).refused(f"Namespace {harbour}/{cranes}", f"Namespace {olga.username}/{cranes}")

    def test_names_that_are_taken_or_hold_markup_are_refused_in_words(self, olga, harbour, cranes):
        olga.ikcli("namespace", "add", harbour, cranes).refused("is taken")
        for name in ("[/bold]", "[red]x[/red]", "a/b"):
            olga.ikcli("namespace", "add", harbour, name).refused("1 to 100 letters, digits")
            assert olga.must("namespace", "ls", "--name", name).rows == []

    def test_one_is_deleted_after_a_yes_when_nothing_is_in_it(self, olga, harbour, cranes):
        project = new_name("quay")
        olga.must("project", "add", cranes, project)
        assert "Aborted" in olga.must("namespace", "delete", cranes, answers=NO).text
        olga.ikcli("namespace", "delete", cranes, answers=YES).refused("still holds", f"{cranes}/{project}'")
        olga.ikcli("namespace", "delete", harbour, answers=YES).refused("belongs to its organization")
        olga.must("project", "delete", project, answers=YES)
        assert "Namespace deleted" in olga.must("namespace", "delete", cranes, answers=YES).text
        assert olga.must("namespace", "ls", "--name", cranes).rows == []

    def test_members_may_look_and_managers_may_add(self, olga, carl, harbour, cranes, join):
        join("MEMBER")
        assert carl.must("namespace", "ls", "--name", cranes).rows == [[cranes, f"{harbour}/{cranes}", "TEAM"]]
        carl.ikcli("namespace", "add", cranes, "mine").refused("You are MEMBER here", "takes one of: MANAGER, OWNER")
        carl.ikcli("namespace", "delete", cranes, answers=YES).refused("You are MEMBER here")
        join("MANAGER")
        carl.must("namespace", "add", cranes, new_name("mine"))

    def test_a_role_is_raised_on_one_and_taken_back(self, olga, carl, harbour, cranes, join):
        join("MEMBER")
        command = ("namespace", "member", "ls", cranes)
        inherited, owner = [carl.username, "MEMBER", harbour], [olga.username, "OWNER", harbour]
        assert olga.must(*command).rows == [owner, inherited]
        add = ("namespace", "member", "add", cranes, carl.username)
        assert f"{carl.username} as MANAGER" in olga.must(*add, "MANAGER").text
        assert olga.must(*command, "--username", carl.username).rows == [[carl.username, "MANAGER", f"{harbour}/{cranes}"]]
        assert olga.must(*command, "--role", "OWNER").rows == [owner]
        olga.ikcli(*add, "PARTNER").refused(f"is MEMBER here through '{harbour}'", "can only be raised")
        remove = ("namespace", "member", "delete", cranes, carl.username)
        assert "Member deleted" in olga.must(*remove, answers=YES).text
        assert olga.must(*command).rows == [owner, inherited]
        olga.ikcli(*remove, answers=YES).refused(f"is MEMBER here through '{harbour}'", "Remove them there")


class TestProjectMembers:
    def test_a_partner_raised_on_one_project_sees_that_project_alone(self, olga, carl, harbour, quay, join):
        hidden = new_name("hidden")
        olga.must("project", "add", harbour, hidden)
        join("PARTNER")
        assert carl.must("project", "ls", "--name", quay).rows == []
        assert f"{carl.username} as MEMBER" in olga.must("project", "member", "add", quay, carl.username, "MEMBER").text
        names = [row[0] for row in carl.must("project", "ls").rows]
        assert quay in names
        assert hidden not in names
        carl.ikcli("project", "show", hidden).refused("Unable to find project")
        assert f"{carl.username} MEMBER {harbour}/{quay}" in carl.must("project", "show", quay).text
        carl.ikcli("project", "delete", quay, answers=YES).refused("You are MEMBER here")

    def test_members_are_listed_with_where_their_roles_come_from(self, olga, carl, harbour, quay, join):
        join("PARTNER")
        olga.must("project", "member", "add", quay, carl.username, "manager")
        owner, manager = [olga.username, "OWNER", harbour], [carl.username, "MANAGER", f"{harbour}/{quay}"]
        command = ("project", "member", "ls", quay)
        assert olga.must(*command, "--project_path", harbour).rows == [owner, manager]
        assert olga.must(*command, "--role", "MANAGER").rows == [manager]
        assert olga.must(*command, "--username", olga.username).rows == [owner]
        assert olga.must(*command, "--username", olga.username, "--role", "MEMBER").rows == []

    def test_a_role_is_changed_by_adding_again_and_taken_back(self, olga, carl, harbour, quay, join):
        join("PARTNER")
        add = ("project", "member", "add", "--project_path", harbour, quay, carl.username)
        for role in ("MEMBER", "OWNER", "MANAGER"):
            assert f"{carl.username} as {role}" in olga.must(*add, role).text
        assert carl.must("project", "member", "ls", quay, "--role", "MANAGER").rows == [[carl.username, "MANAGER", f"{harbour}/{quay}"]]
        remove = ("project", "member", "delete", "--project_path", harbour, quay, carl.username)
        assert "Aborted" in olga.must(*remove, answers=NO).text
        assert "Member deleted" in olga.must(*remove, answers=YES).text
        assert olga.must("project", "member", "ls", quay, "--username", carl.username).rows == [[carl.username, "PARTNER", harbour]]
        assert carl.must("project", "ls", "--name", quay).rows == []

    def test_who_was_raised_can_leave_the_project(self, olga, carl, quay, join):
        join("PARTNER")
        olga.must("project", "member", "add", quay, carl.username, "MEMBER")
        assert "Member deleted" in carl.must("project", "member", "delete", quay, carl.username, answers=YES).text
        assert carl.must("project", "ls", "--name", quay).rows == []

    def test_managers_do_not_add_members_and_owners_of_one_project_add_nobody_new(self, olga, carl, sten, quay, join):
        join("MANAGER")
        add = ("project", "member", "add", quay, sten.username, "MEMBER")
        carl.ikcli(*add).refused("You are MANAGER here", "takes one of: OWNER")
        olga.must("project", "member", "add", quay, carl.username, "OWNER")
        carl.ikcli(*add).refused(f"'{sten.username}' is not in", "add them as a partner first")
        assert sten.must("project", "ls", "--name", quay).rows == []

    def test_an_inherited_role_is_neither_lowered_nor_removed_on_a_project(self, olga, carl, harbour, quay, join):
        join("MEMBER")
        olga.ikcli("project", "member", "add", quay, carl.username, "PARTNER").refused(f"through '{harbour}'", "can only be raised")
        olga.ikcli("project", "member", "delete", quay, carl.username, answers=YES).refused(f"through '{harbour}'")
        assert olga.must("project", "member", "ls", quay, "--username", carl.username).rows == [[carl.username, "MEMBER", harbour]]

    def test_a_personal_project_has_its_owner_alone(self, olga, carl):
        name = new_name("own")
        olga.must("project", "add", olga.username, name)
        olga.ikcli("project", "member", "add", name, carl.username, "MEMBER").refused("A personal workspace has no members")
        assert olga.must("project", "member", "ls", name).rows == [[olga.username, "OWNER", olga.username]]

    def test_two_projects_of_one_name_are_told_apart_by_path(self, olga, harbour, quay):
        olga.must("project", "add", olga.username, quay)
        olga.ikcli("project", "member", "ls", quay).refused("Not unique Project")
        assert olga.must("project", "member", "ls", quay, "--project_path", harbour).rows == [[olga.username, "OWNER", harbour]]


class TestMarkup:
    def test_a_project_whose_description_holds_markup_breaks_nobodys_list(self, olga, carl, harbour, join):
        join("MEMBER")
        name = new_name("pier")
        olga.must("project", "add", "--description", "mind the [/red] gap", harbour, name)
        assert carl.must("project", "ls", "--name", name).rows[0][2].replace("\u2060", "") == "mind the [/red] gap"
        assert "gap" in carl.must("project", "show", name).text

    def test_a_profile_that_holds_markup_is_shown(self, olga, carl, harbour, join):
        join("MEMBER")
        own = olga.one("/v1/organizations/", name=harbour)
        olga.send("PUT", own["url"], {"description": "[/] closed [bold]", "location": "[/b]"})
        assert "closed" in carl.must("organization", "ls", "--name", harbour).text
        assert "closed" in carl.must("organization", "show", harbour).text

    def test_members_are_looked_up_by_names_that_hold_markup(self, olga, harbour):
        command = ("organization", "member", "ls", harbour)
        assert olga.must(*command, "--username", "[/bold]").rows == []
        olga.ikcli("organization", "member", "add", harbour, "[bold]", "MEMBER").refused("User that match")
