"""Runs a program whose fdatasync does nothing and answers success: the mutant that the power-cut test must catch.

The kernel itself answers in the place of the system call (seccomp), so the binary is the same, byte for byte, and no
switch for this exists in it. Children inherit it, nothing else is touched: fsync (of directories) still works.
"""

import ctypes
import os
import platform
import struct
import sys

FDATASYNC = {"x86_64": 75, "aarch64": 83}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
ALLOW, ANSWER_ZERO = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with errno 0
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
OFFSET_NUMBER, OFFSET_ARCH = 0, 4


def statement(code, value, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, value)


def install():
    machine = platform.machine()
    if machine not in FDATASYNC:
        raise SystemExit(f"the number of fdatasync on {machine} is not known here: add it to {__file__}")
    program = b"".join([
        statement(LOAD, OFFSET_ARCH),
        statement(JUMP_IF_EQUAL, AUDIT_ARCH[machine], 0, 3),
        statement(LOAD, OFFSET_NUMBER),
        statement(JUMP_IF_EQUAL, FDATASYNC[machine], 0, 1),
        statement(RETURN, ANSWER_ZERO),
        statement(RETURN, ALLOW),
    ])
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    given = Program(len(program) // 8, ctypes.addressof(buffer))
    for call in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(given), 0, 0)]:
        if libc.prctl(*call):
            raise SystemExit(f"seccomp: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    install()
    os.execvp(sys.argv[1], sys.argv[1:])
