"""Whether two trees, or two files, are the same."""

import os
import stat


def same_file(a, b):
    if os.path.getsize(a) != os.path.getsize(b):
        return False
    with open(a, "rb") as left, open(b, "rb") as right:
        while chunk := left.read(1 << 20):
            if chunk != right.read(1 << 20):
                return False
    return True


def names(root):
    found = {b"."}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            found.add(os.path.relpath(os.path.join(folder, name), os.fsencode(root)))
    return found


def differences(a, b, ignore=()):
    """What differs between two trees: names, types, modes, times, contents, links. `ignore` holds names of files."""
    a, b = os.fsencode(a), os.fsencode(b)
    mine, theirs = names(a) - set(ignore), names(b) - set(ignore)
    found = [f"only in one: {name}" for name in mine ^ theirs]
    inodes = {}
    for name in sorted(mine & theirs):
        left, right = os.path.join(a, name), os.path.join(b, name)
        p, q = os.lstat(left), os.lstat(right)
        if p.st_mode != q.st_mode:
            found.append(f"mode of {name}: {p.st_mode:o}, {q.st_mode:o}")
        if p.st_mtime_ns != q.st_mtime_ns:
            found.append(f"time of {name}: {p.st_mtime_ns}, {q.st_mtime_ns}")
        if stat.S_ISLNK(p.st_mode):
            if os.readlink(left) != os.readlink(right):
                found.append(f"target of {name}")
            continue
        if sorted(os.listxattr(left)) != sorted(os.listxattr(right)):
            found.append(f"extended attributes of {name}")
        if stat.S_ISREG(p.st_mode):
            if not same_file(left, right):
                found.append(f"content of {name}")
            # Names of one file here are names of one file there.
            if inodes.setdefault(p.st_ino, q.st_ino) != q.st_ino:
                found.append(f"hard links of {name}")
    return found
