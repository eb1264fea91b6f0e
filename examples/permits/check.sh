#!/usr/bin/env bash
# Works out the figures of the projection `permits` by other means and compares them
# with what a running host answers.
#
#   check.sh PATH [URL]     PATH: the imported events, JSON lines, perhaps gzipped
#
# Needs jq and curl. Exit code: 0 they agree, 1 they differ, 2 usage.
set -euo pipefail

if [[ $# -lt 1 || ! -r $1 ]]; then
  echo "usage: $0 PATH [URL]" >&2
  exit 2
fi
path=$1
url=${2:-http://127.0.0.1:7711}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

events() {
  case $path in
    *.gz) zcat -- "$path" ;;
    *) cat -- "$path" ;;
  esac
}

# All rows of a table, one a line, sorted.
rows() {
  local after= page
  while
    page=$(curl -fsS --get "$url/v1/projections/permits/tables/$1" \
      --data limit=500 ${after:+--data-urlencode "after=$after"})
    jq -cS '.rows[]' <<<"$page"
    after=$(jq -r '.next // empty' <<<"$page")
    [[ -n $after ]]
  do :; done
}

compare() {
  sort "$work/expected" -o "$work/expected"
  sort "$work/actual" -o "$work/actual"
  if ! diff "$work/expected" "$work/actual" >"$work/diff"; then
    echo "$1: they differ (< worked out, > answered by the host)" >&2
    head -20 "$work/diff" >&2
    exit 1
  fi
  echo "$1: $(wc -l <"$work/expected") rows agree"
}

events | jq -cS '[.aggregate_id, .aggregate_version, .event_timestamp, .event_data]' | jq -csS '
  def micros: (.[0:19] + "Z" | fromdateiso8601) * 1000000 + (.[20:26] | tonumber);
  group_by(.[0])[] | sort_by(.[1]) | first as $first | last as $last | {
    id: $first[0],
    channel: $first[3].channel,
    last_activity: $last[3].activity,
    responsible: $last[3].responsible,
    steps: length,
    first_at: $first[2],
    last_at: $last[2],
    duration_seconds: ((($last[2] | micros) - ($first[2] | micros)) / 1000000 | floor)
  }' >"$work/expected"
rows permits >"$work/actual"
compare permits

events | jq -c '[.event_type, .event_data.activity]' | jq -csS '
  group_by(.[0])[] | { event_type: .[0][0], name: .[0][1], count: length }' >"$work/expected"
rows activities >"$work/actual"
compare activities
