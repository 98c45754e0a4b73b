"""The registry's second part: what flows once there is a connection, and what holds it up. Pure."""

from __future__ import annotations

from signal_contract.doctor.finding import Check, Side, Symptom

_BOTH, _AGENT, _OPERATOR = (Side.AGENT, Side.OPERATOR), (Side.AGENT,), (Side.OPERATOR,)
_CONNECT, _SIGNALS, _ORDERS = Symptom.CANNOT_CONNECT, Symptom.NO_SIGNALS, Symptom.NO_ORDERS
_LATE, _STORAGE = Symptom.HIGH_LATENCY, Symptom.STORAGE

WIRE_CHECKS: tuple[Check, ...] = (
    Check(
        "D15",
        "place in the stream",
        _BOTH,
        looks_at="your durable: there, with filters, confirmed one by one; for the operator every friend's, against "
        "what was granted",
        warns="its settings are not those of this version; for the operator: a durable belongs to nobody",
        fails="it is gone, delivers everything, or leaves out the operator's word; for the operator: its filters "
        "are not what was granted",
        cure="ask your operator for `catalyst user repair NAME`: it restores your place, and nothing is missed",
        cure_operator="`catalyst user repair NAME` for one that is gone, `catalyst user sync` for wrong filters",
        explanation="The durable is the server's bookmark for you, and holds what you are entitled to. It is looked at "
        "and nothing is pulled: a running agent does not notice.",
        needs=("D12",),
        symptoms=(_SIGNALS,),
    ),
    Check(
        "D16",
        "streams",
        _OPERATOR,
        looks_at="streams SIGNALS, FEEDBACK and AUDIT: there, set as planned, how full",
        warns="a setting differs and `catalyst up` would correct it, or a stream is more than 90 % full",
        fails="one is missing, or differs in what cannot be changed",
        cure="stop `catalyst up` and start it again: it brings them to the plan, or says why it cannot",
        explanation="When SIGNALS is full its oldest messages go, also those that a friend has not fetched. AUDIT and "
        "FEEDBACK refuse the newest instead.",
        needs=("D12",),
        symptoms=(_SIGNALS, _STORAGE),
    ),
    Check(
        "D17",
        "allowed works",
        _BOTH,
        looks_at="each permission of your role but the pull, used once without effect (a report that no stream takes, "
        "a confirmation of nothing)",
        warns="reports to the operator are not taken; trading does not depend on them",
        fails="the server denies what your role is to have",
        cure="ask your operator to run `catalyst doctor`",
        cure_operator="`catalyst up` brings accounts and roles to this version",
        explanation="Publishing is tried with a header that every stream refuses, confirming on a subject that "
        "confirms nothing: nothing is stored, delivered or confirmed. The pull itself is not tried, because a second "
        "one would take signals away from a running agent; that it works is seen in D19 and D20.",
        needs=("D12",),
        symptoms=(_SIGNALS, _CONNECT),
    ),
    Check(
        "D18",
        "forbidden is refused",
        _BOTH,
        looks_at="what your role must not do: another's durable, signals.>, control, others' inboxes, the stream's API",
        warns="never",
        fails="the server allows one of them: whoever has creds like yours could read or forge",
        cure="tell your operator at once; nothing is traded that the publisher did not sign",
        cure_operator="restart `catalyst up`; when it stays, stop the server: the accounts are not as they should be",
        explanation="Only subjects that do no harm are tried; should a publish be let through, every stream refuses "
        "its header. The server's log shows these attempts as permission violations.",
        needs=("D12",),
    ),
    Check(
        "D19",
        "publisher's sign of life",
        _BOTH,
        looks_at="the publisher's signed heartbeat, one every 15 seconds: what a running agent noted, else heard",
        warns="the classifier has missed three of its own cycles, or the publisher's outbox is not up",
        fails="none for 45 seconds: nobody sends signals",
        cure="tell your operator: the server is there, the publisher is not",
        cure_operator="start `catalyst up` (its relay sends), or look at the bot: `catalyst bot run`",
        explanation="It tells a quiet market from a dead publisher. Without a running agent the doctor listens for 4 "
        "seconds, which is too short to be sure; `--wait 20` is.",
        needs=("D12",),
        symptoms=(_SIGNALS,),
    ),
    Check(
        "D20",
        "one agent only",
        _AGENT,
        looks_at="how many pulls wait on your durable, and whether an agent runs in your data directory",
        warns="no agent runs here, and another one, elsewhere, receives as you",
        fails="an agent runs here, and another one elsewhere: they split the signals",
        cure="stop the other agent; for a second machine ask for an identity of its own",
        explanation="One identity, one agent. `run` waits for another one to go, and refuses when it does not.",
        needs=("D15",),
        symptoms=(_SIGNALS,),
    ),
    Check(
        "D21",
        "waiting messages",
        _BOTH,
        looks_at="how much waits on the durable, and how much was delivered and not confirmed",
        warns="messages wait; for the operator: more than 256 for a friend who is online",
        fails="an agent runs, and its durable is held up by 256 messages that it did not confirm",
        cure="start `subscriber-agent run`; what is stale is refused, exits are not",
        cure_operator="`catalyst user list` shows who lags; he looks at disk and engine with `subscriber-agent doctor`",
        explanation="Messages are confirmed when the journal has them on disk. A durable that is held up points to a "
        "slow or full disk (D04).",
        needs=("D15",),
        symptoms=(_SIGNALS, _LATE),
    ),
    Check(
        "D22",
        "undecided and parked",
        _AGENT,
        looks_at="signals in the journal without a decision, and messages that could not be trusted or read",
        warns="messages are parked, or a signal waits for a decision while no agent runs",
        fails="an agent runs, and a signal has waited for more than 2 minutes",
        cure="`subscriber-agent parked list`; for a signal that waits: look at the engine (D24), restart the agent",
        explanation="A parked message was never acted on. Many of them at once: the publisher's key was changed, or "
        "this version is older than the publisher's.",
        needs=("D05",),
        symptoms=(_ORDERS,),
    ),
    Check(
        "D23",
        "allowed to trade",
        _BOTH,
        looks_at="your own halt, the operator's, broken loss limits and pauses; for the operator what he last said",
        warns="something holds entries back",
        fails="never: it is somebody's will",
        cure="`subscriber-agent resume` for your own halt; `risk status` shows limits; the operator's word is his",
        cure_operator="`catalyst control resume` takes it back",
        explanation="The stricter of the words counts. Exits go on unless it is a halt.",
        needs=("D05",),
        needs_operator=("D01",),
        symptoms=(_ORDERS,),
    ),
    Check(
        "D24",
        "engine",
        _AGENT,
        looks_at="the engine that takes your orders: set up, reachable, account open; nothing is ordered",
        warns="it answers slowly, or its account is restricted",
        fails="it cannot be reached or used: what is accepted could not be ordered",
        cure="compare the `engine:` section with your broker's settings: keys, address, paper or live",
        explanation="Paper is part of the agent and always there.",
        needs=("D01",),
        symptoms=(_ORDERS,),
    ),
    Check(
        "D25",
        "calendar",
        _AGENT,
        looks_at="the table of New York's trading days, and which session is now",
        warns="the table ends within 90 days",
        fails="today is not in the table: nothing is entered on a day that is not known",
        cure="upgrade catalyst-signals for a newer table; `risk: {sessions: [pre, regular, after]}` for longer hours",
        explanation="By default entries are made in the regular session only.",
        needs=("D01",),
        symptoms=(_ORDERS,),
    ),
    Check(
        "D26",
        "versions here",
        _BOTH,
        looks_at="Python and the packages that the wire needs",
        warns="a package is not a version that was tested",
        fails="Python is older than 3.11",
        cure="install it again in an environment of its own: `pip install --upgrade catalyst-signals`",
        explanation="When you report a fault, send `doctor --json` with it: it holds no secret.",
    ),
    Check(
        "D27",
        "vault",
        _OPERATOR,
        looks_at="the operator's keys: all there, private, each fitting its public half",
        warns="never",
        fails="one is missing, exchanged, damaged, or can be read by others",
        cure="restore the whole vault folder from your backup; `chmod 600` for a file that others can read",
        explanation="Under a passphrase only the files and their modes are looked at; the doctor does not ask for it.",
        needs=("D01",),
        symptoms=(_STORAGE,),
    ),
    Check(
        "D28",
        "publisher's outbox",
        _OPERATOR,
        looks_at="what the publisher last noted: its way to the stream, and how much waits",
        warns="it is degraded, or signals wait in it",
        fails="it is down: signals are kept, and do not go out",
        cure="the reason is in the message; `catalyst relay` sends what waits, and nothing is sent twice",
        explanation="The outbox keeps what the bot hands over until the stream has confirmed it.",
        needs=("D01",),
        symptoms=(_SIGNALS, _STORAGE),
    ),
    Check(
        "D29",
        "canary",
        _BOTH,
        looks_at="only with --canary: one message through the whole way, and its receipt",
        warns="it took more than 2 seconds",
        fails="it did not arrive",
        cure="look at what fails above it; send `doctor --canary --json` to your operator",
        cure_operator="look at what fails above it",
        explanation="The operator's canary is a signed notice to a user who exists for a minute and is nobody's "
        "friend: no friend's durable can match its subject, and a notice orders nothing, so no agent can trade it. "
        "It is stored, pulled through the friends' account, its signature checked, confirmed, and its durable removed; "
        "the message stays in the log. A drill signal would be simpler and would reach friends: paper engines trade "
        "drills. The friend's canary is a report (`received`, CANARY) to the operator; with `privacy: none` nothing "
        "is sent. It never is a status report: the last of those is what `catalyst user repair` goes by.",
        needs=("D12", "D16"),
        symptoms=(_SIGNALS, _LATE),
    ),
)
