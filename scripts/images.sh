#!/bin/sh
# Builds the images without a Docker engine, as root, and says how much larger
# than their base they are; fails where that is more than 40 MB.
#
#   scripts/images.sh [BASE]
#
# BASE is an image that buildah knows; by default Debian 12 by debootstrap, for
# where no registry of images can be reached.
set -eu

cd "$(dirname "$0")/.."
# shellcheck source=scripts/alive.sh
. scripts/alive.sh
sh scripts/ensure-packages.sh images
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}" BUILDAH_ISOLATION=chroot
root=build/images/root
base=${1:-localhost/muster-base}
most=$((40 * 1000 * 1000))
advice="mend what it says and try again"

if ! [ "${1:-}" ] && ! buildah inspect --type image "$base" >/dev/null 2>&1; then
	rm -rf "$root"
	mkdir -p "$root"
	alive "making Debian 12" build/images/base.log "$advice" \
		debootstrap --variant=minbase bookworm "$root"
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
	made=$(buildah from scratch)
	buildah add -q "$made" "$root" / >/dev/null
	buildah commit -q --rm "$made" "$base" >/dev/null
	rm -rf "$root"
fi

# bytes IMAGE: of all its files; what buildah says itself is in whole megabytes
bytes() {
	seen=$(buildah from --pull-never "$1")
	du -sb "$(buildah mount "$seen")" | cut -f1
	buildah rm "$seen" >/dev/null
}

for target in muster muster-agent; do
	alive "building the image $target" "build/images/$target.log" \
		"$advice" buildah bud --layers --format docker \
		--build-arg BASE="$base" --target "$target" \
		-t "localhost/$target" .
	more=$(($(bytes "localhost/$target") - $(bytes "$base")))
	echo "$target: $more bytes over its base"
	if [ "$more" -gt "$most" ]; then
		echo "the image $target is larger than its base by more than" \
			"$most bytes: see what it copies" >&2
		exit 1
	fi
done
