# What a Bash script can say to Cronium. These functions are simply there.
#
#   cronium_input                    everything that was handed to this run, as JSON
#   cronium_input name [fallback]    one value of it (needs jq or python3)
#   cronium_output rows 42           one named result, a text; --json rows 42 for a JSON value
#   cronium_output '{"rows": 42}'    several at once
#   cronium_set_condition ok         a condition that later steps can ask for; a second word: true or false
#   cronium_event                    what runs here, as JSON

_cronium_quote() {
  local LC_ALL=C text=${1-} i code hex
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  text=${text//$'\t'/\\t}
  case $text in
    *[$'\001'-$'\037']*)
      for ((i = 1; i < 32; i++)); do
        printf -v hex '\\x%02x' "$i"
        printf -v hex '%b' "$hex"
        printf -v code '\\u%04x' "$i"
        text=${text//"$hex"/$code}
      done
      ;;
  esac
  _cronium_quoted=\"$text\"
}

_cronium_report() {
  if [ -d "${CRONIUM_DIR:-/run/cronium}" ]; then
    printf '%s\n' "$2" >>"${CRONIUM_DIR:-/run/cronium}/$1"
  fi
}

cronium_input() {
  local file=${CRONIUM_DIR:-/run/cronium}/inputs.json
  if [ $# -eq 0 ]; then
    if [ -f "$file" ]; then cat "$file" && echo; else echo '{}'; fi
    return
  fi
  if [ ! -f "$file" ]; then
    printf '%s\n' "${2-}"
  elif command -v jq >/dev/null 2>&1; then
    jq -r --arg name "$1" --arg fallback "${2-}" \
      'if type == "object" and has($name) then .[$name] else $fallback end' "$file"
  elif command -v python3 >/dev/null 2>&1; then
    python3 -c 'import json, sys
v = json.load(open(sys.argv[1])); v = v.get(sys.argv[2], sys.argv[3]) if isinstance(v, dict) else sys.argv[3]
print(v if isinstance(v, str) else json.dumps(v))' "$file" "$1" "${2-}"
  else
    echo "cronium_input: this image has neither jq nor python3; read the whole JSON with cronium_input" >&2
    return 1
  fi
}

cronium_output() {
  local _cronium_quoted kind=text name
  if [ "${1-}" = --json ]; then
    kind=json
    shift
  fi
  if [ $# -eq 0 ]; then
    echo "usage: cronium_output [--json] NAME VALUE, or cronium_output JSON" >&2
    return 2
  fi
  if [ $# -eq 1 ]; then
    _cronium_quote "$1"
    _cronium_report outputs "{\"guess\": $_cronium_quoted}"
    return
  fi
  _cronium_quote "$1"
  name=$_cronium_quoted
  shift
  _cronium_quote "$*"
  _cronium_report outputs "{\"name\": $name, \"$kind\": $_cronium_quoted}"
}

cronium_set_condition() {
  local _cronium_quoted name=${1:-condition} value=${2-true}
  case $name in
    true | false)
      value=$name
      name=condition
      ;;
  esac
  case $value in
    true | 1 | yes) value=true ;;
    false | 0 | no) value=false ;;
    *)
      echo "cronium_set_condition: the second word is true or false (or 1, 0, yes, no), not: ${value:0:100}" >&2
      return 2
      ;;
  esac
  _cronium_quote "$name"
  _cronium_report conditions "{\"name\": $_cronium_quoted, \"value\": $value}"
}

cronium_event() {
  if [ -f "${CRONIUM_DIR:-/run/cronium}/event.json" ]; then
    cat "${CRONIUM_DIR:-/run/cronium}/event.json" && echo
  else
    echo '{}'
  fi
}

if [ -n "${CRONIUM_USER_BASH_ENV-}" ] && [ -f "$CRONIUM_USER_BASH_ENV" ]; then
  . "$CRONIUM_USER_BASH_ENV"
fi
