# The functions of jq that are written in jq. Recursion counts steps with `_tick`; recursion that
# is not a tail call also counts stack with `_guard`, by levels of terms. Definitions may only use earlier ones.

def error(message): (message | error) as $never | .;
def select(f): if f then . else empty end;
def values: select(. != null);
def nulls: select(. == null);
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");
def iterables: select(type | . == "array" or . == "object");
def scalars: select(type | . != "array" and . != "object");
def isfinite: type == "number" and (isinfinite | not);
def finites: select(isfinite);
def normals: select(isnormal);
def isvalid(f): try (f | true) catch false;

def map(f): [.[] | f];
def map_values(f): .[] |= first(f);
def add(f): reduce f as $x (null; . + $x);
def flatten: flatten(1e9);
def in(xs): . as $x | xs | has($x);
def inside(xs): . as $x | xs | contains($x);
def with_entries(f): to_entries | map(f) | from_entries;

def range($upto): range(0; $upto; 1);
def range($from; $upto): range($from; $upto; 1);
def repeat(f): def again: _tick | (f, again); again;
def recurse(f): def again: _tick | (., (f | again)); again;
def recurse(f; condition): def again: _tick | (., (f | select(condition) | again)); again;
def recurse: recurse(.[]?);
def recurse_down: recurse;
def while(condition; update): def again: _tick | if condition then ., (update | again) else empty end; again;
def until(condition; update): def again: _tick | if condition then . else update | again end; again;
def limit($n; f): if $n > 0 then _limit($n; f) elif $n == 0 then empty else f end;
def skip($n; f): if $n < 0 then error("Out of bounds negative skip count") else _skip($n; f) end;
def first: .[0];
def last: .[-1];
def nth($n): .[$n];
def nth($n; f): if $n < 0 then error("Out of bounds negative array index") else first(_skip($n; f)) end;
def isempty(f): first((f | false), true);
def any(f; condition): first((f | if condition then true else empty end), false);
def all(f; condition): first((f | if condition then empty else false end), true);
def any(condition): any(.[]; condition);
def all(condition): all(.[]; condition);
def any: any(.[]; .);
def all: all(.[]; .);

def sort_by(f): _charge | _sort_by(f);
def group_by(f): _charge | _group_by(f);
def unique_by(f): [group_by(f)[] | .[0]];
def unique: unique_by(.);
def min_by(f): first((_charge | _min_by(f)), null);
def max_by(f): first((_charge | _max_by(f)), null);
def min: min_by(.);
def max: max_by(.);
def index($part): indices($part) | if . == null then null else .[0] end;
def rindex($part): indices($part) | if . == null then null else .[-1] end;
def combinations:
  if length == 0 then [] else .[0][] as $head | (.[1:] | _guard(12; combinations)) as $tail | [$head] + $tail end;
def combinations($n): . as $row | [range($n) | $row] | combinations;
def walk(f): _walk(f);

def getpath($path): reduce $path[] as $step (.; .[$step]);
def paths: path(..) | select(length > 0);
def paths(f): path(.. | select(f)) | select(length > 0);
def leaf_paths: paths(scalars);
def del(f): delpaths([path(f)]);
def pick(f): . as $whole | reduce path(f) as $path (null; setpath($path; $whole | getpath($path)));
def _assign(places; $value): reduce path(places) as $path (.; setpath($path; $value));

def tostream: _stream[];
def fromstream(events):
  foreach events as $event ({done: false};
    (if .done then {done: false} else . end)
    | if ($event | length) == 2
      then .done = (($event[0] | length) == 0) | setpath(["value"] + $event[0]; $event[1])
      else .done = (($event[0] | length) == 1) end;
    if .done then .value else empty end);
def truncate_stream(events):
  . as $depth | null | events | if (.[0] | length) > $depth then .[0] |= .[$depth:] else empty end;
def truncate_stream($depth; events): $depth | truncate_stream(events);

def trimstr($part): ltrimstr($part) | rtrimstr($part);
def ascii: [.] | implode;
def _pattern(f): . as $p | type | if . == "array" then $p | f elif . == "string" then [$p] | f
  else error(. + " not a string or array") end;
def match($re; $flags): _match($re; $flags; false)[];
def match($re): . as $text | $re | _pattern(.[0] as $r | .[1] as $f | $text | match($r; $f));
def test($re; $flags): _match($re; $flags; true);
def test($re): . as $text | $re | _pattern(.[0] as $r | .[1] as $f | $text | test($r; $f));
def _names: reduce (.captures[] | select(.name != null)) as $group ({}; .[$group.name] = $group.string);
def capture($re; $flags): match($re; $flags) | _names;
def capture($re): match($re) | _names;
def scan($re; $flags): match($re; "g" + $flags) | if (.captures | length) == 0 then .string else [.captures[].string] end;
def scan($re): scan($re; null);
def splits($re; $flags):
  . as $text
  | foreach (match($re; "g" + $flags), null) as $hit ([0, null];
      if $hit == null then [0, $text[.[0]:]]
      else [$hit.offset + $hit.length, $text[.[0]:$hit.offset]] end;
      .[1]);
def splits($re): splits($re; null);
def split($re; $flags): [splits($re; $flags)];
def sub($re; f; $flags):
  . as $text
  | reduce match($re; $flags) as $hit ([0, ""];
      .[0] as $from | .[1] as $done
      | ($hit | _names | f) as $new
      | [$hit.offset + $hit.length, $done + $text[$from:$hit.offset] + $new])
  | .[1] + $text[.[0]:];
def sub($re; f): sub($re; f; "");
def gsub($re; f; $flags): sub($re; f; $flags + "g");
def gsub($re; f): sub($re; f; "g");

def IN(values): . as $x | any(values; . == $x);
def IN(source; values): any(source; IN(values));
def INDEX(rows; f): reduce rows as $row ({}; .[$row | f | tostring] = $row);
def INDEX(f): INDEX(.[]; f);
def JOIN($index; f): [.[] | [., $index[f]]];
def JOIN($index; rows; f): rows | [., $index[f]];
def JOIN($index; rows; f; join): rows | [., $index[f]] | join;

def todateiso8601: strftime("%Y-%m-%dT%H:%M:%SZ");
def fromdateiso8601: strptime("%Y-%m-%dT%H:%M:%SZ") | mktime;
def todate: todateiso8601;
def fromdate: fromdateiso8601;
def date: todate;
def dateadd($unit; $n): . + $n;
def datesub($unit; $n): . - $n;

def pow10: exp10;
def nearbyint: rint;
def gamma: lgamma;
def lgamma_r: lgamma;
def logb: if . == 0 then -infinite elif isinfinite then infinite else ilogb end;
def significand: if . == 0 or isinfinite or isnan then . else ldexp(.; -ilogb) end;
def drem($x; $y): remainder($x; $y);
def scalb($x; $n): ldexp($x; $n);
def have_literal_numbers: true;
def have_decnum: false;
