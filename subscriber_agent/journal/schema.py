"""The journal's tables. A change of them raises SCHEMA_USER_VERSION and adds a step to MIGRATIONS."""

from __future__ import annotations

SCHEMA_USER_VERSION = 6

# A stream that was made anew counts from 1 again: the digest keeps its messages from passing for redeliveries.
_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE seen (
  stream_seq INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (stream_seq, digest)
) WITHOUT ROWID;
CREATE TABLE signals (
  id INTEGER PRIMARY KEY,
  stream_seq INTEGER NOT NULL,
  signal_id TEXT NOT NULL, revision INTEGER NOT NULL, event TEXT NOT NULL, action TEXT NOT NULL,
  ticker TEXT NOT NULL, catalyst TEXT NOT NULL, confidence TEXT NOT NULL,
  subject TEXT NOT NULL, payload BLOB NOT NULL,
  published_at TEXT NOT NULL, received_at TEXT NOT NULL,
  is_decided INTEGER NOT NULL DEFAULT 0,
  UNIQUE (signal_id, revision)
);
CREATE INDEX signals_undecided ON signals (stream_seq, id) WHERE is_decided = 0;
CREATE TABLE parked (
  id INTEGER PRIMARY KEY,
  stream_seq INTEGER NOT NULL, subject TEXT NOT NULL, payload BLOB NOT NULL, received_at TEXT NOT NULL,
  code TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE decisions (
  signal_id TEXT NOT NULL, revision INTEGER NOT NULL, verdict TEXT NOT NULL, code TEXT,
  body BLOB NOT NULL, config_hash TEXT NOT NULL, decided_at TEXT NOT NULL,
  PRIMARY KEY (signal_id, revision)
);
CREATE TABLE intents (
  order_id TEXT PRIMARY KEY,
  signal_id TEXT NOT NULL, revision INTEGER NOT NULL, leg TEXT NOT NULL, ticker TEXT NOT NULL,
  plan BLOB NOT NULL, created_at TEXT NOT NULL,
  state TEXT, quantity TEXT, price TEXT, detail TEXT, settled_at TEXT
);
CREATE INDEX intents_signal ON intents (signal_id);
CREATE INDEX intents_open ON intents (created_at) WHERE state IS NULL OR state IN ('UNKNOWN', 'ACCEPTED');
CREATE INDEX intents_entries ON intents (created_at) WHERE leg = 'entry';
CREATE TABLE latches (name TEXT PRIMARY KEY, value TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE link_state (id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE paper_orders (
  order_id TEXT PRIMARY KEY, plan BLOB NOT NULL,
  state TEXT NOT NULL, quantity TEXT NOT NULL, price TEXT, detail TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TABLE fills (
  id INTEGER PRIMARY KEY,
  order_id TEXT NOT NULL UNIQUE, ticker TEXT NOT NULL, side TEXT NOT NULL, leg TEXT NOT NULL,
  quantity TEXT NOT NULL, price TEXT NOT NULL, at TEXT NOT NULL,
  stop_price TEXT, target_price TEXT, catalyst TEXT NOT NULL
);
CREATE TABLE marks (ticker TEXT PRIMARY KEY, price TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
"""

# The decision log becomes a hash chain (`journal.chained` fills it from the old one); a parked message keeps what it
# was signed with.
_VERSION_2 = """
ALTER TABLE decisions RENAME TO decisions_1;
CREATE TABLE decisions (
  number INTEGER PRIMARY KEY,
  stream_seq INTEGER NOT NULL, signal_id TEXT NOT NULL, revision INTEGER NOT NULL, verdict TEXT NOT NULL, code TEXT,
  body BLOB NOT NULL, config_hash TEXT NOT NULL, decided_at TEXT NOT NULL,
  prev_hash TEXT NOT NULL, hash TEXT NOT NULL,
  UNIQUE (signal_id, revision)
);
ALTER TABLE parked ADD COLUMN signature TEXT
"""

# The operator's word, reports to the operator, what the link went through, and what was pruned. `spent` keeps every
# revision whose signal was removed: a copy of an old exit, which never expires, must not be taken for a new one.
_VERSION_3 = """
CREATE TABLE controls (
  id INTEGER PRIMARY KEY,
  stream_seq INTEGER NOT NULL, control_id TEXT NOT NULL UNIQUE,
  scope TEXT NOT NULL CHECK (scope IN ('all', 'user')), verb TEXT NOT NULL, reason TEXT NOT NULL,
  issued_at TEXT NOT NULL, received_at TEXT NOT NULL
);
CREATE TABLE feedback (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, body BLOB NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE link_changes (
  id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL
);
ALTER TABLE link_state ADD COLUMN reason TEXT NOT NULL DEFAULT '';
CREATE TABLE spent (
  signal_id TEXT NOT NULL, revision INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (signal_id, revision)
) WITHOUT ROWID;
CREATE INDEX signals_received ON signals (received_at)
"""

# The risk ledger, the friend's answers and commands, every loosening (a hash chain of its own), and decisions that are
# made again once they are approved: the rows keep their numbers and hashes.
_VERSION_4 = """
CREATE TABLE ledger (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL, at TEXT NOT NULL);
ALTER TABLE fills ADD COLUMN sector TEXT;
ALTER TABLE decisions RENAME TO decisions_3;
CREATE TABLE decisions (
  number INTEGER PRIMARY KEY,
  stream_seq INTEGER NOT NULL, signal_id TEXT NOT NULL, revision INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 1, verdict TEXT NOT NULL, code TEXT,
  body BLOB NOT NULL, config_hash TEXT NOT NULL, decided_at TEXT NOT NULL,
  prev_hash TEXT NOT NULL, hash TEXT NOT NULL,
  UNIQUE (signal_id, revision, attempt)
);
INSERT INTO decisions (number, stream_seq, signal_id, revision, verdict, code, body, config_hash, decided_at, prev_hash,
  hash) SELECT number, stream_seq, signal_id, revision, verdict, code, body, config_hash, decided_at, prev_hash, hash
  FROM decisions_3;
DROP TABLE decisions_3;
CREATE TABLE approvals (
  signal_id TEXT NOT NULL, revision INTEGER NOT NULL, plan BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'rejected', 'expired', 'done')),
  asked_at TEXT NOT NULL, expires_at TEXT NOT NULL, answered_at TEXT, PRIMARY KEY (signal_id, revision)
);
CREATE INDEX approvals_state ON approvals (state, asked_at);
CREATE TABLE flattens (
  number INTEGER PRIMARY KEY AUTOINCREMENT, reason TEXT NOT NULL, at TEXT NOT NULL, done_at TEXT
);
CREATE TABLE loosened (
  number INTEGER PRIMARY KEY, type TEXT NOT NULL, config_hash TEXT NOT NULL, body BLOB NOT NULL, at TEXT NOT NULL,
  prev_hash TEXT NOT NULL, hash TEXT NOT NULL
)
"""

# The journal books every fill itself, for every engine: an order may fill in parts, and its legs are remembered. Whose
# stop is where, what differed from the engine, what the account was worth, and the engine's last word. paper_orders
# and marks stay for the paper engine, which takes them over once.
_VERSION_5 = """
ALTER TABLE fills RENAME TO fills_4;
CREATE TABLE fills (
  id INTEGER PRIMARY KEY,
  order_id TEXT NOT NULL, ticker TEXT NOT NULL, side TEXT NOT NULL, leg TEXT NOT NULL,
  quantity TEXT NOT NULL, price TEXT NOT NULL, at TEXT NOT NULL,
  stop_price TEXT, target_price TEXT, catalyst TEXT NOT NULL, sector TEXT
);
INSERT INTO fills (id, order_id, ticker, side, leg, quantity, price, at, stop_price, target_price, catalyst, sector)
  SELECT id, order_id, ticker, side, leg, quantity, price, at, stop_price, target_price, catalyst, sector FROM fills_4;
DROP TABLE fills_4;
CREATE INDEX fills_order ON fills (order_id);
CREATE INDEX fills_ticker ON fills (ticker);
ALTER TABLE intents ADD COLUMN legs TEXT;
DROP INDEX intents_open;
CREATE INDEX intents_open ON intents (created_at)
  WHERE state IS NULL OR state IN ('UNKNOWN', 'ACCEPTED', 'PARTLY_FILLED');
CREATE INDEX intents_exits ON intents (ticker) WHERE leg = 'exit';
CREATE TABLE protections (
  entry_id TEXT PRIMARY KEY, ticker TEXT NOT NULL, state TEXT NOT NULL, body BLOB NOT NULL, at TEXT NOT NULL
);
CREATE INDEX protections_open ON protections (at) WHERE state <> 'CLOSED';
CREATE TABLE reconciles (
  number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, differences BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'resolved', 'accepted')), resolved_at TEXT
);
CREATE TABLE equity (
  number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, cash TEXT NOT NULL, equity TEXT NOT NULL,
  engine TEXT NOT NULL, fills INTEGER NOT NULL
);
CREATE INDEX equity_at ON equity (at);
UPDATE meta SET key = 'breaker:paper' WHERE key = 'breaker'
"""

# What `status` counts, without a look at every decision ever made.
_VERSION_6 = """
CREATE INDEX decisions_verdict ON decisions (verdict, code);
CREATE INDEX decisions_again ON decisions (signal_id, revision, attempt) WHERE attempt > 1
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6)
