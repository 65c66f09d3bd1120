#!/bin/sh
# Written by "tally setup zypper-refresh". "tally setup zypper-refresh --remove" takes it away; see specs/repository.md.
# libzypp runs it where a .repo file says "repo_sigcheck_plugin=tallystick ALIAS", and takes no new index in without its consent.
exec @PROGRAM@ --config @CONFIG@ repo sigcheck "$@"
