#!/bin/sh
# instrument.sh RUSTC ARGS...: what cargo calls for rustc in builds for libFuzzer. Only our own
# crates are instrumented: inputs shall find ways through them, and counting in others takes time.
# Tracing of comparisons would take as long as all the rest.
case "$*" in
*"--crate-name tas"*)
	# As `cargo fuzz` has it; a stable rustc takes it too.
	exec "$@" -Cpasses=sancov-module \
		-Cllvm-args=-sanitizer-coverage-level=4 \
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
		-Cllvm-args=-sanitizer-coverage-pc-table
	;;
esac
exec "$@"
