#!/usr/bin/env python3
"""Prints the manifest of a .deb. A second implementation, written from specs/deb.md and specs/manifest.md.

It shares no code and no archive reader with the crate: Python's tarfile, gzip and lzma, and hashlib. It is
lenient where the crate refuses; only accepted packages are compared.
"""
import gzip
import hashlib
import io
import lzma
import os
import re
import subprocess
import sys
import tarfile

USERS = dict(enumerate("root daemon bin sys sync games man lp mail news uucp".split()))
USERS.update({13: "proxy", 33: "www-data", 34: "backup", 38: "list", 39: "irc", 42: "_apt"})
GROUPS = dict(enumerate("root daemon bin sys adm tty disk lp mail news uucp".split()))
GROUPS.update({12: "man", 13: "proxy", 15: "kmem", 20: "dialout", 21: "fax", 22: "voice", 24: "cdrom", 25: "floppy",
               26: "tape", 27: "sudo", 29: "audio", 30: "dip", 33: "www-data", 34: "backup", 37: "operator", 38: "list",
               39: "irc", 40: "src", 42: "shadow", 43: "utmp", 44: "video", 45: "sasl", 46: "plugdev", 50: "staff", 60: "games"})
OPTIONAL = re.compile(rb"usr/share/(doc|info|locale|man)(/|\Z)", re.S)
CAPABILITY = "SCHILY.xattr.security.capability"


def members(deb):
    at = 8
    while at < len(deb):
        header = deb[at:at + 60]
        size = int(header[48:58])
        yield header[:16].decode().strip().rstrip("/"), deb[at + 60:at + 60 + size]
        at += 60 + size + size % 2


def unpacked(name, data):
    if name.endswith(".gz"):
        return gzip.decompress(data)
    if name.endswith(".xz"):
        return lzma.decompress(data)
    if name.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def opened(tar):
    return tarfile.open(fileobj=io.BytesIO(tar), mode="r:", encoding="utf-8", errors="surrogateescape")


def raw(text):
    return text.encode("utf-8", "surrogateescape")


def clean(name):
    name = raw(name)
    name = name[2:] if name.startswith(b"./") else name
    name = name.rstrip(b"/")
    return b"" if name == b"." else name


def escaped(name):
    return re.sub(rb"[^A-Za-z0-9._/+,@:~%-]", lambda m: b"\\%03o" % m.group()[0], name).decode()


def owner(name, number, static):
    return name or static.get(number, str(number))


def device(major, minor):
    return hex(os.makedev(major, minor))


def digest(tar, entry):
    total, hashed = 0, hashlib.sha256()
    stream = tar.extractfile(entry)
    while piece := stream.read(1 << 20):
        total += len(piece)
        hashed.update(piece)
    return "size=%d sha256digest=%s" % (total, hashed.hexdigest())


def what(tar, entry):
    if entry.isreg():
        return "file", digest(tar, entry)
    if entry.issym():
        return "link", "link=" + escaped(raw(entry.linkname))
    if entry.isdir():
        return "dir", ""
    if entry.ischr():
        return "char", "device=" + device(entry.devmajor, entry.devminor)
    if entry.isblk():
        return "block", "device=" + device(entry.devmajor, entry.devminor)
    return "fifo", ""


def conffiles(control):
    found = set()
    with opened(control) as tar:
        for entry in tar:
            if clean(entry.name) == b"conffiles":
                for line in tar.extractfile(entry).read().split(b"\n"):
                    line = line.rstrip(b" \t\r\n\v\f")
                    if line.startswith(b"/"):
                        found.add(line[1:])
    return found


def payload(data, config):
    entries, group = {}, {}
    with opened(data) as tar:
        for entry in tar:
            path = clean(entry.name)
            if entry.islnk():
                target = clean(entry.linkname)
                entries[path] = entries[target]
                group[path] = group.setdefault(target, target)
                continue
            kind, detail = what(tar, entry)
            mode = 0o777 if kind == "link" else entry.mode & 0o7777
            caps = entry.pax_headers.get(CAPABILITY, "")
            entries[path] = (kind, "mode=0%03o uname=%s gname=%s" % (mode, owner(entry.uname, entry.uid, USERS), owner(entry.gname, entry.gid, GROUPS)),
                             detail, ",caps." + raw(caps).hex() if caps else "")
    return entries, group


def manifest(deb):
    parts = dict((name, data) for name, data in members(deb))
    named = lambda stem: next((unpacked(name, data) for name, data in parts.items() if name.startswith(stem)))
    config = conffiles(named("control.tar"))
    entries, group = payload(named("data.tar"), config)
    entries.pop(b"", None)
    for path in list(entries):
        while b"/" in path:
            path = path.rsplit(b"/", 1)[0]
            entries.setdefault(path, None)
    numbers = {}
    lines = ["#mtree package-sha256=" + hashlib.sha256(deb).hexdigest(), ". type=dir optional tags=implied"]
    for path in sorted(entries):
        name = "./" + escaped(path)
        if entries[path] is None:
            lines.append(name + " type=dir optional tags=implied")
            continue
        kind, attributes, detail, caps = entries[path]
        tags = "fixed"
        if path in config and kind in ("file", "link"):
            tags = "config"
        elif OPTIONAL.match(path):
            tags = "optional"
        words = [name, "type=" + kind, attributes] + [detail] * bool(detail) + ["optional"] * (tags == "optional")
        tags += caps
        if path in group:
            tags += ",hardlink.%d" % numbers.setdefault(group[path], len(numbers) + 1)
        lines.append(" ".join(words + ["tags=" + tags]))
    return "\n".join(lines) + "\n"


def main():
    target = sys.argv[1]
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            text = manifest(file.read())
        with open(os.path.join(target, os.path.basename(path) + ".mtree"), "w") as file:
            file.write(text)


main()
