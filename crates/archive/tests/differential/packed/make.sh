#!/usr/bin/env bash
# Packs one small volume with every ordinary packer at hand, as each does it by default: the archives beside
# this file. They are kept so that every machine tests the same bytes; run this to add a packer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD
repository=$(git rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# The volume. v7 spells short ASCII names only, so it packs a part.
volume=$work/volume
mkdir -p "$volume"/{agents,scripts,docs}
printf '[volume]\nname = "@acme/review"\nversion = "1.2.3"\n' >"$volume/volume.toml"
printf 'agent\n' >"$volume/agents/review.md"
printf '#!/bin/sh\necho ok\n' >"$volume/scripts/run.sh"
chmod 755 "$volume/scripts/run.sh"
: >"$volume/docs/empty.txt"
head -c 512 /dev/zero | tr '\0' b >"$volume/docs/block.bin"
head -c 513 /dev/zero | tr '\0' o >"$volume/docs/odd.bin"
short=$work/short
cp -a "$volume" "$short"
printf '안녕' >"$volume/docs/안녕.md"
split=$(printf 'folder%.0s' {1..10})/$(printf 'name%.0s' {1..15})
mkdir -p "$volume/$(dirname "$split")"
printf 'split' >"$volume/$split"
cp -a "$volume" "$work/ustar"
long=$(printf 'long%.0s' {1..30})/$(printf 'longer%.0s' {1..25})
mkdir -p "$volume/$(dirname "$long")"
printf 'long' >"$volume/$long"
find "$work" -exec touch -d '2024-05-06T07:08:09.5Z' {} +

for format in v7 oldgnu gnu ustar pax; do
    case $format in v7) from=$short ;; ustar) from=$work/ustar ;; *) from=$volume ;; esac
    tar -C "$from" --format=$format -czf "gnu-tar-$format.tar.gz" $(ls -A "$from")
done
for format in v7tar gnutar ustar pax; do
    case $format in v7tar) from=$short ;; ustar) from=$work/ustar ;; *) from=$volume ;; esac
    bsdtar -C "$from" --format $format -czf "bsdtar-$format.tar.gz" $(ls -A "$from")
done
bsdtar -C "$volume" -czf bsdtar.tar.gz $(ls -A "$volume")
busybox tar -C "$volume" -czf busybox.tar.gz $(ls -A "$volume")

python3 - "$volume" "$short" <<'PY'
import os, sys, tarfile
for name, form in ("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT):
    volume = sys.argv[2] if name == "ustar" else sys.argv[1]
    with tarfile.open(f"python-{name}.tar.gz", "w:gz", format=form) as tar:
        for entry in sorted(os.listdir(volume)):
            tar.add(os.path.join(volume, entry), entry)
PY

git init -q "$work/git"
cp -a "$volume/." "$work/git"
git -C "$work/git" add -A
GIT_AUTHOR_DATE=2024-05-06T07:08:09Z GIT_COMMITTER_DATE=2024-05-06T07:08:09Z \
    git -C "$work/git" -c user.name=a -c user.email=a@example.org commit -qm packed
git -C "$work/git" archive --format=tar.gz -o "$here/git-archive.tar.gz" HEAD

node_tar=$(npm root -g)/npm/node_modules/tar
[[ -d $repository/target/tools/node/node_modules/tar ]] && node_tar=$repository/target/tools/node/node_modules/tar
node - "$node_tar" "$volume" <<'JS'
const [library, volume] = process.argv.slice(2);
const tar = require(library);
const entries = require('fs').readdirSync(volume);
tar.c({ gzip: true, sync: true, C: volume, file: 'node-tar.tar.gz' }, entries);
// As npm packs.
tar.c({ gzip: { level: 9 }, sync: true, portable: true, noDirRecurse: false, C: volume, file: 'npm.tar.gz',
        mtime: new Date('1985-10-26T08:15:00.000Z') }, entries);
JS

cat >"$work/pack.go" <<'GO'
package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	for name, format := range map[string]tar.Format{"go": tar.FormatUnknown, "go-pax": tar.FormatPAX, "go-gnu": tar.FormatGNU} {
		file, _ := os.Create(name + ".tar.gz")
		packed := gzip.NewWriter(file)
		writer := tar.NewWriter(packed)
		filepath.Walk(os.Args[1], func(path string, info fs.FileInfo, err error) error {
			relative, _ := filepath.Rel(os.Args[1], path)
			if relative == "." {
				return nil
			}
			header, _ := tar.FileInfoHeader(info, "")
			header.Name, header.Format = relative, format
			if info.IsDir() {
				header.Name += "/"
			}
			if err := writer.WriteHeader(header); err != nil {
				panic(err)
			}
			if !info.IsDir() {
				content, _ := os.Open(path)
				io.Copy(writer, content)
			}
			return nil
		})
		writer.Close()
		packed.Close()
	}
}
GO
go run "$work/pack.go" "$volume"

perl -MArchive::Tar -MFile::Find -e '
    chdir shift; my $to = shift; my $tar = Archive::Tar->new;
    find({ no_chdir => 1, wanted => sub { s{^\./}{}; $tar->add_files($_) unless $_ eq "." } }, ".");
    $tar->write($to, 9)' "$short" "$here/perl.tar.gz"

(cd "$volume" && 7zz a -bd -ttar "$work/seven.tar" . >/dev/null && gzip -9c "$work/seven.tar" >"$here/7zip.tar.gz")
