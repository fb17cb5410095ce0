#!/bin/bash
# A cell of {{experiment}}, as a task of an array: cell.sh LIST LINES-BEFORE [OPTION of stein run]...
{{directives}}
list=$1 line=$((${SLURM_ARRAY_TASK_ID:?sbatch --array sets it} + $2 + 1))
shift 2
cell=$(sed -n "${line}p" "$list")
if [ -z "$cell" ]; then
    echo "$list has no line $line" >&2
    exit 1
fi
log={{folder}}/$cell/log.txt
mkdir -p "${log%/*}"
echo "cell $cell: $log"

{{setup}}: "${RAYON_NUM_THREADS:=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}}"
export RAYON_NUM_THREADS

# Slurm signals this script; a trap ends `wait` early, so it waits again.
limit= stein=
ask() {
    again=1
    [ -n "$stein" ] || exit 143
    kill -s "$1" "$stein" 2>/dev/null
}
trap 'limit=1; ask USR1' USR1
trap 'ask TERM' TERM
{{run}} "$@" -- {{file}} >>"$log" 2>&1 </dev/null &
stein=$!
again=1
while [ -n "$again" ]; do
    again=
    wait "$stein"
    code=$?
done

# Before the time limit comes SIGUSR1, and stein has saved a checkpoint. A job that Slurm preempts it queues again itself.
if [ -n "$limit" ] && [ "$code" -gt 128 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt {{requeues}} ]; then
    echo "cell $cell: its time was over; it is queued again"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
