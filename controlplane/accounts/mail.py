"""Mail without a mail server: each message becomes one file, which the operator reads at /operator/mails/."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage as ParsedMessage
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from controlplane.common.ids import uuid7, uuid7_milliseconds

logger = logging.getLogger(__name__)

KEPT = 500
SHOWN_CHARACTERS = 200_000
UNREADABLE = "(this mail cannot be read)"


def mail_folder() -> Path:
    """Return where mails are kept."""
    return Path(settings.DATA_DIR) / "mail"


class FileBackend(BaseEmailBackend):
    """Django's mail backend: `<DATA_DIR>/mail/<UUIDv7>.eml`, mode 0600, the newest KEPT of them."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Write all; returns how many. Raises `OSError` when the folder cannot be written, unless told to fail silently."""
        folder = mail_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for message in email_messages:
                write_whole(folder / f"{uuid7()}.eml", message.message().as_bytes())
        except OSError:
            if not self.fail_silently:
                raise
            logger.exception("a mail could not be written below %s", folder)
            return 0
        drop_oldest(folder)
        return len(email_messages)


def write_whole(path: Path, content: bytes) -> None:
    """Write a private file that is there as a whole or not at all."""
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def drop_oldest(folder: Path) -> None:
    """Keep the newest KEPT mails: names sort by age. Two processes may do this at once."""
    for path in sorted(folder.glob("*.eml"))[:-KEPT]:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class StoredMail:
    """A kept mail: its id, when it was written, and what stands in it; `readable` False when its file cannot be understood."""

    id: UUID
    at: datetime
    sender: str
    recipient: str
    subject: str
    text: str
    readable: bool = True


def stored_mails() -> Iterator[StoredMail]:
    """Return the kept mails, newest first."""
    for path in sorted(mail_folder().glob("*.eml"), reverse=True):
        try:
            yield read_mail(UUID(path.stem))
        except (ValueError, FileNotFoundError):  # not ours, or dropped a moment ago
            continue


def read_mail(mail_id: UUID) -> StoredMail:
    """Return one mail, without content when it cannot be read. Raises `FileNotFoundError`, and `ValueError` for an id that names no time."""
    at = datetime.fromtimestamp(uuid7_milliseconds(mail_id) / 1000, UTC)
    path = mail_folder() / f"{mail_id}.eml"
    try:
        return parsed_mail(mail_id, at, path.read_bytes())
    except FileNotFoundError:
        raise
    except Exception as error:  # Python's parser of headers raises what it likes: IndexError, HeaderParseError, ValueError, ...
        logger.warning("%s cannot be read: %r", path, error)
        return StoredMail(mail_id, at, sender="", recipient="", subject=UNREADABLE, text="", readable=False)


def parsed_mail(mail_id: UUID, at: datetime, content: bytes) -> StoredMail:
    """Return what stands in a mail."""
    parsed = message_from_bytes(content, _class=ParsedMessage, policy=policy.default)
    return StoredMail(
        id=mail_id,
        at=at,
        sender=str(parsed.get("From", "")),
        recipient=str(parsed.get("To", "")),
        subject=str(parsed.get("Subject", "")),
        text=text_of(parsed)[:SHOWN_CHARACTERS],
    )


def text_of(parsed: ParsedMessage) -> str:
    """Return the plain text of a mail, or the source of its HTML when it has nothing else."""
    part = parsed.get_body(preferencelist=("plain", "html"))
    try:
        return str(part.get_content()) if part is not None else ""
    except (KeyError, LookupError, ValueError):  # an encoding or a kind of content that Python does not know
        return ""
