"""A file system whose power can be cut: ext4 on a loop device whose file is cloned (reflink) while it is in use.

The clone holds what had reached the block device at that moment and nothing of what only the page cache of the ext4 had:
what a power cut leaves. Its journal is replayed when it is mounted. The backing files live on an XFS (or btrfs, which
can clone as well) that is itself a file.

Mounts and loop devices belong to the mount namespace of the process (`tests/system/run` starts it in one of its own with
`unshare`), so the kernel removes them when the last process of the test is gone, however it ended.
"""

import fcntl
import os
import shutil
import struct
import subprocess

FICLONE = 0x40049409
EXT4_SHUTDOWN, WITHOUT_FLUSH = 0x8004587D, 2
POOL_BYTES = 24 << 30   # sparse
DISK_BYTES = 1 << 30    # sparse


class CannotMount(Exception):
    """What this machine lacks."""


def command(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise CannotMount(f"`{' '.join(words)}` failed: {done.stdout.strip()}")


def sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)


class Pool:
    """A file system that can clone files, in a file."""

    def __init__(self, work):
        self.work, self.directory = work, os.path.join(work, "pool")
        os.mkdir(self.directory)
        self.image = image = os.path.join(work, "pool.img")
        reasons = []
        for kind, make in [("xfs", ["mkfs.xfs", "-q", "-f", "-m", "reflink=1"]), ("btrfs", ["mkfs.btrfs", "-q", "-f"])]:
            try:
                if shutil.which(make[0]) is None:
                    raise CannotMount(f"{make[0]} is missing")
                sparse(image, POOL_BYTES)
                command(*make, image)
                command("mount", "-t", kind, "-o", "loop", image, self.directory)
                self.kind = kind
                return
            except CannotMount as error:
                reasons.append(str(error))
        raise CannotMount("; ".join(reasons))

    def disk(self, name):
        """A new, mounted ext4."""
        image = os.path.join(self.directory, f"{name}.img")
        sparse(image, DISK_BYTES)
        command("mkfs.ext4", "-q", "-F", image)
        return Disk(self, name, image).mount()

    def close(self):
        """Whatever of the pool is still mounted is unmounted, the pool last."""
        with open("/proc/self/mounts") as mounts:
            mounted = [line.split()[1] for line in mounts if line.split()[1].startswith(self.work + "/")]
        for directory in reversed(mounted):
            subprocess.run(["umount", "-l", directory], check=False)
        os.unlink(self.image)


class Disk:
    """One ext4 image and where it is mounted."""

    def __init__(self, pool, name, image):
        self.pool, self.image, self.directory = pool, image, os.path.join(pool.work, name)

    def mount(self):
        os.makedirs(self.directory, exist_ok=True)
        command("mount", "-t", "ext4", "-o", "loop", self.image, self.directory)
        return self

    def cut(self, name):
        """What a power cut at this moment leaves: another image, not mounted."""
        image = os.path.join(self.pool.directory, f"{name}.img")
        with open(self.image, "rb") as source, open(image, "wb") as target:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        return Disk(self.pool, name, image)

    def unmount(self):
        command("umount", self.directory)

    def remove(self):
        """What its page cache still holds is dropped, not written."""
        handle = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        finally:
            os.close(handle)
        self.unmount()
        os.unlink(self.image)

    def sync(self):
        """Everything onto the device, as the positive control wants it before it begins."""
        command("sync", "-f", self.directory)
