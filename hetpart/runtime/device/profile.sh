#!/bin/sh
# Builds hetpart-profile for Android, runs it on the phone that adb sees, and fetches what it measured:
#
#   sh profile.sh TRACES [OPTION...]
#
# TRACES is the file to write here; every OPTION goes to hetpart-profile: --cpu-cores 0xf0 (the big cores) matters most.
# Read from the environment:
#   ANDROID_NDK    the NDK's folder
#   PROGRAM        a hetpart-profile that was built already; then no NDK is needed
#   ADB            adb, perhaps with arguments (default: adb)
#   DEVICE_FOLDER  where the bundle goes on the phone (default: /data/local/tmp/hetpart-profile)
set -eu

if [ $# -lt 1 ]; then
    echo "usage: sh profile.sh TRACES [--cpu-cores MASK] [--runs N] [--time-limit SECONDS] ..." >&2
    exit 64
fi
traces=$1
shift
bundle=$(cd "$(dirname "$0")" && pwd)
folder=${DEVICE_FOLDER:-/data/local/tmp/hetpart-profile}
: "${ADB:=adb}"

if [ -z "${PROGRAM:-}" ]; then
    if [ -z "${ANDROID_NDK:-}" ]; then
        echo "profile.sh: set ANDROID_NDK to the NDK's folder, or PROGRAM to a hetpart-profile" >&2
        exit 64
    fi
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    cmake -S "$bundle/runtime" -B "$build" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_TOOLCHAIN_FILE="$ANDROID_NDK/build/cmake/android.toolchain.cmake" \
        -DANDROID_ABI=arm64-v8a -DANDROID_PLATFORM=android-26
    cmake --build "$build" --target hetpart-profile
    PROGRAM=$build/hetpart-profile
fi

# $ADB is split into words on purpose
# shellcheck disable=SC2086
phone() { $ADB "$@"; }

phone shell rm -rf "$folder"
phone shell mkdir -p "$folder"
phone push "$bundle" "$folder/bundle"
phone push "$PROGRAM" "$folder/hetpart-profile"
phone shell chmod 755 "$folder/hetpart-profile"
device=$(phone shell getprop ro.product.model | tr -d '\r' | tr -c '[:alnum:].\n' '-')
phone shell "$folder/hetpart-profile" "$folder/bundle" "$folder/traces.json" --device "${device:-phone}" "$@"
phone pull "$folder/traces.json" "$traces"
phone shell rm -rf "$folder"
echo "next: hetpart profile MODEL --target TARGET --from-trace $traces, with what --emit-profiler was given"
