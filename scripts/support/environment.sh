# shellcheck shell=bash
# Sourced by the scripts above and beside it, in the repository's folder: finds a Python, and makes what a script needs.
#
#   ensure_environment NAME REQUIREMENTS   a virtual environment .venv/NAME that holds exactly what the file
#                                          REQUIREMENTS pins; sets ENVIRONMENT_PYTHON, or says what is wrong
#                                          and ends the script
#
# A complete environment is used at once, without asking anything of the network. Any other (none yet,
# interrupted, of other requirements, of a Python that is gone) is made anew, under a lock.
# PYTHON=... chooses the interpreter; such an environment has its version in its name (.venv/NAME-3.13).

# For another script that makes the same environment: a slow line needs minutes, a stuck one must not hold us.
LOCK_WAIT_S=${LOCK_WAIT_S:-600}

say() { printf '%s\n' "$@" >&2; }

# die LINE...
die() {
    say "$@"
    exit 1
}

# python_can PYTHON STATEMENT: whether it runs, as 3.11 or later. A pyenv shim exists and may still not run.
python_can() {
    "$1" -I -c "import sys; assert sys.version_info >= (3, 11); $2" >/dev/null 2>&1
}

# Every interpreter worth asking, best first: 3.13 to 3.11 have a wheel of everything, a later one may not.
list_pythons() {
    if [ -n "${PYTHON:-}" ]; then
        printf '%s\n' "$PYTHON"
        return
    fi
    local name
    for name in python3.13 python3.12 python3.11 python3 python3.14 python; do
        type -aP "$name" || true
    done
    # pyenv's by their place: its shims refuse where .python-version names one that is not installed.
    for name in "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.*/bin/python3; do
        if [ -x "$name" ]; then printf '%s\n' "$name"; fi
    done
}

# Set PYTHON_FOUND, or say what to install.
find_python() {
    local candidate bare=""
    while IFS= read -r candidate; do
        if python_can "$candidate" "import ensurepip, venv"; then
            PYTHON_FOUND=$candidate
            return
        elif [ -z "$bare" ] && python_can "$candidate" ""; then
            bare=$candidate
        fi
    done < <(list_pythons)

    if [ -n "$bare" ]; then
        die "error: $bare cannot make virtual environments: its modules venv and ensurepip are missing." \
            "On Debian and Ubuntu: sudo apt install python3-venv"
    elif [ -n "${PYTHON:-}" ]; then
        die "error: PYTHON=$PYTHON is not a Python 3.11 or later that runs."
    fi
    die "error: no Python 3.11 or later found (looked for python3.13, 3.12, 3.11, python3, 3.14, python)." \
        "  Debian, Ubuntu:  sudo apt install python3 python3-venv" \
        "  macOS:           brew install python@3.13" \
        "  elsewhere:       from python.org, pyenv, or the system's packages" \
        "Then again; or name one: PYTHON=/path/to/python3 scripts/serve"
}

# pins FILE: what it asks for. Who asked for it is a comment, and installs nothing.
pins() { grep -v '^ *#' "$1"; }

# is_ready FOLDER REQUIREMENTS: complete, of these very pins, and its Python still sees what is installed.
is_ready() {
    [ -f "$1/installed.txt" ] && cmp -s <(pins "$1/installed.txt") <(pins "$2") &&
        "$1/bin/python" -I -c "import pip" 2>/dev/null
}

# Hold a lock until release_lock or our end, however we end: the lock is on the open file, which fd 9 keeps.
# Through Python, because macOS has no flock command; a folder as a lock would outlive a killed script.
hold_lock() {
    exec 9>"$1"
    "$PYTHON_FOUND" -I - "$LOCK_WAIT_S" "$1" <<'END' || exit 1
import fcntl, sys, time

ends_at = time.monotonic() + float(sys.argv[1])
told = False
while True:
    try:
        fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except BlockingIOError:
        if time.monotonic() > ends_at:
            sys.exit(f"error: another script has held {sys.argv[2]} for {sys.argv[1]} s; end it and try again.")
        if not told:
            print("Waiting for another script that is making the same environment.", file=sys.stderr)
            told = True
        time.sleep(0.2)
END
}

release_lock() { exec 9>&-; }

# build FOLDER REQUIREMENTS. installed.txt is written last: without it a folder is a ruin, and is made anew.
build() {
    local folder=$1 requirements=$2 version
    version=$("$PYTHON_FOUND" -c 'import platform; print(platform.python_version())')
    say "Making $folder (Python $version, $requirements): once, half a minute, more on a slow line."
    rm -rf "$folder"
    "$PYTHON_FOUND" -m venv "$folder" ||
        die "error: could not make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv"
    # Wheels only: installing runs nobody's code. No resolving: the file names everything, with hashes.
    # PIP_USER=0: a user's setting to install for themselves makes no sense in here, and pip would stop.
    PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 "$folder/bin/python" -m pip install --quiet \
        --require-hashes --only-binary :all: --no-deps -r "$requirements" ||
        die "error: could not install $requirements; pip's own words are above." \
            "  No connection? Set a proxy or a mirror as for any pip: HTTPS_PROXY, PIP_INDEX_URL, pip.conf." \
            "  No matching distribution? Python $version may be too new: PYTHON=python3.13 scripts/..." \
            "The next run starts afresh; there is nothing to clean up."
    cp "$requirements" "$folder/installed.txt"
}

ensure_environment() {
    local name=$1 requirements=$2 folder=.venv/$1
    PYTHON_FOUND=""
    if [ -n "${PYTHON:-}" ]; then
        find_python
        folder=.venv/$name-$("$PYTHON_FOUND" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fi
    if ! is_ready "$folder" "$requirements"; then
        [ -n "$PYTHON_FOUND" ] || find_python
        mkdir -p .venv
        hold_lock "$folder.lock"
        is_ready "$folder" "$requirements" || build "$folder" "$requirements" # made by another meanwhile?
        release_lock
    fi
    # shellcheck disable=SC2034  # for the script that sourced this
    ENVIRONMENT_PYTHON=$folder/bin/python
}
