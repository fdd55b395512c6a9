#!/usr/bin/env bash
# Builds the mobile library. It needs Go; what else a target needs it looks for
# first, and says all that is missing.
#
#	mobile/build.sh check                what can be built here
#	mobile/build.sh android [DIR]        relink.aar and relink-sources.jar
#	mobile/build.sh ios [DIR]            Relink.xcframework (on a Mac)
#	mobile/build.sh generate DIR         the generated Java, Objective-C, C and Go
#	mobile/build.sh size                 an estimate of the arm64 library's size, which needs no NDK
#	mobile/build.sh jvm DIR              relink.jar and libgojni.so for a desktop JVM, as CI tests it
#
# DIR is made if need be; without it the result is in the current directory. TAGS are
# build tags. To bind it together with an app's own package see docs/mobile.md.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly here
readonly package=github.com/relink-go/relink/mobile
readonly android_api=24
readonly android_targets=android/arm64,android/arm,android/amd64
readonly ios_version=15
# Android 15 has devices with pages of 16 KiB.
readonly ldflags='-s -w -extldflags=-Wl,-z,max-page-size=16384'

export GOWORK=off # the tools have versions of their own: docs/adr/0070
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# lacking prints what a target needs and this machine does not have.
lacking() {
	case $1 in
	android)
		has javac || echo "javac: a JDK, 17 or newer"
		[[ -d ${ANDROID_HOME:-${ANDROID_SDK_ROOT:-/nonexistent}}/platforms ]] ||
			echo "ANDROID_HOME: the Android SDK, with a platform of API $android_api or newer"
		[[ -d ${ANDROID_NDK_HOME:-/nonexistent} || -d ${ANDROID_HOME:-/nonexistent}/ndk || -d ${ANDROID_HOME:-/nonexistent}/ndk-bundle ]] ||
			echo "ANDROID_NDK_HOME: the Android NDK, r28 or newer"
		;;
	ios)
		[[ "$(uname -s)" == Darwin ]] || echo "macOS: Apple's SDK runs nowhere else"
		has xcodebuild || echo "xcodebuild: Xcode, with its command line tools selected"
		;;
	jvm)
		has javac && has java && has jar || echo "java, javac and jar: a JDK, 17 or newer (Debian: openjdk-17-jdk-headless)"
		has "$(compiler)" || echo "$(compiler): a C compiler (Debian: gcc libc6-dev)"
		[[ "$(uname -s)" == Linux ]] || echo "Linux: the desktop JVM is for tests, which run there"
		;;
	esac
}

has() { command -v "$1" >/dev/null 2>&1; }

compiler() { go env CC | cut -d' ' -f1; }

# require ends the script where a target cannot be built.
require() {
	local missing
	has go || { echo "build.sh: go is missing: https://go.dev/dl" >&2; exit 1; }
	missing="$(lacking "$1")"
	[[ -z "$missing" ]] && return
	printf 'build.sh: %s cannot be built here. What is missing:\n' "$1" >&2
	sed 's/^/  - /' <<<"$missing" >&2
	exit 3
}

check() {
	local target missing
	for target in android ios jvm; do
		missing="$(lacking "$target")"
		if [[ -z "$missing" ]]; then
			echo "$target: can be built here"
			continue
		fi
		echo "$target: cannot be built here. What is missing:"
		sed 's/^/  - /' <<<"$missing"
	done
}

# gomobile runs it with the gobind of the same version, which it looks for in PATH.
gomobile() {
	(cd "$here" && GOBIN="$scratch/bin" go install golang.org/x/mobile/cmd/gomobile golang.org/x/mobile/cmd/gobind)
	(cd "$here" && PATH="$scratch/bin:$PATH" "$scratch/bin/gomobile" "$@" -tags "${TAGS:-}" "$package")
}

android() {
	require android
	gomobile bind -target "$android_targets" -androidapi "$android_api" -trimpath -ldflags "$ldflags" -o "$1/relink.aar"
	ls -l "$1/relink.aar"
}

ios() {
	require ios
	gomobile bind -target ios,iossimulator -iosversion "$ios_version" -trimpath -ldflags '-s -w' -o "$1/Relink.xcframework"
	ls -d "$1/Relink.xcframework"
}

# generate writes what gobind makes of the package, and fails if it leaves anything out.
generate() {
	(cd "$here" && go tool gobind -lang=go,java,objc -tags "${TAGS:-}" -outdir="$1" "$package")
	if grep -rn '^[[:space:]]*// skipped ' "$1"; then
		echo "build.sh: gobind has left these out" >&2
		return 1
	fi
}

