"""Which files of a data directory belong into a backup, and their copies.

Everything does that is not named here as made anew at each start: what a later version adds is not forgotten.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from signal_admin.backup.outbox_copy import copy_database
from signal_admin.backup.private_files import created
from signal_admin.desk import Desk
from signal_admin.settings import kept_settings
from signal_contract.errors import StorageFailed

SCRATCH_PREFIX = ".backup-"
# Of the running server, or rendered and listed anew by `catalyst up`. The streams come as snapshots: what the nodes of
# a cluster hold must not come as well, in pieces and of three moments. Without its mark it is a single server's place.
_NOT_TAKEN = re.compile(
    r"(jetstream|jetstream-before-cluster|carrying-[^/]*|jwt|ports|cluster/n\d+)/.*|cluster/cluster\.json|server\.(json|conf|stderr|log.*)|nats-server\.pid|lock|(stream|health)\.json"
)
_DRAFT = re.compile(r"\..*\.new|.*\.lock|\.backup-.*|.*\.sqlite-(wal|shm|journal)")
_PUBLISHER = "publisher/"
_DATABASE = ".sqlite"


def is_taken(path: str) -> bool:
    """Whether a file (relative, `/` between folders) belongs into a backup."""
    return not _NOT_TAKEN.fullmatch(path) and not any(_DRAFT.fullmatch(part) for part in path.split("/"))


def listed(root: Path) -> tuple[str, ...]:
    """All files to be taken: first what waits at the publisher, then its outbox, then the rest.

    A signal on its way from one to the other is then in both copies or in the later one, never in none.
    """
    found = (each.relative_to(root).as_posix() for each in _walked(root))
    return tuple(sorted((each for each in found if is_taken(each)), key=_order))


def _walked(root: Path) -> Iterator[Path]:
    for path in root.iterdir():
        if path.is_symlink():
            continue  # told by `outside_of`
        if path.is_dir():
            if not path.name.startswith(SCRATCH_PREFIX):
                yield from _walked(path)
        elif path.is_file():
            yield path


def _order(path: str) -> tuple[int, str]:
    if not path.startswith(_PUBLISHER):
        return 2, path
    return int(path.endswith(_DATABASE)), path


def is_before_streams(path: str) -> bool:
    """Whether it is copied before the snapshots: what the outbox calls confirmed is then in the stream for certain."""
    return path.startswith(_PUBLISHER)


def copied(root: Path, paths: Iterable[str], target: Path) -> tuple[str, ...]:
    """Copy these files below `target`, each whole; those that were there. Raises StorageFailed."""
    return tuple(path for path in paths if _copied(root / path, target / path))


def _copied(source: Path, target: Path) -> bool:
    if source.name.endswith(_DATABASE):
        copy_database(source, target)
        return True
    try:
        with source.open("rb") as file, created(target) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return False  # approved, sent or removed a moment ago
    except OSError as error:
        raise StorageFailed(f"{source} cannot be copied: {error.strerror or error}") from error
    return True


def outside_of(desk: Desk) -> tuple[str, ...]:
    """What the wire needs and no backup holds: own certificates elsewhere, a store key from the environment, links."""
    settings = kept_settings(desk)
    files = (each for each in (settings.cert, settings.key, settings.ca) if each is not None)
    found = [str(each) for each in files if not each.absolute().is_relative_to(desk.root)]
    if desk.store_check.exists() and not desk.store_key.exists():
        found.append("CATALYST_STORE_KEY (the key of the encrypted store)")
    return (*found, *(str(each) for each in sorted(desk.root.rglob("*")) if each.is_symlink()))
