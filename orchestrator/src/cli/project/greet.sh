#!/bin/sh
# Reads {"name": ..., "words": ...} on standard input and writes {"greeting": ...}.
# A real function would use a JSON library; these two members are texts without quotes in them.
input=$(cat)
member() {
    printf '%s' "$input" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}
printf '{"greeting":"%s, %s!"}\n' "$(member words)" "$(member name)"
