# Written by "tally setup dnf". "tally setup dnf --remove" takes it away; see specs/gate.md.
"""Has tally judge what dnf has downloaded, before rpm installs it."""
import json
import os
import subprocess
import sys
import tempfile

import dnf
import dnf.exceptions
import hawkey

PROGRAM = "@PROGRAM@"
CONFIG = "@CONFIG@"
MARKER = "@MARKER@"


class Tallystick(dnf.Plugin):
    name = "tallystick"

    def pre_transaction(self):
        # dnf goes on after any other exception than its own.
        try:
            coming = sorted(self.base.transaction.install_set)
            if not coming:
                return
            status = self.judge(coming)
        except dnf.exceptions.Error:
            raise
        except Exception as error:
            status = repr(error)
        if status == 0:
            return
        decided = isinstance(status, int) and 1 <= status <= 9
        if decided:
            raise dnf.exceptions.Error("tally refuses packages; nothing was installed")
        if os.path.lexists(MARKER):
            raise dnf.exceptions.Error("tally failed (%s) and is to be asked; nothing was installed" % status)

    def judge(self, coming):
        installed = {package.name for package in self.base.sack.query().installed()}
        packages = [describe(package, installed) for package in coming]
        text = json.dumps({"packages": packages, "schema": 1}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        sys.stdout.flush()
        # A file and no pipe: whoever dies before it has read must not take dnf along.
        with tempfile.TemporaryFile() as listing:
            listing.write(text.encode())
            listing.seek(0)
            try:
                return subprocess.run([PROGRAM, "--config", CONFIG, "gate", "dnf"], stdin=listing).returncode
            except OSError:
                if os.access(PROGRAM, os.X_OK):
                    raise
        print("tally is not there: packages are not judged", file=sys.stderr)
        return 0


def describe(package, installed):
    advisories = package.get_advisories(hawkey.EQ)
    return {
        "architecture": package.arch,
        "epoch": package.epoch,
        "files": [package.localPkg()],
        "installed": package.name in installed,
        "name": package.name,
        "repository": package.repoid,
        "security": any(advisory.type == hawkey.ADVISORY_SECURITY for advisory in advisories),
        "version": "%s-%s" % (package.version, package.release),
    }
