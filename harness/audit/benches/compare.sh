#!/bin/sh
# aa-audit beside libapparmor's parse_record, on the same record and one core: records a second, and the ratio.
# Needs a C compiler and libapparmor's headers (Debian: apt-get install gcc libapparmor-dev); for headers and library
# elsewhere set CPPFLAGS and LDFLAGS. Exits with 1 where aa-audit is less than three times as fast.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# shellcheck disable=SC2086 # flags are words
${CC:-cc} -O2 ${CPPFLAGS:-} -o "$work/libapparmor" "$here/libapparmor.c" ${LDFLAGS:-} -lapparmor || {
	echo "compare.sh: cannot build against libapparmor; install gcc and libapparmor-dev" >&2
	exit 2
}
theirs=$(taskset -c 0 "$work/libapparmor" "$(cat "$here/denial.txt")")

taskset -c 0 cargo bench --quiet --manifest-path "$here/../Cargo.toml" --bench parse -- 'record/file-denial$' \
	--noplot >"$work/ours" || {
	cat "$work/ours" >&2
	exit 2
}
# criterion's `thrpt:  [LOW UNIT MIDDLE UNIT HIGH UNIT]`
ours=$(awk '/thrpt:/ && !seen++ {
	scale = $5 == "Melem/s" ? 1e6 : $5 == "Kelem/s" ? 1e3 : 1
	printf "%.0f", $4 * scale
}' "$work/ours")
[ -n "$ours" ] || {
	echo "compare.sh: no figure in the output of the benchmark" >&2
	exit 2
}

awk -v ours="$ours" -v theirs="$theirs" 'BEGIN {
	printf "aa-audit     %9d records/s\nlibapparmor  %9d records/s\nratio        %9.1f\n", ours, theirs, ours / theirs
	exit ours < 3 * theirs
}'
