#!/bin/sh
# aa-audit beside libapparmor's parse_record, on the same record and one core: records a second, and the ratio. The two
# run in turns, processor time counts and of that each one's best round, so that a busy machine disturbs little.
# Needs a C compiler and libapparmor's headers (Debian: apt-get install gcc libapparmor-dev); for headers and library
# elsewhere set CPPFLAGS and LDFLAGS. Exits with 1 where aa-audit is less than three times as fast.
set -eu

rounds=10
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# shellcheck disable=SC2086 # flags are words
${CC:-cc} -O2 ${CPPFLAGS:-} -o "$work/libapparmor" "$here/libapparmor.c" ${LDFLAGS:-} -lapparmor || {
	echo "compare.sh: cannot build against libapparmor; install gcc and libapparmor-dev" >&2
	exit 2
}
# The line that cargo writes for each benchmark it built: `  Executable benches/rate.rs (PATH)`.
cargo bench --manifest-path "$here/../Cargo.toml" --bench rate --no-run 2>"$work/build" || {
	cat "$work/build" >&2
	exit 2
}
rate=$(sed -n 's/.*Executable.*(\(.*\))$/\1/p' "$work/build")

record=$(cat "$here/denial.txt")
for _ in $(seq "$rounds"); do
	echo "theirs $(taskset -c 0 "$work/libapparmor" "$record")"
	echo "ours $(taskset -c 0 "$rate" "$record")"
done | awk '
	$2 > best[$1] { best[$1] = $2 + 0 }
	END {
		if (!best["ours"] || !best["theirs"]) exit 2
		ratio = best["ours"] / best["theirs"]
		printf "aa-audit     %9d records/s\nlibapparmor  %9d records/s\nratio        %9.1f\n", best["ours"], best["theirs"], ratio
		exit ratio < 3
	}'
