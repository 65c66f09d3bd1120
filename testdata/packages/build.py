#!/usr/bin/env python3
"""Builds small packages, good and bad, into a directory: NAME.deb with its verdict in NAME.verdict.

usage: build.py DIRECTORY

A verdict is `ok`, or `refuse: ` and words that the error must hold. Needs python3, GNU tar, dpkg-deb, ar and zstd.
"""
import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile

DIR, SYM, LINK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
CONTROL = b"Package: %s\nVersion: 1:1.0-1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: made for a test\n"


def item(name, data=b"", kind=tarfile.REGTYPE, link="", mode=0o644, uname="root", gname="root", uid=0, gid=0, device=(0, 0), pax=None):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data)
    info.uname, info.gname, info.uid, info.gid = uname, gname, uid, gid
    info.devmajor, info.devminor = device
    info.pax_headers = pax or {}
    return info, data


def tar(*items, fmt=tarfile.GNU_FORMAT, header=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt, encoding="utf-8", errors="surrogateescape", pax_headers=header) as archive:
        for info, data in items:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def run(*command, stdin=b""):
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout


def zstd(data):
    return run("zstd", "-q", "-1", "-c", stdin=data)


def member(name, data):
    header = "%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, "100644", len(data))
    return header.encode() + data + b"\n" * (len(data) % 2)


def ar(*members):
    return b"!<arch>\n" + b"".join(member(*pair) for pair in members)


def control(name="sample", *more):
    text = CONTROL % name.encode()
    return tar(item("./", kind=DIR, mode=0o755), item("./control", text), *more)


def deb(data, ctl=None, suffix=""):
    return ar(("debian-binary", b"2.0\n"), ("control.tar", ctl or control()), ("data.tar" + suffix, data))


def edited(archive, offset, new, at=0):
    """The tar with bytes of the header at block `at` changed and its checksum made right again."""
    block = bytearray(archive[at * 512:at * 512 + 512])
    block[offset:offset + len(new)] = new
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return archive[:at * 512] + bytes(block) + archive[at * 512 + 512:]


ROOT = item("./", kind=DIR, mode=0o755)
SMALL = (ROOT, item("./usr/", kind=DIR, mode=0o755), item("./usr/a", b"hello\n", mode=0o755), item("./usr/l", kind=SYM, link="/etc/../x y", mode=0o777))


def good():
    small = tar(*SMALL)
    yield "none", deb(small)
    yield "gz", deb(gzip.compress(small, mtime=0), suffix=".gz")
    yield "xz", deb(lzma.compress(small), suffix=".xz")
    yield "zst", deb(zstd(small), suffix=".zst")
    yield "slash-names", ar(("debian-binary/", b"2.0\n"), ("control.tar/", control()), ("data.tar/", small))
    yield "signed", deb(small) + member("_gpgorigin", b"not read") + member("_more", b"x")
    yield "no-dot", deb(tar(item("usr/bin/a", b"x"), item("usr/bin-a", b"x"), item("usr.d", b"")))
    yield "hardlinks", deb(tar(item("./z", b"zz", mode=0o4755), item("./b", b"bb"), item("./usr/share/doc/z2", kind=LINK, link="./z"),
                               item("./a", kind=LINK, link="usr/share/doc/z2"), item("./c", kind=LINK, link="./b"), item("./d", b"bb")))
    yield "long-names", deb(tar(item("./" + "d" * 120 + "/", kind=DIR), item("./" + "d" * 120 + "/" + "f" * 255, b"x"),
                                item("./l", kind=SYM, link="t" * 300), item("./h", kind=LINK, link="./" + "d" * 120 + "/" + "f" * 255)))
    yield "long-pax", deb(tar(item("./" + "d/" * 90 + "f" * 200, b"x"), item("./l", kind=SYM, link="t" * 300), fmt=tarfile.PAX_FORMAT))
    yield "ustar-prefix", deb(tar(item("./" + "d" * 90 + "/" + "e" * 60 + "/" + "f" * 90, b"x"), fmt=tarfile.USTAR_FORMAT))
    odd = b"./n\nl \\ \xff\xfe\t#*[x]=\xc3\xa4".decode("utf-8", "surrogateescape")
    yield "odd-names", deb(tar(item(odd, b"1"), item("./l", kind=SYM, link=odd)))
    yield "odd-names-pax", deb(tar(item("./n\nl \\ \u00e4" + "x" * 120, b"1"), fmt=tarfile.PAX_FORMAT))
    yield "capability", deb(tar(item("./ping", b"x", mode=0o755, pax={"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00"}),
                                item("./u", b"x", pax={"SCHILY.xattr.user.a": "b", "comment": "c", "mtime": "1.5"}), fmt=tarfile.PAX_FORMAT))
    yield "nodes", deb(tar(item("./c", kind=tarfile.CHRTYPE, device=(1, 259)), item("./b", kind=tarfile.BLKTYPE, device=(259, 70000)), item("./p", kind=tarfile.FIFOTYPE, mode=0o600)))
    yield "owners", deb(tar(item("./a", uname="", gname="", uid=5, gid=5), item("./b", uname="", gname="", uid=1234, gid=99),
                            item("./c", uname="www-data", gname="_ssh", uid=0, gid=0), item("./d", uname="", gname="", uid=2 ** 40, gid=0)))
    v7 = edited(tar(item("./old", b"x", uid=7, gid=7)), 257, bytes(88))
    yield "v7", deb(v7)
    conffiles = item("./conffiles", b"/etc/a\nremove-on-upgrade /etc/b\n/etc/l \n/etc/gone\n/usr/share/doc/c\n")
    yield "conffiles", deb(tar(item("./etc/a", b"x"), item("./etc/b", b"x"), item("./etc/l", kind=SYM, link="a"), item("./etc/n", b""),
                               item("./usr/share/doc/c", b""), item("./usr/share/docs", b""), item("./usr/share/man/man1/x.1.gz", b"")), control("sample", conffiles))
    yield "dir-twice", deb(tar(item("./d", kind=DIR, mode=0o755), item("./d/", kind=DIR, mode=0o755), item("./e/f/g", b"")))
    yield "absolute-link", deb(tar(item("./l", kind=SYM, link="/etc/shadow"), item("./m", kind=SYM, link="../../../../etc/shadow")))
    yield "empty", deb(tar())
    yield "big-zeros", deb(zstd(tar(item("./z", bytes(60 << 20)))), suffix=".zst")


