"""The journal's tables. A change of them raises SCHEMA_USER_VERSION and adds a step to MIGRATIONS."""

from __future__ import annotations

SCHEMA_USER_VERSION = 2

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

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2)