# jvm builds the same generated Java, C and Go as an AAR has for Linux and a desktop
# JVM. Android's log and Context are stubs.
jvm() {
	require jvm
	local out=$1 java_home file name
	generate "$scratch/gen"
	mkdir -p "$scratch/lib" "$scratch/include/android" "$scratch/stubs/android/content" "$scratch/classes"

	echo 'package android.content; public class Context {}' >"$scratch/stubs/android/content/Context.java"
	find "$scratch/gen/java" "$scratch/stubs" -name '*.java' -print0 | xargs -0 javac -Xlint:-options --release 8 -nowarn -d "$scratch/classes"
	jar cf "$out/relink.jar" -C "$scratch/classes" .

	cat >"$scratch/include/android/log.h" <<-'END'
		#include <stdio.h>
		#define ANDROID_LOG_INFO 4
		#define ANDROID_LOG_FATAL 7
		#define __android_log_print(level, tag, ...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr))
	END
	# Files whose names end in _android are built for Android alone.
	for file in "$scratch"/gen/src/gobind/*; do
		name="${file##*/}"
		case "$name" in
		*darwin* | *.objc.h | ref.h) continue ;;
		*_android.go | *_android.c) name="${name/_android./_jvm.}" ;;
		esac
		sed '/^\/\/ *#cgo LDFLAGS: -llog$/d' "$file" >"$scratch/lib/$name"
	done
	(
		cd "$scratch/lib"
		cp "$here/go.mod" "$here/go.sum" .
		go mod edit -module gobind -droptool golang.org/x/mobile/cmd/gobind -droptool golang.org/x/mobile/cmd/gomobile \
			-replace "github.com/relink-go/relink=${here%/*}" -replace "$package=$here" -require "$package@v0.0.0-00010101000000-000000000000"
		java_home="$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")"
		CGO_ENABLED=1 CGO_CFLAGS="-O2 -w -D__GOBIND_ANDROID__ -I$java_home/include -I$java_home/include/linux -I$scratch/include" \
			go build -mod=mod -trimpath -tags "${TAGS:-}" -ldflags '-s -w' -buildmode=c-shared -o "$out/libgojni.so" .
	)
	rm -f "$out/libgojni.h"
}

# size builds a program for Android that has all of the package's exported functions in
# it, without cgo, and to compare with two that only dial, over TCP and over TLS.
size() {
	local what
	mkdir -p "$scratch/all"
	{
		printf 'package main\n\nimport relink "%s"\n\nvar calls = []any{\n' "$package"
		find "$here" -maxdepth 1 -name '*.go' -not -name '*_test.go' -exec sed -nE \
			-e 's/^func \([a-z]+ \*([A-Z][A-Za-z]*)\) ([A-Z][A-Za-z]*)\(.*/(*relink.\1).\2,/p' \
			-e 's/^func ([A-Z][A-Za-z]*)\(.*/relink.\1,/p' {} +
		printf '}\n\nfunc main() {\n\tfor _, c := range calls {\n\t\tprintln(c)\n\t}\n}\n'
	} >"$scratch/all/main.go"
	mkdir -p "$scratch/net" "$scratch/tls"
	cat >"$scratch/net/main.go" <<-'END'
		package main

		import "net"

		func main() {
			c, err := net.Dial("tcp", "127.0.0.1:1")
			println(c, err)
		}
	END
	sed -e 's/import "net"/import "crypto\/tls"/' -e 's/net.Dial(\(.*\))/tls.Dial(\1, nil)/' "$scratch/net/main.go" >"$scratch/tls/main.go"
	for what in net tls all; do
		(cd "$here" && CGO_ENABLED=0 GOOS=android GOARCH=arm64 go build -trimpath -tags "${TAGS:-}" -ldflags '-s -w' -o "$scratch/$what.bin" "$scratch/$what/main.go")
		printf '%s: %d bytes, %d compressed (gzip -9)\n' "$what" "$(wc -c <"$scratch/$what.bin")" "$(gzip -9c "$scratch/$what.bin" | wc -c)"
	done
}

usage() {
	sed -n '/^#	/s/^#	//p' "${BASH_SOURCE[0]}"
}

case "${1:-}" in
check | size)
	has go || { echo "build.sh: go is missing: https://go.dev/dl" >&2; exit 1; }
	"$1"
	;;
android | ios | generate | jvm)
	mkdir -p "${2:-.}"
	"$1" "$(cd "${2:-.}" && pwd)"
	;;
*)
	usage >&2
	exit 2
	;;
esac
