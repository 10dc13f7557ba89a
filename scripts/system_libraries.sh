#!/bin/sh
# Looks for the system libraries that the window (Qt's xcb platform, OpenGL), mesh export and the tests need.
# Installs what is missing where apt-get is there and may be used; otherwise names it in one sentence. Never fails the build:
# everything that needs no window works without them.
set -u

# soname (or command) : Debian package. The list is what ldd asks for on Qt 6's xcb plugin and on Open3D, less what libc brings.
NEEDED="
libGL.so.1:libgl1
libEGL.so.1:libegl1
libX11.so.6:libx11-6
libX11-xcb.so.1:libx11-xcb1
libxkbcommon-x11.so.0:libxkbcommon-x11-0
libxcb-cursor.so.0:libxcb-cursor0
libxcb-icccm.so.4:libxcb-icccm4
libxcb-image.so.0:libxcb-image0
libxcb-keysyms.so.1:libxcb-keysyms1
libxcb-randr.so.0:libxcb-randr0
libxcb-render-util.so.0:libxcb-render-util0
libxcb-shape.so.0:libxcb-shape0
libxcb-shm.so.0:libxcb-shm0
libxcb-sync.so.1:libxcb-sync1
libxcb-xfixes.so.0:libxcb-xfixes0
libxcb-xkb.so.1:libxcb-xkb1
libxcb-glx.so.0:libxcb-glx0
libdbus-1.so.3:libdbus-1-3
libfontconfig.so.1:libfontconfig1
libglib-2.0.so.0:libglib2.0-0
libidn2.so.0:libidn2-0
libudev.so.1:libudev1
libusb-1.0.so.0:libusb-1.0-0
Xvfb:xvfb
xauth:xauth
"

[ "$(uname -s)" = Linux ] || exit 0
PATH="$PATH:/sbin:/usr/sbin"
known=$(ldconfig -p 2>/dev/null || true)

present() {
    case "$1" in
        lib*) printf '%s' "$known" | grep -q "[[:space:]]$1 " ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

packages=""
for entry in $NEEDED; do
    present "${entry%%:*}" || packages="$packages ${entry#*:}"
done
# Mesa's software renderer has no soname of its own: it is looked for by its driver folder.
drivers=""
for driver in /usr/lib/*/dri/swrast_dri.so /usr/lib/*/dri/libdril_dri.so /usr/lib*/dri/swrast_dri.so; do
    if [ -e "$driver" ]; then drivers=$driver; fi
done
[ -n "$drivers" ] || packages="$packages libgl1-mesa-dri"
[ -n "${EXTRA_PACKAGES:-}" ] && packages="$packages $EXTRA_PACKAGES"
packages=$(echo $packages)
[ -z "$packages" ] && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    as_root="no"
fi

if command -v apt-get >/dev/null 2>&1 && [ "$as_root" != no ]; then
    echo "Installing system libraries: $packages"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $packages; } >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -n 3 "$log" >&2
    rm -f "$log"
fi
echo "These system libraries are missing and could not be installed from here, so windows and their tests may not start: $packages (on Debian: sudo apt-get install $packages)." >&2
exit 0
