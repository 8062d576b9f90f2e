# Runs in the loader's shell, after the job arrived whole. The engine fills in the marked words.
unset IFS
# The shell's own remarks ("Killed", "Terminated") are no part of the job's output.
exec 3>&2 2>/dev/null
ulimit -H -n 65536
ulimit -S -n 16384
cr_end() {
  printf '\036%s 0 0 0 -\n' "$cr_n" >&3
  printf '\036%s %d %d %d %s\n' "$cr_n" "$1" "$2" "$3" "$4"
}
@files@
cr_i=$(command -v @interpreters@) || { cr_end 127 0 0 @missing@; exit 127; }
head -c @script_length@ "$cr_d/job" >/job/@script_name@
@prepare@
: >"$cr_d/job"
cd /job
(
  trap - TERM
  # A positional parameter: no variable of the job's environment can take its place.
  set -- "$cr_i"
@environment@
  exec "$1" @arguments@ @script_name@
) </dev/null 2>&3 3>&-
cr_c=$?
# Nothing of the job may write between its last line and the trailer: kill what is left, see it gone.
cr_t=0
while
  kill -KILL -1
  set -- /proc/[0-9]*
  [ $# -gt 2 ] && [ "$cr_t" -lt 500 ]
do
  cr_t=$((cr_t + 1))
done
cr_o=0
[ -f "$cr_d/outputs" ] && cr_o=$(wc -c <"$cr_d/outputs")
[ "$cr_o" -le @report_limit@ ] || cr_o=-1
cr_s=0
[ -f "$cr_d/conditions" ] && cr_s=$(wc -c <"$cr_d/conditions")
[ "$cr_s" -le @report_limit@ ] || cr_s=-1
cr_end "$cr_c" "$cr_o" "$cr_s" -
[ "$cr_o" -gt 0 ] && head -c "$cr_o" "$cr_d/outputs"
[ "$cr_s" -gt 0 ] && head -c "$cr_s" "$cr_d/conditions"
exit "$cr_c"
