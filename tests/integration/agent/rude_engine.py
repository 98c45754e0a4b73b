"""A program for the command engine that misbehaves as it is told: `rude_engine.py FAULT`, its files in its folder.

`submits.log` holds every order id that was handed over, in order, so that a test can prove that none came twice;
`runs.log` a process number for each start; `known.json` the orders it remembers. A fault happens once: `faulted` is
there afterwards, and the next run behaves. It knows nothing of this project but the protocol.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

FAULT = sys.argv[1]
KNOWN, FAULTED = Path("known.json"), Path("faulted")
CAN = {
    "brackets": True,
    "cancels": True,
    "limits": True,
    "events": True,
    "idempotent": True,
    "times_in_force": ["day", "gtc"],
}
known = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
lookups_lost = []


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def answer(number, result, version=1):
    say(json.dumps({"v": version, "id": number, "ok": True, "result": result}))


def fail(number, code, message):
    say(json.dumps({"v": 1, "id": number, "ok": False, "error": {"code": code, "message": message}}))


def is_now(*faults):
    """Whether this is the moment for the fault; it happens once in all runs."""
    if FAULT not in faults or FAULTED.exists():
        return False
    FAULTED.touch()
    return True


def remember(order, share=1):
    quantity = str(int(order["quantity"]) * share)
    known[order["order_id"]] = {"state": "FILLED", "filled_quantity": quantity, "average_price": "5.00"}
    KNOWN.write_text(json.dumps(known))


def hang():
    while True:
        time.sleep(60)


def submit(number, order):  # noqa: C901  # one line a fault
    with Path("submits.log").open("a") as log:
        log.write(order["order_id"] + "\n")
    if is_now("dies_before_taking"):
        os._exit(3)
    remember(order, 2 if FAULT == "fills_more" else 1)
    if is_now("dies_after_taking"):
        os._exit(3)
    if is_now("hangs"):
        hang()
    if is_now("hangs_and_will_not_end"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        hang()
    if is_now("leaves_a_child"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("child.pid").write_text(str(child.pid))
        os._exit(4)
    if is_now("closes_its_output"):
        os.close(1)
        hang()
    if is_now("closes_its_input"):
        os.close(0)
        hang()
    if is_now("says_only_nonsense"):
        say("what?\n" * 50)
        return
    if is_now("floods_its_output"):
        event = json.dumps({"v": 1, "event": "order", "order_id": order["order_id"]}) + "\n"
        while True:
            sys.stdout.write(1000 * event)
    if FAULT == "says_nonsense_first":
        say('Traceback (most recent call last):\n  \x1b[31mred\x1b[0m\n{"v":1}\n[1,2]\n{"id":true}\n\n\x00\xff')
    if FAULT == "writes_too_long_a_line":
        say("x" * 2_500_000)
    if is_now("answers_late"):
        threading.Timer(1.3, answer, (number, known[order["order_id"]])).start()
        return
    if FAULT == "answers_in_floats":
        return answer(number, {"state": "FILLED", "filled_quantity": 1.0, "average_price": 5.5})
    if FAULT == "answers_null":
        return answer(number, None)
    if FAULT == "speaks_another_version_later":
        return answer(number, known[order["order_id"]], version=2)
    if FAULT == "says_it_failed":
        return fail(number, "broker_down", "no answer from the broker \x1b[31m")
    if FAULT == "loses_its_broker":
        return answer(number, {"state": "ACCEPTED"})
    if FAULT == "tells":
        say(json.dumps({"v": 1, "event": "order", "order_id": order["order_id"]}))
    answer(number, known[order["order_id"]])
    if FAULT == "answers_twice":
        answer(number, {"state": "REJECTED"})
        answer(99_999, {"state": "REJECTED"})


def lookup(number, order_id):
    if FAULT == "loses_its_broker" and len(lookups_lost) < 2:
        lookups_lost.append(order_id)
        return fail(number, "broker_down", "connection reset")
    answer(number, known.get(order_id))


def hello(number):
    if FAULT == "never_says_hello" or (FAULT == "never_says_hello_again" and len(known) == 1):
        return
    if FAULT == "refuses_hello":
        return fail(number, "no_key", "there is no key")
    is_paper = FAULT != "is_real_money"
    answer(
        number,
        {"name": "rude", "version": "1", "is_paper": is_paper, "capabilities": CAN},
        version=2 if FAULT == "speaks_another_version" else 1,
    )
    if FAULT == "floods_stderr":
        sys.stderr.write("".join(f"line {n}\x1b[2J\n" for n in range(5000)))
        sys.stderr.flush()
    if is_now("stops_reading"):
        hang()


def main():  # noqa: C901  # one line an operation
    with Path("runs.log").open("a") as log:
        log.write(f"{os.getpid()}\n")
    Path("environment.json").write_text(json.dumps(dict(os.environ)))
    if FAULT == "ends_at_once":
        sys.exit(7)
    if FAULT == "stays_after_bye":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        number, op = request["id"], request["op"]
        if op == "hello":
            hello(number)
        elif op == "submit":
            submit(number, request["order"])
        elif op == "lookup":
            lookup(number, request["order_id"])
        elif op == "account":
            answer(number, {"cash": "1000", "equity": "1000", "is_blocked": False})
        elif op == "positions":
            rows = [{"ticker": "NOBODYKNOWS", "quantity": "-7"}] if FAULT == "holds_an_unknown_ticker" else []
            answer(number, rows)
        elif op == "health":
            if not is_now("dies_when_asked_how_it_is"):
                answer(number, {})
            else:
                os._exit(5)
        elif op == "bye":
            answer(number, None)
            if FAULT != "stays_after_bye":
                return
        else:
            fail(number, "unknown_op", op)
    if FAULT == "stays_after_bye":
        hang()


main()
