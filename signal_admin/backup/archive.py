"""The one file: a gzipped tar, its manifest first; under a passphrase an age file inside a tar, beside its key.

age files have one passphrase for content that fits in memory, or any size for a key. So the content is sealed for a
key of its own, and the key under the passphrase. By hand: `tar xf F; age -d key.age > k; age -d -i k content.age`.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from signal_admin.backup.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, manifest_bytes, manifest_from
from signal_admin.backup.private_files import created, digest_of
from signal_contract.errors import Conflict, InputError, NotFound, StorageFailed
from signal_contract.sealed import sealed, unsealed

_KEY, _CONTENT = "key.age", "content.age"
_MAX_KEY_BYTES = 64 * 1024
_GZIP_LEVEL = 3
_BLOCK = 512
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
_ANOTHER = "Use another copy of it."


def pack(target: Path, manifest: Manifest, root: Path, passphrase: str | None) -> None:
    """Write the backup of the files below `root`, 0600, never over another file; it has its name once it is whole.

    Raises Conflict, StorageFailed, InputError (weak passphrase).
    """
    if target.exists():
        raise Conflict(f"{target} exists already; a backup is never written over another", hint="Choose another name.")
    draft = target.with_name(f".{target.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        with created(draft) as file:
            if passphrase is None:
                _write_content(file, manifest, root)
            else:
                _write_sealed(file, manifest, root, passphrase)
        _named(draft, target)
    except FileExistsError as error:
        raise Conflict(f"{target} exists already", hint="Choose another name.") from error
    except OSError as error:
        raise StorageFailed(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _named(draft: Path, target: Path) -> None:
    try:
        os.link(draft, target)  # unlike a rename it fails where somebody was faster
    except FileExistsError:
        raise
    except OSError:  # a stick without hard links
        if target.exists():
            raise FileExistsError(target) from None
        draft.rename(target)


def _write_content(file: IO[bytes], manifest: Manifest, root: Path) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add_bytes(tar, MANIFEST_NAME, manifest_bytes(manifest))
        for part in manifest.parts:
            info = tarfile.TarInfo(part.path)
            info.size, info.mode = part.bytes, 0o600
            with (root / part.path).open("rb") as content:
                tar.addfile(info, content)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    tar.addfile(info, io.BytesIO(content))


def _write_sealed(file: IO[bytes], manifest: Manifest, root: Path, passphrase: str) -> None:
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add_bytes(tar, _KEY, sealed(f"{identity}\n".encode(), passphrase).encode())
    # The content's size is known when it is written: its head follows then. The end of the first tar is overwritten.
    head_at = _end_of_members(file)
    file.seek(head_at + _BLOCK)
    with _produced(lambda pipe: _write_content(pipe, manifest, root)) as content:
        pyrage.encrypt_io(content, file, [identity.to_public()])
    file.seek(0, os.SEEK_END)
    info = tarfile.TarInfo(_CONTENT)
    info.size, info.mode = file.tell() - head_at - _BLOCK, 0o600
    file.write(bytes(-info.size % _BLOCK + 2 * _BLOCK))
    file.seek(head_at)
    file.write(info.tobuf(tarfile.GNU_FORMAT))


def _end_of_members(file: IO[bytes]) -> int:
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        (key,) = tar.getmembers()
        end = key.offset_data + -(-key.size // _BLOCK) * _BLOCK
    file.truncate(end)
    return end


@contextmanager
def _produced(write: Callable[[IO[bytes]], None]) -> Iterator[IO[bytes]]:
    """What `write` writes, to be read while it writes: both age and tar want to be the one who drives."""
    reading, writing = os.pipe()

    def produce() -> None:
        # Should the reader give up, he says why; the broken pipe is no news.
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            write(pipe)

    with ThreadPoolExecutor(1, "backup-content") as pool:
        with os.fdopen(reading, "rb") as pipe:
            produced = pool.submit(produce)
            try:
                yield pipe
            except _DAMAGE:
                # What the writer stumbled over is the reason for what the reader missed.
                while pipe.read(1 << 20):
                    pass
                produced.result()
                raise
            # What is left is the end of a tar, and must be sound too.
            while pipe.read(1 << 20):
                pass
        produced.result()


# Reading --------------------------------------------------------------------------------------------------------


def is_sealed_backup(path: Path) -> bool:
    """Whether it needs a passphrase; raises NotFound, InputError for a file that is no backup."""
    try:
        with path.open("rb") as file:
            head = file.read(_BLOCK)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror or error}") from error
    if head.startswith(b"\x1f\x8b"):
        return False
    if head.startswith(_KEY.encode() + b"\0"):
        return True
    raise InputError(f"{path} is not a backup of catalyst")


def unpack(path: Path, target: Path, passphrase: str | None, on_manifest: Callable[[Manifest], None]) -> Manifest:
    """Put every file of a backup below `target` (a new private folder), each compared with the manifest's SHA-256.

    `on_manifest` may refuse before anything else is read. Raises InputError, CredsInvalid (passphrase), StorageFailed.
    """
    try:
        with path.open("rb") as file:
            if passphrase is None:
                return _unpacked(file, target, on_manifest)
            with _opened_content(file, passphrase) as content:
                return _unpacked(content, target, on_manifest)
    except (*_DAMAGE, ValueError) as error:
        what = str(error) or "it ends too early"
        raise StorageFailed(f"the backup {path} is damaged: {what}", hint=_ANOTHER) from error
    except OSError as error:
        raise StorageFailed(f"{path} cannot be read: {error.strerror or error}", hint=_ANOTHER) from error


@contextmanager
def _opened_content(file: IO[bytes], passphrase: str) -> Iterator[IO[bytes]]:
    import pyrage

    with tarfile.open(fileobj=file, mode="r:") as tar:
        key, content = tar.extractfile(_KEY), tar.extractfile(_CONTENT)
        if key is None or content is None:
            raise tarfile.TarError("a part is missing")
        armoured = key.read(_MAX_KEY_BYTES)
        identity = pyrage.x25519.Identity.from_str(unsealed(armoured, passphrase).decode().strip())

        def decrypt(pipe: IO[bytes]) -> None:
            try:
                pyrage.decrypt_io(content, pipe, [identity])
            except pyrage.DecryptError as error:
                raise ValueError("its encrypted content was changed or cut off") from error

        with _produced(decrypt) as plain:
            yield plain


def _unpacked(file: IO[bytes], target: Path, on_manifest: Callable[[Manifest], None]) -> Manifest:
    with gzip.GzipFile(fileobj=file, mode="rb") as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
        members = iter(tar)
        manifest = _manifest_of(tar, next(members, None))
        on_manifest(manifest)
        for part in manifest.parts:
            info = next(members, None)
            if info is None or not info.isreg() or info.name != part.path or info.size != part.bytes:
                raise tarfile.TarError(f"{part.path} is not where it belongs")
            _write_part(tar, info, target / part.path)
            if digest_of(target / part.path) != part.sha256:
                raise tarfile.TarError(f"{part.path} is not what was written")
        if next(members, None) is not None:
            raise tarfile.TarError("it holds more than its manifest says")
        while packed.read(1 << 20):  # to gzip's own check at the end
            pass
    return manifest


def _manifest_of(tar: tarfile.TarFile, info: tarfile.TarInfo | None) -> Manifest:
    if info is None or info.name != MANIFEST_NAME or not info.isreg() or info.size > MAX_MANIFEST_BYTES:
        raise tarfile.TarError("it does not begin with a manifest")
    content = tar.extractfile(info)
    return manifest_from(content.read() if content is not None else b"")


def _write_part(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(info)
    with created(path) as copy:
        left = info.size
        while content is not None and left > 0:
            block = content.read(min(left, 1 << 20))
            if not block:
                raise EOFError
            copy.write(block)
            left -= len(block)
