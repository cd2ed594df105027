"""The system call filter: a BPF program made by hand, so that no binding is needed.

It kills what speaks another architecture's or x32's calls, lets no socket be made but of an allowed family (a list of
what is allowed: a list of what is denied forgets AF_VSOCK), and refuses with EPERM what a training program never needs
and an attack does. io_uring is refused because it opens sockets past any filter; clone3 because its flags lie behind a
pointer (libraries fall back to clone), openat2 likewise.
"""

import ctypes
import errno
import struct

AF_UNIX = 1

# name: (x86-64, aarch64); None where an architecture has no such call
NUMBERS = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "shmget": (29, 194), "shmctl": (31, 195), "shmat": (30, 196), "shmdt": (67, 197),
    "semget": (64, 190), "semctl": (66, 191), "semtimedop": (220, 192), "semop": (65, 193),
    "msgget": (68, 186), "msgctl": (71, 187), "msgrcv": (70, 188), "msgsnd": (69, 189),
    "mq_open": (240, 180), "mq_unlink": (241, 181),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "create_module": (174, None), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "uselib": (134, None),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "syslog": (103, 116), "vhangup": (153, 58), "sethostname": (170, 161), "setdomainname": (171, 162),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "move_pages": (279, 239), "migrate_pages": (256, 238),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
}  # fmt: skip
CHECKED = {  # calls whose arguments decide
    "socket": (41, 198), "socketpair": (53, 199), "clone": (56, 220), "clone3": (435, 435), "openat2": (437, 437),
    "ioctl": (16, 29), "prlimit64": (302, 261), "setpriority": (141, 140), "chmod": (90, None), "fchmod": (91, 52),
    "fchmodat": (268, 53), "fchmodat2": (452, 452), "open": (2, None), "openat": (257, 56), "creat": (85, None),
    "mknod": (133, None), "mknodat": (259, 33),
}  # fmt: skip
MUTED = {  # change a file's owner, mode, times: where the job has the grader's uid, and nothing else guards its files
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
}  # fmt: skip
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the tables, AUDIT_ARCH

NEW_NAMESPACES = 0x7E020000  # CLONE_NEW* of clone's flags
SET_ID = 0o6000
CREATES = 0o100 | 0x400000  # O_CREAT, the bit of O_TMPFILE: else open's mode is whatever lies in the register
TIOCSTI, TIOCLINUX = 0x5412, 0x541C

LOAD, EQUAL, GREATER, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
PERMISSION, NO_SUCH_CALL = ERROR | errno.EPERM, ERROR | errno.ENOSYS


def supported(machine: str) -> bool:
    """Whether the tables know this machine (`platform.machine()`)."""
    return machine in ARCHITECTURES


def pack(code: list[tuple[int, int, int, int]]) -> bytes:
    """Instructions (code, jump if true, jump if false, operand) as the kernel reads them."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def program(machine: str, families: tuple[int, ...] = (), mute: bool = False) -> bytes:
    """The filter as an array of `struct sock_filter`.

    Args:
        machine: x86_64 or aarch64.
        families: address families that `socket` may have.
        mute: let MUTED calls do nothing and report success.
    """
    column, architecture = ARCHITECTURES[machine]
    code: list[tuple[int, int, int, int]] = []

    def add(*instructions: tuple[int, int, int, int]) -> None:
        code.extend(instructions)

    def argument(number: int) -> tuple[int, int, int, int]:
        return LOAD, 0, 0, 16 + 8 * number  # the low half: the kernel takes these arguments as 32-bit numbers

    def call(name: str, *body: tuple[int, int, int, int]) -> None:
        number = CHECKED[name][column]
        if number is not None:
            add((EQUAL, 0, len(body), number), *body)  # body ends in a return

    def refuse_bits(name: str, position: int, bits: int) -> None:
        call(name, argument(position), (ANY_BIT, 0, 1, bits), (RETURN, 0, 0, PERMISSION), (RETURN, 0, 0, ALLOW))

    add((LOAD, 0, 0, 4), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0))
    if machine == "x86_64":
        add((GREATER, 0, 1, 0x40000000), (RETURN, 0, 0, KILL))  # x32
    if mute:
        for numbers in MUTED.values():
            if numbers[column] is not None:
                add((EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, ERROR))
    for numbers in NUMBERS.values():
        if numbers[column] is not None:
            add((EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, PERMISSION))
    call("clone3", (RETURN, 0, 0, NO_SUCH_CALL))
    call("openat2", (RETURN, 0, 0, NO_SUCH_CALL))
    for name, allowed in (("socket", families), ("socketpair", (AF_UNIX,))):
        tests = [step for family in allowed for step in ((EQUAL, 0, 1, family), (RETURN, 0, 0, ALLOW))]
        call(name, argument(0), *tests, (RETURN, 0, 0, PERMISSION))
    refuse_bits("clone", 0, NEW_NAMESPACES)
    terminal = [
        step for request in (TIOCSTI, TIOCLINUX) for step in ((EQUAL, 0, 1, request), (RETURN, 0, 0, PERMISSION))
    ]
    call("ioctl", argument(1), *terminal, (RETURN, 0, 0, ALLOW))
    own = ((EQUAL, 1, 0, 0), (RETURN, 0, 0, PERMISSION), (RETURN, 0, 0, ALLOW))
    call("prlimit64", argument(0), *own)  # the limits of others: of the grader, where the uid is the same
    call("setpriority", argument(1), *own)
    for name, position in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("creat", 1)):
        refuse_bits(name, position, SET_ID)
    refuse_bits("mknod", 1, SET_ID)
    refuse_bits("mknodat", 2, SET_ID)
    for name, position in (("open", 1), ("openat", 2)):
        call(
            name,
            argument(position),
            (ANY_BIT, 0, 3, CREATES),
            argument(position + 1),
            (ANY_BIT, 0, 1, SET_ID),
            (RETURN, 0, 0, PERMISSION),
            (RETURN, 0, 0, ALLOW),
        )
    add((RETURN, 0, 0, ALLOW))
    return pack(code)


def install(filter: bytes) -> None:
    """Put the filter on this process and all that it starts; there is no way back."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    buffer = ctypes.create_string_buffer(filter, len(filter))
    described = Program(len(filter) // 8, ctypes.addressof(buffer))
    no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(
        set_seccomp, mode_filter, ctypes.addressof(described), 0, 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {errno.errorcode.get(number, number)}")
