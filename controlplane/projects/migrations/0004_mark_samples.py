"""Mark what sign-ups brought so far, in batches; it can be run again.

Workflows whose first version is one of the shared example archives, and the projects that they were put in: those named Getting_started at the
root of a person's workspace.
"""

from django.db import migrations

BATCH = 1000
EXAMPLES = "examples/"


def mark_samples(apps, schema_editor):
    """Mark workflows, then their projects."""
    workflows = apps.get_model("projects", "Workflow").objects
    projects = apps.get_model("projects", "Project").objects
    found = workflows.filter(versions__number=1, versions__archive_key__startswith=EXAMPLES)
    mark(workflows, found)
    given = projects.filter(name="Getting_started", namespace__parent=None, namespace__owner__isnull=False)
    mark(projects, given.filter(workflows__sample=True).distinct())


def mark(rows, found):
    """Mark those of the rows that are found and not marked yet."""
    while batch := list(found.filter(sample=False).values_list("pk", flat=True)[:BATCH]):
        rows.filter(pk__in=batch).update(sample=True)


def keep(apps, schema_editor):
    """Leave the marks."""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("projects", "0003_samples"),
        ("workspaces", "__first__"),
    ]

    operations = [migrations.RunPython(mark_samples, keep)]
