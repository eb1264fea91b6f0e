#!/usr/bin/env bash
# A projection is changed again and again, while events are appended and its table is
# read all the time. In the end the readers' logs say whether they noticed.
#
# Takes about a minute after the first build. Needs bash, curl, awk, cargo, and
# `fantascope` on the path or in target/release.
# Exit code: 0 the promise held, 1 it did not or something failed, 2 something is missing.
set -euo pipefail

readonly READERS=3 SHOWS=12 ROUNDS=40
export NO_COLOR=1
here=$(cd "$(dirname "$0")" && pwd)

# What must be there.

missing() {
  echo "missing: $1" >&2
  exit 2
}

for program in curl awk cargo; do
  command -v "$program" >/dev/null || missing "$program"
done
built=${CARGO_TARGET_DIR:-$here/../../target}/release/fantascope
fantascope=$(command -v fantascope || echo "$built")
[[ -x $fantascope ]] || missing "fantascope: run \`cargo build --release\` in the folder of the sources"

# Nothing is left behind, but the logs if something went wrong.

work=$(mktemp -d)
crowd=() host=''

dismiss_crowd() {
  touch "$work/stop"
  [[ ${#crowd[@]} == 0 ]] || wait "${crowd[@]}" || true
  crowd=()
}

clean_up() {
  local status=$?
  trap '' INT TERM
  dismiss_crowd
  if [[ $host ]]; then
    kill "$host" 2>/dev/null || true
    wait "$host" || true
  fi
  case $status in
    0 | 130 | 143) rm -rf "$work" ;;
    *)
      echo "Something went wrong. All logs are in $work" >&2
      exit 1
      ;;
  esac
}
trap clean_up EXIT
trap 'echo >&2; exit 130' INT
trap 'exit 143' TERM

# How the story is told.

step=0
tell() {
  step=$((step + 1))
  printf '\n%d. %s\n' "$step" "$1"
}

cli() {
  "$fantascope" --server "$url" "$@"
}

# Runs a command for all to see.
show() {
  echo "   \$ fantascope $*"
  cli "$@" 2>&1 | sed 's/^/     /'
}

# What a reader gets, and how all of them fare.
look() {
  sleep "$1"
  printf '   a reader gets   %s\n' "$(curl -fsS "$table?show=show-01" | grep -o '{"show[^}]*}')"
  awk '/^[0-9]/ { reads++; if ($1 != 200) failed++ }
    END { printf "   readers so far  %d reads, %d without an answer\n", reads, failed }' reader-*
}

# How far a version is that is being built, once a second.
follow_backfill() {
  local line
  while line=$(cli projection list | grep " $1 ") && [[ $line == *rebuilding* || $line == *stuck* ]]; do
    echo "     $line"
    sleep 1
  done
}

# Those who append and those who read, over connections that are kept.

append() {
  curl -sS -o /dev/null -w '%{http_code}\n' --max-time 10 -H 'Content-Type: application/json' -d "@$1" \
    "$url/v1/aggregates/Show/$2"
}

appender() {
  while [[ ! -e stop ]]; do
    append sale.json "show-[01-$SHOWS]/events" >>appends 2>>faults || true
    sleep 0.05
  done
}

# What stands behind the `#` is not sent: curl asks for the same thing 20 times.
reader() {
  while [[ ! -e stop ]]; do
    curl -sS -w '\n%{http_code} %{time_total}\n' --max-time 10 "$table#[1-20]" >>"$1" 2>>faults || true
    sleep 0.05
  done
}

# The plugins.

echo "Building four versions of the projection \`box_office\` …"
for version in v1 v1-mended v2 v3; do
  if ! "$fantascope" --quiet build "$here/$version" >"$work/built" 2>"$work/cargo"; then
    cat "$work/cargo" >&2
    exit 1
  fi
  cp "$(cat "$work/built")" "$work/box_office-$version.wasm"
done

# The host. A backfill may use 5 % of its time only, so that there is something to watch.

cd "$work"
mkdir plugins
cat >fantascope.toml <<'END'
[store]
url = "sqlite:store.sqlite"
[plugins]
dir = "plugins"
cache = "cache"
[limits]
backfill_percent_max = 5
END
"$fantascope" serve --listen 127.0.0.1:0 >host.log 2>&1 &
host=$!
until url=$(grep -o 'http://[0-9.:]*' host.log); do
  if ! kill -0 "$host" 2>/dev/null; then
    cat host.log >&2
    exit 1
  fi
  sleep 0.1
done
table=$url/v1/projections/box_office/tables/shows

# The history: a thousand events at a time, of which every tenth is a return. In the
# middle of it is a show that was called off, so all of its tickets came back.

sold='{"event_type": "TicketsSold", "event_data": {"tickets": 2, "children": 1, "cents": 1500}}'
one_back='{"event_type": "TicketsReturned", "event_data": {"tickets": 1, "cents": 750}}'
both_back='{"event_type": "TicketsReturned", "event_data": {"tickets": 2, "cents": 1500}}'
{
  printf '{"events": ['
  for _ in {1..100}; do
    for _ in {1..9}; do printf '%s,\n' "$sold"; done
    printf '%s,\n' "$one_back"
  done
} | sed '$ s/,$/]}/' >history.json
echo "{\"events\": [$sold, $one_back]}" >sale.json
echo "{\"events\": [$sold, $both_back]}" >called-off.json

