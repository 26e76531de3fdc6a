#!/usr/bin/env bash
# Runs every check and every test: formatting, vet, staticcheck, govulncheck,
# and the tests with the race detector, in a real browser, with the official
# SDKs, with command-line clients (Claude Code, Gemini CLI, Qwen Code, Codex)
# and, where it is to be had, against a real Ollama server.
#
#   bash scripts/test.sh
#
# It needs Go and a C compiler. Chromium and Node.js are installed as Debian
# packages when it runs as root; otherwise the command to type is printed.
#
# BREAKWATER_TESTDATA names the folder with recorded traffic, the Ollama kit and
# benchmark data; ../shared by default. What is not there is skipped, and said.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

command -v go >/dev/null || die "Go is missing: https://go.dev/doc/install"
command -v "${CC:-gcc}" >/dev/null || die "A C compiler is missing (SQLite is built with it): apt-get install gcc libc6-dev"
export CGO_ENABLED=1
export BREAKWATER_TESTDATA=${BREAKWATER_TESTDATA:-$(cd .. && pwd)/shared}

say "Programs that the tests use"
wanted=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || wanted+=(chromium)
command -v node >/dev/null || wanted+=(nodejs)
command -v npm >/dev/null || wanted+=(npm)
if ((${#wanted[@]})); then
	if ! command -v apt-get >/dev/null; then
		echo "Not found, so their tests will be skipped: ${wanted[*]}"
	elif [[ $(id -u) == 0 ]]; then
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" fonts-dejavu-core >/dev/null
	else
		die "Not found: ${wanted[*]}. Type: sudo apt-get install ${wanted[*]}"
	fi
fi
if command -v ollama >/dev/null; then
	echo "Ollama: $(command -v ollama)"
elif [[ -x $BREAKWATER_TESTDATA/ollama-kit/start-ollama ]]; then
	echo "Ollama: built once from the kit; the first time takes minutes"
	"$BREAKWATER_TESTDATA/ollama-kit/start-ollama" --build-only
else
	echo "Ollama: neither on the PATH nor in $BREAKWATER_TESTDATA; its tests will be skipped"
fi
# packages installs those of a folder, unless they are there as its lock file has
# them: those of test/cli are 400 MB to download and 1 GB on disk. What they
# would run at their installation is not needed there.
packages() {
	local folder=$1
	shift
	[[ $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]] && return
	echo "Packages of $folder: installed once; that takes a minute or two"
	npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error "$@" ||
		die "npm could not install the packages of $folder; the reason is above. It asks $(npm config get registry): try again when that can be reached, or take npm off the PATH to skip their tests."
}
if command -v npm >/dev/null; then
	packages test/js
	packages test/cli --ignore-scripts
fi

say "Formatting"
unformatted=$(gofmt -l $(git ls-files '*.go'))
[[ -z $unformatted ]] || die "gofmt would change: $unformatted"

say "go vet"
go vet ./...
go vet -C test/sdk ./...

say "staticcheck"
go tool -modfile=tools/go.mod staticcheck ./...

say "govulncheck"
# It asks a database on the network; that it cannot be reached is no fault of the code.
if ! report=$(go tool -modfile=tools/go.mod govulncheck ./... 2>&1); then
	if grep -qiE 'no such host|dial tcp|connection refused|timeout|fetching vulnerabilit|Forbidden|proxyconnect' <<<"$report"; then
		echo "skipped: the vulnerability database cannot be reached"
	else
		die "$report"
	fi
fi

say "Tests"
go test -race -timeout 15m ./...
say "All is well"
