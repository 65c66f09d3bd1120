#!/usr/bin/env bash
# Builds small rpm packages into a directory: sample-gzip.rpm, sample-xz.rpm, sample-zstd.rpm,
# installable.rpm, many.rpm, empty.rpm and source.rpm, which is a source package.
# usage: build-rpm.sh DIRECTORY [FORMAT]     needs rpmbuild; FORMAT is 4 or 6, where rpmbuild knows more than one
set -eu
format=${2:-}
mkdir -p "$1" && cd "$1"
umask 022
export LC_ALL=C

build() { # output-name spec payload arguments...
    rpmbuild --quiet "$4" --target x86_64-linux --define "_topdir $PWD/top" --define "_rpmdir $PWD" --define "_srcrpmdir $PWD" \
        --define "_build_name_fmt $1.rpm" --define "_rpmfilename $1.rpm" --define "_binary_payload $3" --define "__os_install_post %{nil}" \
        --define "_invalid_encoding_terminates_build 0" --define "_build_id_links none" --define "debug_package %{nil}" \
        ${format:+--define "_rpmformat $format"} "$2" >build.log 2>&1 ||
        { cat build.log; exit 1; }
}

cat >sample.spec <<'SPEC'
Name: sample
Epoch: 3
Version: 1.0~rc1
Release: 2.fc40
Summary: made for a test
License: none
AutoReqProv: no
%description
Everything that a header can say about a file.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/lib/sample %{buildroot}/usr/share/doc/sample %{buildroot}/usr/share/locale/de %{buildroot}/etc/sample.d
mkdir -p %{buildroot}/var/log/sample %{buildroot}/run/sample %{buildroot}/srv/sample %{buildroot}/etc/init.d %{buildroot}/usr/share/sample %{buildroot}/lib/modules
cd %{buildroot}
printf 'a program' >usr/bin/sample
printf 'setuid' >usr/bin/suid
printf 'with a capability' >usr/bin/capable
ln -s sample usr/bin/link
ln -s 'a b' usr/lib/sample/odd-link
printf 'one file of three names' >usr/lib/sample/one; ln usr/lib/sample/one usr/lib/sample/two; ln usr/lib/sample/one usr/share/doc/sample/three
printf 'odd name' >"usr/lib/sample/$(printf 'a b\377')"
printf '' >usr/lib/sample/empty
head -c 70000 /dev/zero >usr/lib/sample/zeros
mkfifo usr/lib/sample/pipe
printf 'setting = 1\n' >etc/sample.conf
printf 'kept = 1\n' >etc/sample.d/kept.conf
printf '#!/bin/sh\n' >etc/init.d/sample
printf 'outside = etc\n' >usr/share/sample/settings
printf 'a kernel module' >lib/modules/sample.ko
printf 'a library' >usr/lib/sample/libsample.so.1
printf 'may be edited unseen\n' >usr/lib/sample/cache
printf 'may be away\n' >etc/sample.d/away.conf
printf 'read me' >usr/share/doc/sample/README
printf 'licence' >usr/lib/sample/LICENSE
printf 'deutsch' >usr/share/locale/de/sample.mo
printf 'translated elsewhere' >usr/lib/sample/de.txt
printf 'a part of the build' >usr/lib/sample/artifact
touch var/log/sample/log run/sample/state
ln -s /nowhere usr/lib/sample/ghost-link
%files
%attr(0755,root,root) /usr/bin/sample
%attr(4755,root,root) /usr/bin/suid
%caps(cap_net_raw=ep) %attr(0755,root,root) /usr/bin/capable
/usr/bin/link
%dir /usr/lib/sample
/usr/lib/sample/odd-link
/usr/lib/sample/one
/usr/lib/sample/two
/usr/lib/sample/a?b*
/usr/lib/sample/empty
/usr/lib/sample/zeros
/usr/lib/sample/pipe
%attr(2750,daemon,mail) %dir /srv/sample
%dev(c,1,3) %attr(0666,root,root) /dev/sample
%config /etc/sample.conf
%attr(0755,root,root) %config /etc/init.d/sample
%config /usr/share/sample/settings
/lib/modules/sample.ko
/usr/lib/sample/libsample.so.1
%dir /etc/sample.d
%config(noreplace) /etc/sample.d/kept.conf
%config(missingok) /etc/sample.d/away.conf
%verify(not md5 size mtime) /usr/lib/sample/cache
%doc /usr/share/doc/sample/README
/usr/share/doc/sample/three
%license /usr/lib/sample/LICENSE
%lang(de) /usr/share/locale/de/sample.mo
%lang(de) /usr/lib/sample/de.txt
%artifact /usr/lib/sample/artifact
%ghost /var/log/sample/log
%ghost %dir /run/sample
%ghost /run/sample/state
%ghost /usr/lib/sample/ghost-link
SPEC
build sample-gzip sample.spec w9.gzdio -bb
build sample-xz sample.spec w2.xzdio -bb
build sample-zstd sample.spec w3.zstdio -bb
# Without what rpm 4.18 cannot install: it waits for the other end of a pipe.
sed '/pipe/d; /dev.sample/d; s/^Name: sample/Name: installable/' sample.spec >installable.spec
build installable installable.spec w3.zstdio -bb
build source sample.spec w3.zstdio -bs
mv ./*.src.rpm source.rpm

cat >many.spec <<'SPEC'
Name: many
Version: 1
Release: 1
Summary: made for a test
License: none
BuildArch: noarch
AutoReqProv: no
%description
Many files.
%install
mkdir -p %{buildroot}/usr/share/many; cd %{buildroot}/usr/share/many
for a in 0 1 2 3 4 5 6 7 8 9; do for b in 0 1 2 3 4 5 6 7 8 9; do mkdir $a$b; for c in 0 1 2 3 4 5 6 7 8 9; do for d in 0 1; do echo $a$b$c$d >$a$b/$c$d; done; done; done; done
%files
/usr/share/many
SPEC
build many many.spec w3.zstdio -bb

cat >empty.spec <<'SPEC'
Name: empty
Version: 1
Release: 1
Summary: made for a test
License: none
BuildArch: noarch
%description
No files at all.
%files
SPEC
build empty empty.spec w9.gzdio -bb
rm -rf top *.spec build.log
