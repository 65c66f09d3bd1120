#!/usr/bin/env python3
"""Builds small Alpine packages into a directory, as abuild lays them out: NAME.apk with its verdict in NAME.verdict.

usage: build-apk.py DIRECTORY

A verdict is `ok`, or `refuse: ` and words that the error must hold.
"""
import gzip
import hashlib
import io
import os
import sys
import tarfile

INFO = "pkgname = sample\npkgver = 1.0-r2\npkgdesc = made for a test\narch = x86_64\norigin = sample\n"


def item(name, data=b"", kind=tarfile.REGTYPE, link="", mode=0o644, uname="root", gname="root", uid=0, gid=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data)
    info.uname, info.gname, info.uid, info.gid = uname, gname, uid, gid
    if kind == tarfile.REGTYPE and not name.startswith("."):
        info.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(data).hexdigest()}
    return info, data


def tar(*items, cut):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in items:
            archive.addfile(info, io.BytesIO(data))
        end = archive.offset
    return out.getvalue()[:end] if cut else out.getvalue()


def member(data):
    return gzip.compress(data, mtime=0)


DATA = tar(
    item("etc", kind=tarfile.DIRTYPE, mode=0o755),
    item("etc/sample.conf", b"setting = 1\n"),
    item("etc/init.d", kind=tarfile.DIRTYPE, mode=0o755),
    item("etc/init.d/sample", b"#!/sbin/openrc-run\n", mode=0o755),
    item("etc/apk", kind=tarfile.DIRTYPE, mode=0o755),
    item("etc/apk/keep", b"x"),
    item("usr/bin/sample", b"a program", mode=0o755),
    item("usr/bin/hard", kind=tarfile.LNKTYPE, link="usr/bin/sample", mode=0o755),
    item("usr/bin/link", kind=tarfile.SYMTYPE, link="/bin/busybox", mode=0o777),
    item("usr/share/man/man1/sample.1.gz", b"manual"),
    item("var/sample", kind=tarfile.DIRTYPE, mode=0o2750, uname="games", gname="", uid=35, gid=12),
    cut=False,
)


def control(data, *more, info=INFO):
    digest = hashlib.sha256(member(data)).hexdigest()
    return tar(item(".PKGINFO", (info + "datahash = %s\n" % digest).encode()), *more, cut=True)


SIGNATURE = tar(item(".SIGN.RSA.nobody.rsa.pub", b"no signature"), cut=True)
AGAIN = tar(item(".SIGN.RSA256.other.rsa.pub", b"another"), cut=True)
SCRIPTS = (item(".post-install", b"#!/bin/sh\n"), item(".trigger", b"#!/bin/sh\n"))
GOOD = control(DATA, *SCRIPTS)

CASES = {
    "good": ([SIGNATURE, GOOD, DATA], "ok"),
    "signed-again": ([AGAIN, GOOD, DATA], "ok"),
    "unsigned": ([GOOD, DATA], "ok"),
    "empty": ([control(tar(cut=False)), tar(cut=False)], "ok"),
    "no-info": ([SIGNATURE, tar(*SCRIPTS, cut=True), DATA], "refuse: no .PKGINFO"),
    "other-data": ([SIGNATURE, control(DATA + bytes(512)), DATA], "refuse: the data's digest"),
    "no-datahash": ([tar(item(".PKGINFO", INFO.encode()), cut=True), DATA], "refuse: missing"),
    "no-data": ([SIGNATURE, GOOD], "refuse: ends too early"),
    "more": ([SIGNATURE, GOOD, DATA, DATA], "refuse: bytes follow the compressed stream"),
    "file-in-control": ([control(DATA, item("usr/bin/x", b"")), DATA], "refuse: not a file that such a package has"),
    "info-twice": ([control(DATA, item(".PKGINFO", b"")), DATA], "refuse: not a file that such a package has"),
    "script-twice": ([control(DATA, *SCRIPTS, *SCRIPTS), DATA], "refuse: not a file that such a package has"),
    "signature-in-control": ([control(DATA, item(".SIGN.x", b"")), DATA], "refuse: not a file that such a package has"),
    "link-in-control": ([control(DATA, item(".x", kind=tarfile.SYMTYPE, link="y")), DATA], "refuse: is no plain file"),
    "bad-name": ([control(DATA, info=INFO.replace("sample\n", "a b\n", 1)), DATA], "refuse: malformed"),
    "escapes": ([control(tar(item("../x", b""), cut=False)), tar(item("../x", b""), cut=False)], "refuse: leaves the package"),
}

os.makedirs(sys.argv[1], exist_ok=True)
for name, (members, verdict) in CASES.items():
    with open(os.path.join(sys.argv[1], name + ".apk"), "wb") as file:
        file.write(b"".join(member(part) for part in members))
    with open(os.path.join(sys.argv[1], name + ".verdict"), "w") as file:
        file.write(verdict + "\n")
