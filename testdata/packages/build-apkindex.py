#!/usr/bin/env python3
"""Writes the index of the packages in a directory, as Alpine's tools lay it out and abuild-sign signs it.

usage: build-apkindex.py DIRECTORY KEY [sha1|sha256|none]     needs openssl; KEY is a private RSA key in PEM
"""
import base64
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zlib


def members(data):
    while data:
        decoder = zlib.decompressobj(31)
        content = decoder.decompress(data)
        yield data[: len(data) - len(decoder.unused_data)], content
        data = decoder.unused_data


def tar(files, cut):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        end = archive.offset
    return gzip.compress(out.getvalue()[:end] if cut else out.getvalue(), mtime=0)


def paragraph(path):
    data = open(path, "rb").read()
    for compressed, content in members(data):
        with tarfile.open(fileobj=io.BytesIO(content + bytes(1024))) as archive:
            if ".PKGINFO" in archive.getnames():
                info = archive.extractfile(".PKGINFO").read().decode()
                break
    fields = dict(line.split(" = ", 1) for line in info.splitlines() if " = " in line)
    checksum = base64.b64encode(hashlib.sha1(compressed).digest()).decode()
    return f"C:Q1{checksum}\nP:{fields['pkgname']}\nV:{fields['pkgver']}\nA:{fields['arch']}\nS:{len(data)}\nI:1\nT:made for a test\n\n"


directory, key, kind = sys.argv[1], sys.argv[2], (sys.argv[3:] or ["sha256"])[0]
names = sorted(name for name in os.listdir(directory) if name.endswith(".apk"))
text = "".join(paragraph(os.path.join(directory, name)) for name in names)
index = tar([("DESCRIPTION", b"made for a test"), ("APKINDEX", text.encode())], cut=False)
if kind != "none":
    signature = subprocess.run(["openssl", "dgst", "-" + kind, "-sign", key], input=index, capture_output=True, check=True).stdout
    name = {"sha1": ".SIGN.RSA.", "sha256": ".SIGN.RSA256."}[kind] + "test.rsa.pub"
    index = tar([(name, signature)], cut=True) + index
with open(os.path.join(directory, "APKINDEX.tar.gz"), "wb") as file:
    file.write(index)
