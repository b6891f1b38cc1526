#!/usr/bin/env bash
# Runs fuzz targets under libFuzzer, all unless some are named.
#
#   fuzz/fuzz.sh build               builds them
#   fuzz/fuzz.sh run [TARGET...]     runs each for FUZZ_SECONDS (60)
#   fuzz/fuzz.sh minimize [TARGET...]   makes the committed corpora anew of what they hold and what
#                                    runs have found: the fewest and smallest inputs that reach as
#                                    much. Files with names that people gave stay
#   fuzz/fuzz.sh tally               what all runs made so far
#   fuzz/fuzz.sh TARGET FILE...      runs a target on single inputs
#
# In target/fuzz: found/TARGET has the inputs found so far, with which runs begin, crashes/TARGET
# those that make a target fail, logs/TARGET what the last run printed, tally.tsv a line per run.
# FUZZ_ARGS has further options of libFuzzer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DIR=$PWD/target/fuzz
CRATE=fuzz/libfuzzer
SECONDS_EACH=${FUZZ_SECONDS:-60}
read -ra EXTRA <<<"${FUZZ_ARGS:-}"

BIN=$DIR/release

# gcc's leak sanitizer: libFuzzer asks it when an input freed less than it took.
LSAN=$(${CC:-gcc} -print-file-name=liblsan.so)
[[ -e $LSAN ]] || { echo 'fuzz: no liblsan.so, leaks go unnoticed' >&2; LSAN=; }

build() {
	CARGO_TARGET_DIR=$DIR RUSTC_WRAPPER=$PWD/fuzz/instrument.sh cargo build ${CARGOFLAGS:-} --release \
		--manifest-path $CRATE/Cargo.toml
}

all_targets() {
	basename -s .rs -a $CRATE/src/bin/*.rs
}

# run_target TARGET LIBFUZZER_ARGS...
run_target() {
	local target=$1
	shift
	local args=(-timeout=20 -rss_limit_mb=1024 "-artifact_prefix=$DIR/crashes/$target/")
	case $target in
	options)
		args+=(-max_len=60)
		;;
	frames)
		args+=(-max_len=1600)
		;;
	command_line)
		# The documentation is generated of the options, so it knows them all.
		grep -oE -- '--[a-z0-9-]+' doc/options.md | sort -u | sed 's/.*/"&"/' >"$DIR/command_line.dict"
		args+=("-dict=$DIR/command_line.dict")
		;;
	application | icmp | network | service)
		# Each run is long and reaches much, of which entropic scheduling would keep count.
		args+=(-len_control=0 -max_len=1000 -entropic=0)
		;;
	*)
		# Sequences of steps: long ones from the beginning.
		args+=(-len_control=0 -max_len=1000)
		;;
	esac
	LD_PRELOAD=$LSAN "$BIN/$target" "${args[@]}" "$@"
}

run() {
	local target=$1 log=$DIR/logs/$1 status=0
	run_target "$target" "-max_total_time=$SECONDS_EACH" -print_final_stats=1 "${EXTRA[@]}" \
		"$DIR/found/$target" "fuzz/corpus/$target" >"$log" 2>&1 || status=$?
	local runs cov
	runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
	cov=$(sed -n 's/.* cov: \([0-9]*\) ft: \([0-9]*\) .*/\1\t\2/p' "$log" | tail -n 1)
	[[ $status = 0 ]] || tail -n 40 "$log"
	printf '%s\t%s\t%s\t%s\t%s\n' "$(date -u +%FT%TZ)" "$target" "${runs:-0}" "${cov:-0	0}" "$status" |
		tee -a "$DIR/tally.tsv"
	return "$status"
}

minimize() {
	local target=$1 corpus=fuzz/corpus/$1 new=$DIR/minimized/$1
	rm -rf "$new"
	mkdir -p "$new" "$corpus"
	run_target "$target" -merge=1 -use_counters=0 "${EXTRA[@]}" "$new" "$corpus" "$DIR/found/$target" \
		>"$DIR/logs/$target.merge" 2>&1 || { tail -n 20 "$DIR/logs/$target.merge"; return 1; }
	find "$corpus" -type f -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
	cp "$new"/* "$corpus"
	echo "$target: $(find "$corpus" -type f | wc -l) inputs, $(du -bs "$corpus" | cut -f 1) bytes"
}

tally() {
	awk -F '\t' '{ runs[$2] += $3; cov[$2] = $4; fail[$2] += $6 != 0; all += $3 }
		END { for (t in runs) print t, runs[t], cov[t], fail[t]; print "total", all, "", "" }' \
		"$DIR/tally.tsv" | sort | column -t -N target,executions,edges,failed_runs
}

command=${1:?run, minimize, build, tally, or a target}
shift
mkdir -p "$DIR/logs"
for target in $(all_targets); do
	mkdir -p "$DIR/crashes/$target" "$DIR/found/$target"
done
case $command in
build)
	build
	;;
run | minimize)
	build
	failed=0
	for target in ${*:-$(all_targets)}; do
		"$command" "$target" || failed=1
	done
	exit $failed
	;;
tally)
	tally
	;;
*)
	build
	run_target "$command" "$@"
	;;
esac
