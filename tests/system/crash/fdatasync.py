"""Runs a program with another fdatasync: one that does nothing, or one that asks the test first.

    fdatasync.py no-op <command...>         answers success and does nothing: the mutant that the power-cut test must catch
    fdatasync.py ask <socket> <command...>  asks whoever gets the listener over the socket: see `Valve`

The kernel itself does this (seccomp), so the binary is the same, byte for byte, and no switch for it exists there.
Nothing else is touched: fsync (of directories) works as ever.
"""

import array
import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import sys
import threading

# The system calls' numbers: (fdatasync, seccomp), and the machine's number in an audit.
MACHINES = {"x86_64": (75, 317, 0xC000003E), "aarch64": (83, 277, 0xC00000B7)}
PR_SET_NO_NEW_PRIVS, SET_MODE_FILTER, NEW_LISTENER = 38, 1, 8
ALLOW, ANSWER_ZERO, ASK = 0x7FFF0000, 0x00050000, 0x7FC00000
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
OFFSET_NUMBER, OFFSET_ARCH = 0, 4
NOTIF_RECV, NOTIF_SEND, NOTIF_BYTES, CONTINUE = 0xC0502100, 0xC0182101, 80, 1
LIBC = ctypes.CDLL(None, use_errno=True)


def statement(code, value, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, value)


def install(action, flags=0):
    """Filters this process and what it becomes; gives what the system call gives."""
    if platform.machine() not in MACHINES:
        raise SystemExit(f"the system calls of {platform.machine()} are not known here: add them to {__file__}")
    fdatasync, seccomp, arch = MACHINES[platform.machine()]
    program = b"".join([
        statement(LOAD, OFFSET_ARCH),
        statement(JUMP_IF_EQUAL, arch, 0, 3),
        statement(LOAD, OFFSET_NUMBER),
        statement(JUMP_IF_EQUAL, fdatasync, 0, 1),
        statement(RETURN, action),
        statement(RETURN, ALLOW),
    ])
    buffer = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    given = Program(len(program) // 8, ctypes.addressof(buffer))
    answer = LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    answer = answer or LIBC.syscall(seccomp, SET_MODE_FILTER, flags, ctypes.byref(given))
    if answer < 0:
        raise SystemExit(f"seccomp: {os.strerror(ctypes.get_errno())}")
    return answer


class Valve:
    """Lets a program's fdatasync through, or holds every one of them until it is opened again or the program killed."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.theirs.set_inheritable(True)
        self.lock, self.is_shut, self.held, self.listener = threading.Lock(), False, [], None

    def attach(self):
        """Takes the listener from the program, which was started, and lets through what it asks for."""
        self.theirs.close()
        _, fds, _, _ = socket.recv_fds(self.ours, 1, 1)
        self.ours.close()
        self.listener = fds[0]
        threading.Thread(target=self._serve, daemon=True).start()

    def shut(self):
        with self.lock:
            self.is_shut = True

    def open(self):
        with self.lock:
            self.is_shut = False
            held, self.held = self.held, []
            for question in held:
                self._let_through(question)

    def _let_through(self, question):
        try:
            fcntl.ioctl(self.listener, NOTIF_SEND, struct.pack("=QqiI", question, 0, 0, CONTINUE))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBADF):  # the thread that asked is gone, or the program
                raise

    def _serve(self):
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        while not poll.poll()[0][1] & select.POLLHUP:
            asked = array.array("b", bytes(NOTIF_BYTES))
            try:
                fcntl.ioctl(self.listener, NOTIF_RECV, asked, True)
            except FileNotFoundError:
                continue
            question = struct.unpack_from("=Q", asked)[0]
            with self.lock:
                if self.is_shut:
                    self.held.append(question)
                else:
                    self._let_through(question)
        with self.lock:
            os.close(self.listener)
            self.held, self.listener = [], -1


def main():
    if sys.argv[1] == "no-op":
        install(ANSWER_ZERO)
        os.execvp(sys.argv[2], sys.argv[2:])
    with socket.socket(fileno=int(sys.argv[2])) as asked:
        socket.send_fds(asked, [b"l"], [install(ASK, NEW_LISTENER)])
    os.execvp(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
