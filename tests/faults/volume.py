"""A node's disk: an ext4 file system in a sparse file, whose power can be cut and which can be filled.

The file has no name: it is unlinked as soon as it is open, and the loop device lets go of it when the file system
is unmounted. So nothing of it is left behind, however the run ends: its mounts are in a mount namespace that dies
with the run.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

# From linux/loop.h; LO_FLAGS_AUTOCLEAR detaches a device when its last user is gone.
LOOP_CTL_GET_FREE = 0x4C82
LOOP_SET_FD = 0x4C00
LOOP_SET_STATUS64 = 0x4C04
LO_FLAGS_AUTOCLEAR = 4
STATUS64_BYTES, STATUS64_FLAGS_AT = 232, 52

# From linux/ext4.h: _IOR('X', 125, __u32), and what becomes of the journal's commit that is under way.
EXT4_IOC_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
LOG_FLUSH, NO_LOG_FLUSH = 1, 2

UNMOUNT_SECONDS_MAX = 10
BYTES = 2 << 30


def run(*words):
    """Runs a tool of the system; what it said is shown if it failed."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, words))} failed: {done.stdout}{done.stderr}".strip())
    return done.stdout


class Volume:
    """One file system, mounted at `place`."""

    def __init__(self, place, bytes_max=BYTES):
        self.place = Path(place)
        self.place.mkdir(parents=True)
        self.image = tempfile.TemporaryFile(dir=self.place.parent)
        self.image.truncate(bytes_max)
        # Everything it needs is written now: no thread of the kernel writes later on.
        options = ["-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
        self.through_loop(lambda device: run("mkfs.ext4", *options, device))
        self.mount()

    @property
    def data(self):
        """The data directory of the node."""
        return self.place / "data"

    def mount(self):
        self.through_loop(lambda device: run("mount", "-t", "ext4", device, self.place))

    def through_loop(self, use):
        """Attaches the image to a free loop device, which is detached by itself after its last use."""
        with open("/dev/loop-control", "rb") as control:
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        device = f"/dev/loop{number}"
        if not os.path.exists(device):
            os.mknod(device, 0o600 | 0o060000, os.makedev(7, number))
        with open(device, "r+b", buffering=0) as loop:
            fcntl.ioctl(loop, LOOP_SET_FD, self.image.fileno())
            status = bytearray(STATUS64_BYTES)
            struct.pack_into("=I", status, STATUS64_FLAGS_AT, LO_FLAGS_AUTOCLEAR)
            fcntl.ioctl(loop, LOOP_SET_STATUS64, bytes(status))
            use(device)

    def unmount(self):
        deadline = time.monotonic() + UNMOUNT_SECONDS_MAX
        while True:
            try:
                run("umount", self.place)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def lose_power(self, flag=NO_LOG_FLUSH):
        """From now on nothing reaches the medium, and everything that is read or written fails."""
        directory = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("=I", flag))
        finally:
            os.close(directory)

    def return_power(self):
        """Mounts what the medium holds; what was in memory alone is gone. Nobody may use the volume meanwhile."""
        self.unmount()
        self.mount()

    def fill(self):
        """Takes all free space, so that not even a block is left."""
        with open(self.place / "ballast", "ab") as ballast:
            step = 1 << 30
            while step >= 4096:
                try:
                    os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, step)
                except OSError:
                    step //= 2

    def free(self):
        """Gives the space back."""
        (self.place / "ballast").unlink()

    def wipe(self):
        """A new disk: nothing of the node is left."""
        shutil.rmtree(self.data)

    def bytes_free(self):
        status = os.statvfs(self.place)
        return status.f_bavail * status.f_frsize
