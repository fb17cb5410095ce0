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
# Under another name, if the sweep had other axes when its folder was made: the digits are the same.
folder={{folder}}/$cell
for other in {{folder}}/*-"${cell##*-}"; do
    [ -d "$folder" ] || [ ! -d "$other" ] || folder=$other
done
log=$folder/log.txt
mkdir -p "$folder"
echo "cell $cell: $log"

{{setup}}# A `set -e` of the lines above would end this script where a signal ends `wait`.
set +eu
: "${RAYON_NUM_THREADS:=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}}"
export RAYON_NUM_THREADS

# Slurm signals this script; a trap ends `wait` early, so it waits again.
why= stein=
ask() {
    again=1 why="stopped by SIG$1"
    [ -n "$stein" ] || exit 143
    kill -s "$1" "$stein" 2>/dev/null || :
}
trap 'ask USR1' USR1
trap 'ask TERM' TERM
{{run}} "$@" -- {{file}} >>"$log" 2>&1 </dev/null &
stein=$!
again=1
while [ -n "$again" ]; do
    again= code=0
    wait "$stein" || code=$?
done
trap '' USR1 TERM

# The controller may be away for a moment.
slurm() {
    scontrol "$@" || { sleep 1; scontrol "$@"; } || { sleep 5; scontrol "$@"; }
}
# The last task of an array has the array's number for its own, which would be all tasks.
task=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}_$SLURM_ARRAY_TASK_ID
queue_again() {
    if [ "${SLURM_RESTART_COUNT:-0}" -ge {{requeues}} ]; then
        echo "cell $cell: $why; not queued again: requeues = {{requeues}} are spent" >&2
    elif slurm requeue "$task"; then
        echo "cell $cell: $why; it is queued again"
    else
        echo "cell $cell: $why; it could not be queued again" >&2
    fi
}
# Before the time limit comes SIGUSR1, and stein has saved a checkpoint. What Slurm preempts or somebody requeues it queues again
# itself, unless it ends within the GraceTime of its preemption: then it still runs, as far as Slurm knows. What scancel ends does not.
if [ -n "$why" ] && [ "$code" -gt 128 ]; then
    if state=$(slurm show job "$task"); then
        case $state in
        *JobState=RUNNING* | *Reason=TimeLimit*) queue_again ;;
        esac
    else
        echo "cell $cell: $why; it could not be queued again" >&2
    fi
fi
exit "$code"