echo "The host is at $url. Appending a history of $((SHOWS * ROUNDS * 1000 + 2)) events …"
{
  append history.json "show-[01-$SHOWS]/events#[1-$((ROUNDS / 2))]"
  append called-off.json called-off/events
  append history.json "show-[01-$SHOWS]/events#[1-$((ROUNDS / 2))]"
} >history
[[ $(sort -u history) == 201 ]]
sold_before=$((SHOWS * ROUNDS * 900 * 2 + 2))

# The story.

tell "Version 1 is the first, so it is live at once."
show plugin deploy box_office-v1.wasm --wait
echo "   From now on tickets are sold, and $READERS readers ask for the table all the time."
: >appends
appender &
crowd+=($!)
for number in $(seq "$READERS"); do
  : >"reader-$number"
  reader "reader-$number" &
  crowd+=($!)
done
look 3

tell "Version 1 is mended. Code that makes the same rows goes on where the old one stood."
show plugin deploy box_office-v1-mended.wasm
look 3

tell "Version 2 has one more column. It folds the history, and version 1 stays live meanwhile."
show plugin deploy box_office-v2.wasm --promote manual
follow_backfill v2
show projection list
look 0

tell "Before anybody relies on it, it is compared with version 1 at the same position."
show projection verify box_office
look 0

tell "Version 2 goes live, and readers get the new column."
show projection promote box_office
look 3

tell "Somebody has second thoughts: back to version 1, which was kept up to date."
show projection rollback box_office
look 3

tell "And forth again."
show projection promote box_office
look 3

tell "Version 3 is to go live once it is ready. It fails before, at an event that the host names."
show plugin deploy box_office-v3.wasm --promote ready
follow_backfill v3
show projection list
look 3

tell "Version 3 is cancelled, and its tables are dropped. No reader ever saw them."
show projection cancel box_office --version 3 --yes
show projection list
look 0

tell "What the host noted of all this, the latest first."
show operations list

tell "The appender and the readers stop. What do their logs say?"
dismiss_crowd
appended=$(grep -c '^201' appends)
expected=$((sold_before + appended * 2))
sum_sold() { curl -fsS "$table" | grep -o '"sold":[0-9]*' | awk -F: '{ sum += $2 } END { print sum }'; }
for _ in {1..100}; do
  [[ $(sum_sold) == "$expected" ]] && break
  sleep 0.1
done

awk -v shows=$((SHOWS + 1)) -v expected="$expected" -v found="$(sum_sold)" \
  -v appends="$(grep -c . appends)" -v appended="$appended" '
  function version_of(row) {
    return row ~ /"cents_per_visitor":/ ? "v3" : row ~ /"children":/ ? "v2" : "v1"
  }

  FNR == 1 { version = "" }

  # An answer, in one line. Then comes a line with its status and how long it took.
  /^[{]"rows":/ {
    answers++
    count = split($0, rows, /[}],[{]/)
    if (count != shows) incomplete++
    before = version
    version = version_of(rows[1])
    if (version != before) path[FILENAME] = path[FILENAME] (before == "" ? "" : " → ") version
    is_mixed = 0
    for (i = 1; i <= count; i++) {
      if (version_of(rows[i]) != version) is_mixed = 1
      split(substr(rows[i], index(rows[i], "\"show\"")), cells, /[",:{}]+/)
      show = FILENAME " " cells[3]
      fall = sold[show] - cells[5]
      if (fall > 0 && version == before) fallen++
      if (fall > 0 && version != before) fallen_at_switch++
      sold[show] = cells[5]
    }
    mixed += is_mixed
  }

  /^[0-9]/ {
    reads++
    if ($1 != 200) failed++
    if ($2 > slowest) slowest = $2
  }

  function line(what, value) { printf "   %-48s %s\n", what, value }

  function check(what, value, wanted) {
    line(what, value == wanted ? value : value "   <- NOT AS PROMISED: " wanted)
    if (value != wanted) is_broken = 1
  }

  END {
    line("reads", reads)
    line("the slowest took", sprintf("%.0f ms", slowest * 1000))
    check("without an answer", failed + 0, 0)
    check("with rows missing", incomplete + reads - failed - answers, 0)
    check("with rows of two versions", mixed + 0, 0)
    check("counts that fell while a version was live", fallen + 0, 0)
    # Each version commits for itself, so one may be an append behind the other.
    check("counts that fell when another went live", fallen_at_switch + 0, 0)
    for (i = 1; i < ARGC; i++) check("versions that " ARGV[i] " saw", path[ARGV[i]], "v1 → v2 → v1 → v2")
    line("appends", appends)
    check("that were acknowledged", appended, appends)
    check("tickets sold, as the table has it in the end", found, expected)
    print is_broken ? "\nThe promise did NOT hold." : "\nThe promise held: nobody noticed."
    exit is_broken
  }' reader-*
