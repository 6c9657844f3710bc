"""The tables that no struct describes, and the triggers that keep totals and take along what belongs to a row."""

# ruff: noqa: S608 - no value from outside stands in it

ROOMS = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- A mail's bytes; data is NULL where they are a file of the spool.
CREATE TABLE body (mail_id TEXT PRIMARY KEY, size INTEGER NOT NULL, data BLOB) STRICT;
CREATE INDEX body_spooled ON body (mail_id) WHERE data IS NULL;

-- Events of a mail, compressed JSON: one row with the verdict, small ones after it. `size` counts towards the budget
-- of refused mail, its message row included.
CREATE TABLE trace (
  id INTEGER PRIMARY KEY, mail_id TEXT NOT NULL, until INTEGER NOT NULL, refused INTEGER NOT NULL DEFAULT 0,
  size INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE INDEX trace_mail ON trace (mail_id);
CREATE INDEX trace_until ON trace (until);
CREATE INDEX trace_refused ON trace (id) WHERE refused = 1;
INSERT INTO meta VALUES ('refused', 0);

-- Refusals before DATA, counted (rules 21).
CREATE TABLE refusal (
  hour INTEGER NOT NULL, net TEXT NOT NULL, code TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (hour, net, code)
) STRICT, WITHOUT ROWID;
"""

# Totals for each folder and category of a mailbox, kept by triggers (rules 23). `mark` is another after each copy that
# came or went: 64 bits by chance, so that none comes again.
FOLDER = """
CREATE TABLE folder (
  mailbox TEXT NOT NULL COLLATE NOCASE, folder TEXT NOT NULL COLLATE NOCASE, category TEXT NOT NULL COLLATE NOCASE,
  domain_id INTEGER NOT NULL, total INTEGER NOT NULL, unseen INTEGER NOT NULL,
  mark INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (mailbox, folder, category)
) STRICT, WITHOUT ROWID;
CREATE INDEX folder_domain ON folder (domain_id);
"""

_COUNT = """
INSERT INTO folder VALUES (NEW.mailbox, NEW.folder, NEW.category, NEW.domain_id, 1, NOT NEW.seen, random())
ON CONFLICT DO UPDATE SET total = total + 1, unseen = unseen + (NOT NEW.seen),
domain_id = NEW.domain_id, mark = random();
"""
_COUNTED = "mailbox = OLD.mailbox AND folder = OLD.folder AND category = OLD.category"
_DISCOUNT = f"""
UPDATE folder SET total = total - 1, unseen = unseen - (NOT OLD.seen), mark = random() WHERE {_COUNTED};
DELETE FROM folder WHERE {_COUNTED} AND total = 0;
"""
COPY_TRIGGERS = f"""
CREATE TRIGGER copy_added AFTER INSERT ON copy BEGIN {_COUNT} END;
CREATE TRIGGER copy_removed AFTER DELETE ON copy BEGIN {_DISCOUNT} END;
CREATE TRIGGER copy_seen AFTER UPDATE OF seen ON copy WHEN OLD.seen != NEW.seen BEGIN
  UPDATE folder SET unseen = unseen + OLD.seen - NEW.seen WHERE {_COUNTED};
END;
CREATE TRIGGER copy_moved AFTER UPDATE OF mailbox, folder, category ON copy
WHEN OLD.mailbox != NEW.mailbox OR OLD.folder != NEW.folder OR OLD.category != NEW.category
BEGIN {_DISCOUNT} {_COUNT} END;

-- The archive is write-once (threat 87).
CREATE TRIGGER copy_archived BEFORE UPDATE OF mail_id, folder, category, score, infected, stored_at, expires_at ON copy
WHEN OLD.folder = 'Archive' BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: the archive is write-once'); END;
"""
TRIGGERS = """
CREATE TRIGGER trace_added AFTER INSERT ON trace WHEN NEW.refused = 1 BEGIN
  UPDATE meta SET value = value + NEW.size WHERE key = 'refused';
END;
CREATE TRIGGER trace_removed AFTER DELETE ON trace WHEN OLD.refused = 1 BEGIN
  UPDATE meta SET value = value - OLD.size WHERE key = 'refused';
END;

-- What belongs to a row goes with it.
CREATE TRIGGER admin_removed AFTER DELETE ON admin BEGIN DELETE FROM token WHERE admin_id = OLD.id; END;
CREATE TRIGGER group_removed AFTER DELETE ON "group" BEGIN DELETE FROM group_member WHERE group_id = OLD.id; END;
"""

DEPARTED = """
-- Accounts that are gone, and whose sender rules are not yet: those may be too many to go in one write. They count no
-- more, and the next purge takes them.
CREATE TABLE departed (user_id INTEGER PRIMARY KEY) STRICT;
CREATE TRIGGER user_removed AFTER DELETE ON user BEGIN
  DELETE FROM token WHERE user_id = OLD.id;
  INSERT OR IGNORE INTO departed SELECT OLD.id WHERE EXISTS (SELECT 1 FROM sender_rule WHERE user_id = OLD.id);
END;
"""

USER_TOTAL = """
-- How many accounts a domain has in each state, kept by triggers: a domain is shown without counting them.
CREATE TABLE user_total (
  domain_id INTEGER NOT NULL, status TEXT NOT NULL COLLATE NOCASE, total INTEGER NOT NULL,
  PRIMARY KEY (domain_id, status)
) STRICT, WITHOUT ROWID;
INSERT INTO user_total SELECT domain_id, status, count(*) FROM user GROUP BY domain_id, status;
"""
_USER_COUNT = """
INSERT INTO user_total VALUES (NEW.domain_id, NEW.status, 1) ON CONFLICT DO UPDATE SET total = total + 1;
"""
_USER_DISCOUNT = """
UPDATE user_total SET total = total - 1 WHERE domain_id = OLD.domain_id AND status = OLD.status;
DELETE FROM user_total WHERE domain_id = OLD.domain_id AND status = OLD.status AND total = 0;
"""
USER_TRIGGERS = f"""
CREATE TRIGGER user_counted AFTER INSERT ON user BEGIN {_USER_COUNT} END;
CREATE TRIGGER user_discounted AFTER DELETE ON user BEGIN {_USER_DISCOUNT} END;
CREATE TRIGGER user_moved AFTER UPDATE OF domain_id, status ON user
WHEN OLD.domain_id != NEW.domain_id OR OLD.status != NEW.status BEGIN {_USER_DISCOUNT} {_USER_COUNT} END;
"""
