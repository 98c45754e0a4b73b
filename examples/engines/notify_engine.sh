#!/bin/sh
# The smallest engine: writes each order to a file for you to look at, and takes it as filled at the signal's price.
#
#   engine:
#     kind: command
#     command:
#       argv: [sh, notify_engine.sh, notified]
#       is_paper: true
#
# No broker is behind it, and its account is a fixed 10,000 USD. It holds no stops and sees no prices, so the agent
# hands it no entry that has a stop. It needs sh, sed, awk and grep, nothing else. The folder named holds:
#   orders.txt   a line an order, for you: id, side, shares, ticker, price
#   rejected/ID  why an order was not taken
# An id that is in either of them is never taken again.
set -u
LC_ALL=C
export LC_ALL
home=${1:-notified}
umask 077
mkdir -p "$home/rejected" || exit 1
touch "$home/orders.txt"

# The value of a field of the request, text or number; nothing for null. Enough for what the agent writes: flat names
# and no quotes inside the values that are used here. Use a real JSON reader (jq) for more than this.
field() {
    printf '%s' "$line" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" | grep -v '^null$'
}

say() {
    printf '{"v":1,"id":%s,"ok":true,"result":%s}\n' "$id" "$1"
}

fail() {
    printf '{"v":1,"id":%s,"ok":false,"error":{"code":"%s","message":"%s"}}\n' "$id" "$1" "$2"
}

# An id becomes the name of a file, so it may hold nothing but letters, digits and dashes.
is_plain() {
    case $1 in '' | *[!A-Za-z0-9-]*) return 1 ;; esac
}

# What became of an order, as far as the files say; nothing when the id never came.
known() {
    if [ -e "$home/rejected/$1" ]; then
        printf '{"state":"REJECTED","filled_quantity":"0","average_price":null,"reason":"%s"}' \
            "$(cat "$home/rejected/$1")"
    else
        awk -v id="$1" '$1 == id {
            printf "{\"state\":\"FILLED\",\"filled_quantity\":\"%s\",\"average_price\":\"%s\"}", $3, $5; exit }' \
            "$home/orders.txt"
    fi
}

objection() {
    case $shares in '' | 0* | *[!0-9]*) echo "whole shares only"; return ;; esac
    if [ -z "$price" ]; then
        echo "no price is known"
    elif [ "$(field leg)" != entry ] && ! covers "$side" "$shares" "$ticker"; then
        echo "no position of $shares $ticker to close"
    fi
}

# On disk before the agent hears of it; an older sync takes no file, and writes everything.
kept() {
    sync "$1" 2>/dev/null || sync
}

# Whether what is held is on the other side, and enough.
covers() {
    held "$3" | awk -v side="$1" -v shares="$2" '
        { exit !((side == "sell" && $1 >= shares) || (side == "buy" && -$1 >= shares)) }'
}

held() {
    awk -v ticker="$1" '$4 == ticker { n += ($2 == "buy") ? $3 : -$3 } END { printf "%d\n", n }' "$home/orders.txt"
}

submit() {
    order_id=$(field order_id) side=$(field side) shares=$(field quantity)
    ticker=$(field ticker) price=$(field reference_price)
    is_plain "$order_id" || { fail order_id "an id of letters, digits and dashes is needed"; return; }
    if [ -z "$(known "$order_id")" ]; then
        reason=$(objection)
        if [ -n "$reason" ]; then
            file=$home/rejected/$order_id
            printf '%s' "$reason" >"$file.new" && mv "$file.new" "$file"
        else
            file=$home/orders.txt
            printf '%s %s %s %s %s\n' "$order_id" "$side" "$shares" "$ticker" "$price" >>"$file"
        fi && kept "$file" || { fail disk "cannot write to $home"; return; }
    fi
    say "$(known "$order_id")"
}

lookup() {
    order_id=$(field order_id)
    is_plain "$order_id" || { fail order_id "an id of letters, digits and dashes is needed"; return; }
    answer=$(known "$order_id")
    say "${answer:-null}"
}

positions() {
    say "[$(awk '{ n[$4] += ($2 == "buy") ? $3 : -$3 }
        END { for (t in n) if (n[t]) { printf "%s{\"ticker\":\"%s\",\"quantity\":\"%d\"}", c, t, n[t]; c = "," } }' \
        "$home/orders.txt")]"
}

while IFS= read -r line; do
    id=$(field id)
    case $(field op) in
        hello) say '{"name":"notify_engine.sh","version":"1","is_paper":true,"capabilities":{"shorts":true,"idempotent":true,"times_in_force":["day","gtc"]}}' ;;
        submit) submit ;;
        lookup | cancel) lookup ;;
        account) say '{"cash":"10000","equity":"10000","is_blocked":false}' ;;
        positions) positions ;;
        orders) say '[]' ;;
        health) say '{}' ;;
        bye) say null; exit 0 ;;
        *) fail unknown_op "this engine does not do that" ;;
    esac
done