def sparse(work):
    path = os.path.join(work, "holes")
    with open(path, "wb") as file:
        file.seek(1 << 20)
        for n in range(40):
            file.write(b"data%d" % n)
            file.seek(64 << 10, 1)
        file.truncate(8 << 20)
    base = ["tar", "-C", work, "--sparse", "--hole-detection=raw", "--owner=root:0", "--group=root:0", "--mtime=@0", "-cf", "-"]
    yield "sparse-gnu", deb(run(*base, "--format=gnu", "./holes"))
    for version in ("0.0", "0.1", "1.0"):
        yield "sparse-" + version, deb(run(*base, "--format=posix", "--pax-option=delete=atime,delete=ctime", "--sparse-version=" + version, "./holes"))
    old = run(*base, "--format=gnu", "./holes")
    yield "sparse-huge", (deb(edited(old, 483, b"\x80" + bytes(3) + b"\x40" + bytes(7))), "larger than the limit")
    yield "sparse-order", (deb(edited(old, 386, b"77777777777\0")), "sparse map")
    yield "sparse-cut", (deb(edited(old, 483, b"00000000001\0")), "sparse map does not fit")
    os.unlink(path)


def built(work):
    """Packages by the distribution's own tools."""
    top = os.path.join(work, "tree")
    os.makedirs(os.path.join(top, "DEBIAN"))
    os.makedirs(os.path.join(top, "usr/bin"))
    for name, text in (("DEBIAN/control", CONTROL.decode() % "sample"), ("usr/bin/a", "x"), ("usr/bin/b c", "y")):
        with open(os.path.join(top, name), "w") as file:
            file.write(text)
    os.link(os.path.join(top, "usr/bin/a"), os.path.join(top, "usr/bin/z"))
    for kind in ("gzip", "xz", "zstd", "none"):
        out = os.path.join(work, "built.deb")
        tool = subprocess.run(["dpkg-deb", "--root-owner-group", "-Z" + kind, "--build", top, out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if tool.returncode == 0:
            with open(out, "rb") as file:
                yield "built-" + kind, file.read()


def bad():
    small, ctl = tar(*SMALL), control()
    binary = ("debian-binary", b"2.0\n")
    yield "not-ar", b"PK\3\4 this is no package", "no ar archive"
    yield "no-file", b"", "no ar archive"
    yield "only-magic", b"!<arch>\n", "expected debian-binary, found the end"
    yield "version-3", ar(("debian-binary", b"3.0\n"), ("control.tar", ctl), ("data.tar", small)), "version 2.0"
    yield "version-long", ar(("debian-binary", b"2.0\nmore\n"), ("control.tar", ctl), ("data.tar", small)), "larger than the limit of 4 bytes"
    yield "wrong-order", ar(binary, ("data.tar", small), ("control.tar", ctl)), "expected control.tar, found data.tar"
    yield "no-data", ar(binary, ("control.tar", ctl)), "expected data.tar, found the end"
    yield "two-data", deb(small) + member("data.tar", small), "expected the end, found data.tar"
    yield "two-control", ar(binary, ("control.tar", ctl), ("control.tar", ctl), ("data.tar", small)), "expected data.tar, found control.tar"
    yield "early-extra", ar(binary, ("_extra", b""), ("control.tar", ctl), ("data.tar", small)), "expected control.tar, found _extra"
    yield "trailing-bytes", deb(small) + b"junk", "trailing bytes"
    yield "bad-size", deb(small).replace(b"%-10d`\n" % len(small), b"-1        `\n"), "malformed ar archive"
    yield "bz2", deb(bz2.compress(small), suffix=".bz2"), '"bz2"'
    yield "lzma", deb(lzma.compress(small, format=lzma.FORMAT_ALONE), suffix=".lzma"), '"lzma"'
    yield "xz-garbage", deb(b"garbage, not xz at all", suffix=".xz"), "damaged"
    damaged = bytearray(lzma.compress(small))
    damaged[len(damaged) // 2] ^= 1
    yield "xz-damaged", deb(bytes(damaged), suffix=".xz"), "damaged"
    yield "xz-cut", deb(lzma.compress(small)[:-8], suffix=".xz"), "data.tar.xz: "
    yield "xz-two-streams", deb(lzma.compress(small) * 2, suffix=".xz"), "bytes follow the compressed stream"
    yield "gz-tail", deb(gzip.compress(small) + b"x", suffix=".gz"), "bytes follow the compressed stream"
    yield "xz-memory", deb(lzma.compress(small, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "nice_len": 64}]), suffix=".xz"), "damaged"
    yield "zst-cut", deb(zstd(small)[:-5], suffix=".zst"), "data.tar.zst: "
    yield "bomb", deb(zstd(tar(item("./bomb", bytes(160 << 20)))), suffix=".zst"), "data.tar.zst: unpacked content is larger than the limit"
    yield "bomb-tail", deb(zstd(small + bytes(160 << 20)), suffix=".zst"), "data.tar.zst: content is larger than the limit"
    yield "bomb-control", ar(binary, ("control.tar.zst", zstd(tar(item("./control", CONTROL % b"a"), item("./md5sums", bytes(64 << 20))))), ("data.tar", small)), "control.tar.zst: unpacked content is larger than the limit"
    yield "no-control", deb(small, tar(item("./postinst", b"#!/bin/sh\n"))), "no control file"
    yield "control-two", deb(small, tar(item("./control", CONTROL % b"a"), item("./control", CONTROL % b"b"))), "twice"
    yield "control-sub", deb(small, tar(item("./sub/control", CONTROL % b"a"))), "no plain file of the control archive"
    yield "control-name", deb(small, control("../a")), "malformed: Package"
    yield "control-paragraphs", deb(small, tar(item("./control", (CONTROL % b"a") + b"\n" + CONTROL % b"b"))), "second paragraph"
    yield "conffile-relative", deb(small, control("sample", item("./conffiles", b"etc/a\n"))), "conffiles: line 1"
    yield "conffile-flag", deb(small, control("sample", item("./conffiles", b"/etc/a\nfrobnicate /etc/b\n"))), "conffiles: line 2"
    yield from bad_tars(small)


def bad_tars(small):
    one = tar(item("./a", b"x"))
    header = one[:1024]
    cases = {
        "dotdot": (tar(item("./../evil", b"x")), "./../evil: leaves the package"),
        "dotdot-inside": (tar(item("./a/../../evil", b"x")), "leaves the package"),
        "absolute": (tar(item("/evil", b"x")), "/evil: is absolute"),
        "dot-part": (tar(item("./usr/./a", b"x")), 'empty or "." part'),
        "slash-slash": (tar(item("./usr//a", b"x")), 'empty or "." part'),
        "file-slash": (edited(one, 0, b"./a/\0"), "slash at its end"),
        "twice": (tar(item("./a", b"x"), item("./a", b"x")), "./a: stands twice"),
        "twice-dir": (tar(item("./a", kind=DIR, mode=0o755), item("./a", kind=DIR, mode=0o700)), "./a: stands twice"),
        "twice-kind": (tar(item("./a", b"x"), item("./a", kind=SYM, link="b")), "./a: stands twice"),
        "below-link": (tar(item("./b", kind=DIR), item("./a", kind=SYM, link="b"), item("./a/x", b"")), "its parent in the archive is no directory"),
        "below-file": (tar(item("./a", b""), item("./a/x", b"")), "its parent in the archive is no directory"),
        "root-file": (edited(one, 0, b".\0\0"), "root of the package is no directory"),
        "hardlink-later": (tar(item("./b", kind=LINK, link="./a"), item("./a", b"x")), "no earlier file"),
        "hardlink-symlink": (tar(item("./a", kind=SYM, link="x"), item("./b", kind=LINK, link="./a")), "no earlier file"),
        "hardlink-outside": (tar(item("./b", kind=LINK, link="../../etc/shadow")), "hard link target"),
        "hardlink-twice": (tar(item("./a", b"x"), item("./b", kind=LINK, link="a"), item("./b", kind=LINK, link="a")), "./b: stands twice"),
        "hardlink-content": (edited(tar(item("./a", b""), item("./b", kind=LINK, link="a")), 124, b"00000000001\0", 1), "is no file has content"),
        "path-long": (tar(item("./" + "d/" * 2100 + "f", b"")), "larger than the limit"),
        "name-long": (tar(item("./" + "f" * 256, b"")), "more than 255 bytes"),
        "link-long": (tar(item("./l", kind=SYM, link="t" * 5000)), "larger than the limit"),
        "owner": (tar(item("./a", uname="a b")), "owner's name is malformed"),
        "owner-number": (tar(item("./a", gname="0")), "group's name is malformed"),
        "capability-link": (tar(item("./a", kind=SYM, link="b", pax={"SCHILY.xattr.security.capability": "x"}), fmt=tarfile.PAX_FORMAT), "no file"),
        "checksum": (header[:20] + b"!" + header[21:] + one[1024:], "checksum"),
        "magic": (edited(one, 257, b"rats "), "unknown magic"),
        "type": (edited(one, 156, b"Z"), "unknown type"),
        "pax-global": (tar(item("./a", b"x"), fmt=tarfile.PAX_FORMAT, header={"comment": "x"}), "global pax header"),
        "pax-key": (tar(item("./a", b"x", pax={"VENDOR.magic": "x"}), fmt=tarfile.PAX_FORMAT), "unknown pax key"),
        "pax-zero": (tar(item("./a", b"x", pax={"path": "./a\0b"}), fmt=tarfile.PAX_FORMAT), "zero byte"),
        "pax-number": (tar(item("./a", b"x", pax={"uid": "-5"}), fmt=tarfile.PAX_FORMAT), "malformed number"),
        "pax-alone": (tar(item("./a", pax={"comment": "x"}), fmt=tarfile.PAX_FORMAT)[:1024] + bytes(1024), "ends after an extension header"),
        "size-huge": (edited(one, 124, b"\x80" + bytes(3) + b"\x7f" * 8), "larger than the limit"),
        "size-negative": (edited(one, 124, b"\xff" * 12), "a number is malformed"),
        "size-letters": (edited(one, 124, b"0000000000x\0"), "a number is malformed"),
        "one-zero-block": (header + bytes(512), "ends too early"),
        "zero-then-data": (header + bytes(512) + header + bytes(1024), "only one zero block"),
        "after-end": (header + bytes(1024) + header, "bytes follow its end"),
        "no-end": (header, "ends too early"),
        "cut-content": (header[:700], "ends too early"),
    }
    for name, (data, why) in cases.items():
        yield "tar-" + name, deb(data), why


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    work = os.path.join(out, "work")
    os.makedirs(work, exist_ok=True)
    cases = [(name, data, None) for name, data in good()] + list(bad()) + [(name, data, None) for name, data in built(work)]
    for name, data in sparse(work):
        cases.append((name, *data) if isinstance(data, tuple) else (name, data, None))
    for name, data, why in cases:
        with open(os.path.join(out, name + ".deb"), "wb") as file:
            file.write(data)
        with open(os.path.join(out, name + ".verdict"), "w") as file:
            file.write("refuse: %s\n" % why if why else "ok\n")
    subprocess.run(["rm", "-rf", work], check=True)


main()
