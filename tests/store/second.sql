BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'gatepost','0001_tables','2026-11-29 12:49:01.991276+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'gatepost','0002_folders','2026-11-29 12:49:02.005760+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'gatepost','0003_dkim','2026-11-29 12:49:02.012136+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'gatepost','0004_rights','2026-11-29 12:49:02.015863+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'gatepost','0005_options','2026-11-29 12:49:02.020819+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'gatepost','0006_health','2026-11-29 12:49:02.025315+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'gatepost','0007_providers','2026-11-29 12:49:02.037260+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'gatepost','0008_tickets','2026-11-29 12:49:02.045042+00:00');
INSERT INTO "_sqlite_migrations" VALUES(9,'gatepost','0004_uncopied','2026-11-29 12:49:02.049178+00:00');
INSERT INTO "_sqlite_migrations" VALUES(10,'gatepost','0005_lists','2026-11-29 12:49:02.053311+00:00');
INSERT INTO "_sqlite_migrations" VALUES(11,'gatepost','0006_audit','2026-11-29 12:49:02.054190+00:00');
CREATE TABLE "admin" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "login" TEXT NOT NULL COLLATE NOCASE, "display_name" TEXT COLLATE NOCASE, "email" TEXT COLLATE NOCASE, "password_hash" TEXT COLLATE NOCASE, "enabled" INTEGER NOT NULL DEFAULT 1, "language" TEXT NOT NULL COLLATE NOCASE DEFAULT 'EN', "totp" INTEGER NOT NULL DEFAULT 0, "totp_secret" TEXT COLLATE NOCASE, "totp_step" INTEGER NOT NULL DEFAULT 0, "sys_admin" INTEGER NOT NULL DEFAULT 0, "last_connection_date" INTEGER, "created_at" INTEGER NOT NULL) STRICT;
CREATE TABLE "attachment_rule" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "action" TEXT NOT NULL COLLATE NOCASE, "check_type" TEXT NOT NULL COLLATE NOCASE, "filter" TEXT NOT NULL COLLATE NOCASE, "priority" INTEGER NOT NULL, "description" TEXT COLLATE NOCASE, "created_date" INTEGER NOT NULL) STRICT;
CREATE TABLE "audit" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "at" INTEGER NOT NULL, "login" TEXT NOT NULL COLLATE NOCASE, "admin_id" INTEGER, "user_id" INTEGER, "token_id" INTEGER, "maker" TEXT COLLATE NOCASE, "ip" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "request_id" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "reason" TEXT COLLATE NOCASE, "act" TEXT NOT NULL COLLATE NOCASE, "kind" TEXT NOT NULL COLLATE NOCASE, "object_id" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "name" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "broker_id" INTEGER, "customer_id" INTEGER, "domain_id" INTEGER, "before" TEXT COLLATE NOCASE, "after" TEXT COLLATE NOCASE) STRICT;
CREATE TABLE body (mail_id TEXT PRIMARY KEY, size INTEGER NOT NULL, data BLOB) STRICT;
INSERT INTO "body" VALUES('00000000000000000000000000000001',5,X'6D61696C0A');
INSERT INTO "body" VALUES('00000000000000000000000000000002',5,X'6D61696C0A');
INSERT INTO "body" VALUES('00000000000000000000000000000003',5,X'6D61696C0A');
CREATE TABLE "broker" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL COLLATE NOCASE, "description" TEXT COLLATE NOCASE, "external_id" TEXT COLLATE NOCASE, "created_at" INTEGER NOT NULL) STRICT;
INSERT INTO "broker" VALUES(1,'Broker',NULL,NULL,1800000000000);
CREATE TABLE "checkup" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "entity" TEXT NOT NULL COLLATE NOCASE, "entity_id" INTEGER NOT NULL, "domain_id" INTEGER NOT NULL, "performed_at" INTEGER NOT NULL, "failing" INTEGER NOT NULL, "entries" TEXT NOT NULL COLLATE NOCASE) STRICT;
CREATE TABLE "copy" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "mail_id" TEXT NOT NULL COLLATE NOCASE, "mailbox" TEXT NOT NULL COLLATE NOCASE, "domain_id" INTEGER NOT NULL, "user_id" INTEGER, "folder" TEXT NOT NULL COLLATE NOCASE, "category" TEXT NOT NULL COLLATE NOCASE, "score" REAL NOT NULL, "infected" INTEGER NOT NULL, "tag" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "reason" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "stored_at" INTEGER NOT NULL, "expires_at" INTEGER NOT NULL, "released_at" INTEGER, "seen" INTEGER NOT NULL DEFAULT 0, "answered" INTEGER NOT NULL DEFAULT 0, "sent" INTEGER NOT NULL, "header_from" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "subject" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "received" INTEGER NOT NULL DEFAULT 0, "size" INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "copy" VALUES(1,'00000000000000000000000000000001','bob@in.test',1,NULL,'Quarantine','SPAM',6.5,0,'','',1800000000000,1802678400000,NULL,0,0,1799999999999,'Ann <ann@out.test>','Subject 0001',1800000000001,5);
INSERT INTO "copy" VALUES(2,'00000000000000000000000000000001','bob1@in.test',1,NULL,'Quarantine','SPAM',6.5,0,'','',1800000000000,1802678400000,NULL,0,0,1799999999999,'Ann <ann@out.test>','Subject 0001',1800000000001,5);
INSERT INTO "copy" VALUES(3,'00000000000000000000000000000002','bob@in.test',1,NULL,'Quarantine','SPAM',6.5,0,'','',1800000000000,1802678400000,NULL,0,0,1799999999998,'Ann <ann@out.test>','Subject 0002',1800000000002,5);
CREATE TABLE "customer" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "broker_id" INTEGER NOT NULL, "name" TEXT NOT NULL COLLATE NOCASE, "description" TEXT COLLATE NOCASE, "external_id" TEXT COLLATE NOCASE, "domain_quota" INTEGER, "created_at" INTEGER NOT NULL) STRICT;
INSERT INTO "customer" VALUES(1,1,'Customer',NULL,NULL,NULL,1800000000000);
CREATE TABLE "delivery" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "mail_id" TEXT NOT NULL COLLATE NOCASE, "recipient" TEXT NOT NULL COLLATE NOCASE, "sender" TEXT NOT NULL COLLATE NOCASE, "domain_id" INTEGER, "platform_id" INTEGER, "state" TEXT NOT NULL COLLATE NOCASE DEFAULT 'queued', "attempts" INTEGER NOT NULL DEFAULT 0, "due" INTEGER NOT NULL, "expires" INTEGER NOT NULL, "created" INTEGER NOT NULL, "tag" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "release" INTEGER NOT NULL DEFAULT 0, "smtputf8" INTEGER NOT NULL DEFAULT 0, "proven" INTEGER NOT NULL DEFAULT 0, "notify" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "orcpt" TEXT COLLATE NOCASE, "ret" TEXT COLLATE NOCASE, "envid" TEXT COLLATE NOCASE, "delay_told" INTEGER NOT NULL DEFAULT 0, "last_reply" TEXT COLLATE NOCASE, "remote_id" TEXT COLLATE NOCASE, "done_at" INTEGER, "log" TEXT NOT NULL COLLATE NOCASE DEFAULT '[]') STRICT;
INSERT INTO "delivery" VALUES(1,'00000000000000000000000000000001','bob@in.test','ann@out.test',1,NULL,'delivered',1,1800000000000,1800432000000,1800000000000,'',0,0,0,'',NULL,NULL,NULL,0,'250 2.0.0 Ok',NULL,1800000000000,'[{"at":1800000000000,"hop":"mail.in.test","reply":"250 2.0.0 Ok"}]');
INSERT INTO "delivery" VALUES(2,'00000000000000000000000000000003','bob@in.test','ann@out.test',1,NULL,'queued',2,1800000001000,1800432000000,1800000000000,'',0,0,0,'',NULL,NULL,NULL,0,'451 4.3.0 later',NULL,NULL,'[]');
INSERT INTO "delivery" VALUES(3,'00000000000000000000000000000003','bob@in.test','ann@out.test',1,NULL,'held',0,1800000000000,1800432000000,1800000000000,'',0,0,0,'',NULL,NULL,NULL,0,NULL,NULL,NULL,'[]');
CREATE TABLE "dkim_key" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "selector" TEXT NOT NULL COLLATE NOCASE, "algorithm" TEXT NOT NULL COLLATE NOCASE DEFAULT 'rsa', "public" TEXT NOT NULL COLLATE NOCASE, "private" TEXT NOT NULL COLLATE NOCASE, "seen" TEXT NOT NULL COLLATE NOCASE DEFAULT '[]', "waiting" INTEGER NOT NULL DEFAULT 0, "created_at" INTEGER NOT NULL) STRICT;
CREATE TABLE "domain" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "customer_id" INTEGER NOT NULL, "name" TEXT NOT NULL COLLATE NOCASE, "description" TEXT COLLATE NOCASE, "status" TEXT NOT NULL COLLATE NOCASE DEFAULT 'ENABLED', "wblist_priority" TEXT NOT NULL COLLATE NOCASE DEFAULT 'USER', "default_language" TEXT NOT NULL COLLATE NOCASE, "auto_provisioning_on" INTEGER NOT NULL DEFAULT 0, "sender_verify_on" INTEGER NOT NULL DEFAULT 1, "external_id" TEXT COLLATE NOCASE, "policy_id" INTEGER NOT NULL DEFAULT 0, "outgoing_subnets" TEXT NOT NULL COLLATE NOCASE DEFAULT '[]', "outgoing_provider_ids" TEXT NOT NULL COLLATE NOCASE DEFAULT '[]', "creation_date" INTEGER NOT NULL, "deletion_date" INTEGER, "purge_date" INTEGER, "sender_generation" INTEGER NOT NULL DEFAULT 0, "user_permissions" TEXT COLLATE NOCASE) STRICT;
INSERT INTO "domain" VALUES(1,1,'in.test',NULL,'ENABLED','USER','EN',0,1,NULL,1,'["192.0.2.0/24"]','[]',1800000000000,NULL,NULL,0,NULL);
INSERT INTO "domain" VALUES(2,1,'other.test',NULL,'ENABLED','USER','EN',0,1,NULL,2,'[]','[]',1800000000000,NULL,NULL,0,NULL);
CREATE TABLE "domain_alias" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "name" TEXT NOT NULL COLLATE NOCASE) STRICT;
CREATE TABLE folder (
  mailbox TEXT NOT NULL COLLATE NOCASE, folder TEXT NOT NULL COLLATE NOCASE, category TEXT NOT NULL COLLATE NOCASE,
  domain_id INTEGER NOT NULL, total INTEGER NOT NULL, unseen INTEGER NOT NULL,
  PRIMARY KEY (mailbox, folder, category)
) STRICT, WITHOUT ROWID;
INSERT INTO "folder" VALUES('bob1@in.test','Quarantine','SPAM',1,1,1);
INSERT INTO "folder" VALUES('bob@in.test','Quarantine','SPAM',1,2,2);
CREATE TABLE "grant" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "admin_id" INTEGER NOT NULL, "level" TEXT NOT NULL COLLATE NOCASE, "node_id" INTEGER NOT NULL DEFAULT 0, "permissions" TEXT NOT NULL COLLATE NOCASE DEFAULT '[]', "roles" TEXT NOT NULL COLLATE NOCASE DEFAULT '[]') STRICT;
CREATE TABLE "group" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "email" TEXT NOT NULL COLLATE NOCASE) STRICT;
INSERT INTO "group" VALUES(1,1,'all@in.test');
CREATE TABLE "group_member" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "group_id" INTEGER NOT NULL, "email" TEXT NOT NULL COLLATE NOCASE) STRICT;
INSERT INTO "group_member" VALUES(1,1,'bob@in.test');
CREATE TABLE "message" ("id" TEXT NOT NULL PRIMARY KEY, "received" INTEGER NOT NULL, "size" INTEGER NOT NULL, "direction" TEXT NOT NULL COLLATE NOCASE, "sender" TEXT NOT NULL COLLATE NOCASE, "client_ip" TEXT NOT NULL COLLATE NOCASE, "helo" TEXT NOT NULL COLLATE NOCASE, "message_id" TEXT NOT NULL COLLATE NOCASE, "subject" TEXT NOT NULL COLLATE NOCASE, "header_from" TEXT NOT NULL COLLATE NOCASE, "header_to" TEXT NOT NULL COLLATE NOCASE, "header_cc" TEXT NOT NULL COLLATE NOCASE, "sent" INTEGER, "spooled" INTEGER NOT NULL DEFAULT 0, "has_attachments" INTEGER NOT NULL DEFAULT 0, "header_bcc" TEXT NOT NULL COLLATE NOCASE DEFAULT '', "important" INTEGER NOT NULL DEFAULT 0, "esmtp" INTEGER NOT NULL DEFAULT 0, "tls" TEXT COLLATE NOCASE, "login" TEXT COLLATE NOCASE, "proofs" TEXT NOT NULL COLLATE NOCASE DEFAULT '[]', "signer" TEXT NOT NULL COLLATE NOCASE DEFAULT '') STRICT;
INSERT INTO "message" VALUES('00000000000000000000000000000001',1800000000001,5,'in','ann@out.test','192.0.2.1','out.test','<1@out.test>','Subject 0001','Ann <ann@out.test>','Bob <bob@in.test>','',1799999999999,0,0,'',0,0,NULL,NULL,'[]','');
INSERT INTO "message" VALUES('00000000000000000000000000000002',1800000000002,5,'in','ann@out.test','192.0.2.1','out.test','<2@out.test>','Subject 0002','Ann <ann@out.test>','Bob <bob@in.test>','Cc <cc@out.test>',1799999999998,0,0,'',0,0,NULL,NULL,'[]','');
INSERT INTO "message" VALUES('00000000000000000000000000000003',1800000000003,5,'in','ann@out.test','192.0.2.1','out.test','<3@out.test>','Subject 0003','Ann <ann@out.test>','Bob <bob@in.test>','',1799999999997,0,0,'',0,0,NULL,NULL,'[]','');
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('audited',0);
INSERT INTO "meta" VALUES('refused',0);
CREATE TABLE "option_value" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "scope" TEXT NOT NULL COLLATE NOCASE, "owner_id" INTEGER NOT NULL, "name" TEXT NOT NULL COLLATE NOCASE, "value" TEXT NOT NULL COLLATE NOCASE) STRICT;
CREATE TABLE "platform" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "name" TEXT NOT NULL COLLATE NOCASE, "transport_dest" TEXT NOT NULL COLLATE NOCASE, "transport_type" TEXT NOT NULL COLLATE NOCASE, "transport_port" INTEGER NOT NULL, "fallback_transport_dest" TEXT COLLATE NOCASE, "fallback_transport_type" TEXT COLLATE NOCASE, "fallback_transport_port" INTEGER, "api_type" TEXT COLLATE NOCASE, "api_data" TEXT COLLATE NOCASE, "auth_type" TEXT COLLATE NOCASE, "auth_data" TEXT COLLATE NOCASE, "default" INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "platform" VALUES(1,1,'Server','mail.in.test','SMTP',25,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "platform" VALUES(2,2,'Server','mail.other.test','SMTP',25,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1);
CREATE TABLE "policy" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL COLLATE NOCASE, "domain_id" INTEGER NOT NULL, "incoming" INTEGER NOT NULL DEFAULT 1, "outgoing" INTEGER NOT NULL DEFAULT 0, "quarantine" INTEGER NOT NULL, "retention" INTEGER NOT NULL, "archive" INTEGER NOT NULL DEFAULT 0, "mail_size_limit" INTEGER NOT NULL DEFAULT 21, "spam_score" REAL NOT NULL DEFAULT 5, "relay_props" TEXT NOT NULL COLLATE NOCASE, "quarantine_props" TEXT COLLATE NOCASE, "retention_props" TEXT COLLATE NOCASE, "archive_props" TEXT COLLATE NOCASE) STRICT;
INSERT INTO "policy" VALUES(1,'Politique-in.test',1,1,0,1,1,0,21,5.0,'{"relaySpam":false,"relayAdvert":true,"advertPrefix":"","prefixSpam":null,"relayBadHeaders":false,"relayBadAttachments":false,"spamScoreLimit":5.0}','{"duration":31,"storeSpam":true,"storeVirus":false,"storeAdvert":false,"storeBlacklisted":false,"storeSenderVerify":false,"storeBadHeaders":true,"storeBadEncoding":true,"storeBadAttachments":true}','{"duration":5,"storeMailOut":true,"storeCleanMailIn":true}',NULL);
INSERT INTO "policy" VALUES(2,'Politique-other.test',2,1,0,1,1,0,21,5.0,'{"relaySpam":false,"relayAdvert":true,"advertPrefix":"","prefixSpam":null,"relayBadHeaders":false,"relayBadAttachments":false,"spamScoreLimit":5.0}','{"duration":31,"storeSpam":true,"storeVirus":false,"storeAdvert":false,"storeBlacklisted":false,"storeSenderVerify":false,"storeBadHeaders":true,"storeBadEncoding":true,"storeBadAttachments":true}','{"duration":5,"storeMailOut":true,"storeCleanMailIn":true}',NULL);
CREATE TABLE "provider" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL COLLATE NOCASE, "spf_provider" TEXT NOT NULL COLLATE NOCASE, "active" INTEGER NOT NULL DEFAULT 1) STRICT;
CREATE TABLE refusal (
  hour INTEGER NOT NULL, net TEXT NOT NULL, code TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (hour, net, code)
) STRICT, WITHOUT ROWID;
CREATE TABLE "role" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "name" TEXT NOT NULL COLLATE NOCASE, "permissions" TEXT NOT NULL COLLATE NOCASE DEFAULT '[]', "created_at" INTEGER NOT NULL) STRICT;
CREATE TABLE "sender_rule" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "user_id" INTEGER, "owner" TEXT NOT NULL COLLATE NOCASE, "value" TEXT NOT NULL COLLATE NOCASE, "type" TEXT NOT NULL COLLATE NOCASE, "created_date" INTEGER NOT NULL, "expire_at" INTEGER, "description" TEXT COLLATE NOCASE, "spf_on" INTEGER, "generation" INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE "submission" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "account" TEXT NOT NULL COLLATE NOCASE, "key" TEXT NOT NULL COLLATE NOCASE, "digest" TEXT NOT NULL COLLATE NOCASE, "mail_id" TEXT NOT NULL COLLATE NOCASE, "expires_at" INTEGER NOT NULL) STRICT;
CREATE TABLE "ticket" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "purpose" TEXT NOT NULL COLLATE NOCASE, "admin_id" INTEGER, "user_id" INTEGER, "maker_id" INTEGER, "digest" TEXT NOT NULL COLLATE NOCASE, "mark" TEXT NOT NULL COLLATE NOCASE, "created_at" INTEGER NOT NULL, "expires_at" INTEGER NOT NULL) STRICT;
CREATE TABLE "token" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "admin_id" INTEGER, "user_id" INTEGER, "name" TEXT NOT NULL COLLATE NOCASE, "digest" TEXT NOT NULL COLLATE NOCASE, "expiration" INTEGER, "created_at" INTEGER NOT NULL, "last_use" INTEGER) STRICT;
CREATE TABLE trace (
  id INTEGER PRIMARY KEY, mail_id TEXT NOT NULL, until INTEGER NOT NULL, refused INTEGER NOT NULL DEFAULT 0,
  size INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
INSERT INTO "trace" VALUES(1,'00000000000000000000000000000001',1802592000000,0,65,X'28B52FFD203BC5010014035B7B226174223A3138302C226576656E74223A227265636569766564222C2264617461223A7B2273697A65223A357D7D5D01001B4002');
INSERT INTO "trace" VALUES(2,'00000000000000000000000000000002',1802592000000,0,65,X'28B52FFD203BC5010014035B7B226174223A3138302C226576656E74223A227265636569766564222C2264617461223A7B2273697A65223A357D7D5D01001B4002');
INSERT INTO "trace" VALUES(3,'00000000000000000000000000000003',1802592000000,0,65,X'28B52FFD203BC5010014035B7B226174223A3138302C226576656E74223A227265636569766564222C2264617461223A7B2273697A65223A357D7D5D01001B4002');
CREATE TABLE uncopied (id INTEGER PRIMARY KEY, mail_id TEXT NOT NULL, mailbox TEXT NOT NULL COLLATE NOCASE) STRICT;
CREATE TABLE "upload" ("id" TEXT NOT NULL PRIMARY KEY, "user_id" INTEGER NOT NULL, "name" TEXT NOT NULL COLLATE NOCASE, "type" TEXT NOT NULL COLLATE NOCASE, "size" INTEGER NOT NULL, "created_at" INTEGER NOT NULL, "expires_at" INTEGER NOT NULL) STRICT;
CREATE TABLE "uri_rule" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "action" TEXT NOT NULL COLLATE NOCASE, "filter" TEXT NOT NULL COLLATE NOCASE, "priority" INTEGER NOT NULL, "description" TEXT COLLATE NOCASE, "created_date" INTEGER NOT NULL) STRICT;
CREATE TABLE "user" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "domain_id" INTEGER NOT NULL, "email" TEXT NOT NULL COLLATE NOCASE, "firstname" TEXT COLLATE NOCASE, "lastname" TEXT COLLATE NOCASE, "status" TEXT NOT NULL COLLATE NOCASE DEFAULT 'ENABLED', "language" TEXT NOT NULL COLLATE NOCASE, "creation_date" INTEGER NOT NULL, "policy_id" INTEGER, "platform_id" INTEGER, "auth_id" INTEGER, "sender_verify_on" INTEGER NOT NULL DEFAULT 1, "password_hash" TEXT COLLATE NOCASE, "sign" TEXT COLLATE NOCASE, "mfa_type" TEXT COLLATE NOCASE, "totp_secret" TEXT COLLATE NOCASE, "totp_step" INTEGER NOT NULL DEFAULT 0, "last_connection_date" INTEGER, "sender_generation" INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "user" VALUES(1,1,'bob@in.test',NULL,'L0','ENABLED','EN',1800000000000,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,0,NULL,0);
INSERT INTO "user" VALUES(2,1,'ann@in.test',NULL,'L1','ENABLED','EN',1800000000000,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,0,NULL,0);
INSERT INTO "user" VALUES(3,1,'old@in.test',NULL,'L2','DISABLED','EN',1800000000000,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,0,NULL,0);
INSERT INTO "user" VALUES(4,2,'kim@other.test',NULL,'L3','ENABLED','EN',1800000000000,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,0,NULL,0);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX "customer_by0" ON "customer" (broker_id);
CREATE UNIQUE INDEX "domain_key0" ON "domain" (name);
CREATE INDEX "domain_by0" ON "domain" (customer_id, name);
CREATE INDEX "domain_by1" ON "domain" (policy_id);
CREATE INDEX "domain_by2" ON "domain" (id) WHERE outgoing_subnets != '[]';
CREATE INDEX "domain_by3" ON "domain" (purge_date);
CREATE UNIQUE INDEX "domain_alias_key0" ON "domain_alias" (name);
CREATE INDEX "domain_alias_by0" ON "domain_alias" (domain_id, name);
CREATE UNIQUE INDEX "user_key0" ON "user" (email);
CREATE INDEX "user_by0" ON "user" (domain_id, email);
CREATE INDEX "user_by1" ON "user" (policy_id);
CREATE INDEX "user_by2" ON "user" (platform_id);
CREATE UNIQUE INDEX "group_key0" ON "group" (email);
CREATE INDEX "group_by0" ON "group" (domain_id, email);
CREATE UNIQUE INDEX "group_member_key0" ON "group_member" (group_id, email);
CREATE INDEX "group_member_by0" ON "group_member" (email);
CREATE UNIQUE INDEX "provider_key0" ON "provider" (spf_provider);
CREATE INDEX "platform_by0" ON "platform" (domain_id);
CREATE UNIQUE INDEX "policy_key0" ON "policy" (domain_id, name);
CREATE UNIQUE INDEX "checkup_key0" ON "checkup" (entity, entity_id);
CREATE INDEX "checkup_by0" ON "checkup" (failing, id);
CREATE INDEX "dkim_key_by0" ON "dkim_key" (domain_id);
CREATE INDEX "dkim_key_by1" ON "dkim_key" (waiting);
CREATE UNIQUE INDEX "sender_rule_key0" ON "sender_rule" (domain_id, coalesce(user_id, 0), generation, value, type);
CREATE INDEX "sender_rule_by0" ON "sender_rule" (owner, value);
CREATE INDEX "sender_rule_by1" ON "sender_rule" (user_id, generation) WHERE user_id IS NOT NULL;
CREATE INDEX "attachment_rule_by0" ON "attachment_rule" (domain_id, priority);
CREATE INDEX "uri_rule_by0" ON "uri_rule" (domain_id, priority);
CREATE UNIQUE INDEX "admin_key0" ON "admin" (login);
CREATE UNIQUE INDEX "grant_key0" ON "grant" (admin_id, level, node_id);
CREATE INDEX "grant_by0" ON "grant" (level, node_id);
CREATE UNIQUE INDEX "role_key0" ON "role" (domain_id, name);
CREATE UNIQUE INDEX "token_key0" ON "token" (digest);
CREATE INDEX "token_by0" ON "token" (admin_id);
CREATE INDEX "token_by1" ON "token" (user_id);
CREATE UNIQUE INDEX "ticket_key0" ON "ticket" (digest);
CREATE INDEX "ticket_by0" ON "ticket" (expires_at);
CREATE UNIQUE INDEX "option_value_key0" ON "option_value" (scope, owner_id, name);
CREATE INDEX "audit_by0" ON "audit" (at);
CREATE INDEX "audit_by1" ON "audit" (broker_id);
CREATE INDEX "audit_by2" ON "audit" (customer_id);
CREATE INDEX "audit_by3" ON "audit" (domain_id);
CREATE INDEX "audit_by4" ON "audit" (login);
CREATE INDEX "audit_by5" ON "audit" (object_id);
CREATE INDEX "message_by0" ON "message" (message_id);
CREATE INDEX "copy_by1" ON "copy" (mail_id);
CREATE INDEX "copy_by2" ON "copy" (expires_at);
CREATE INDEX "delivery_by0" ON "delivery" (mail_id);
CREATE INDEX "delivery_by1" ON "delivery" (remote_id) WHERE remote_id IS NOT NULL;
CREATE INDEX "delivery_by2" ON "delivery" (id) WHERE state IN ('queued', 'held');
CREATE INDEX "upload_by0" ON "upload" (user_id);
CREATE INDEX "upload_by1" ON "upload" (expires_at);
CREATE UNIQUE INDEX "submission_key0" ON "submission" (account, key);
CREATE INDEX "submission_by0" ON "submission" (expires_at);
CREATE INDEX body_spooled ON body (mail_id) WHERE data IS NULL;
CREATE INDEX trace_mail ON trace (mail_id);
CREATE INDEX trace_until ON trace (until);
CREATE INDEX trace_refused ON trace (id) WHERE refused = 1;
CREATE TRIGGER trace_added AFTER INSERT ON trace WHEN NEW.refused = 1 BEGIN
  UPDATE meta SET value = value + NEW.size WHERE key = 'refused';
END;
CREATE TRIGGER trace_removed AFTER DELETE ON trace WHEN OLD.refused = 1 BEGIN
  UPDATE meta SET value = value - OLD.size WHERE key = 'refused';
END;
CREATE TRIGGER user_removed AFTER DELETE ON user BEGIN
  DELETE FROM token WHERE user_id = OLD.id;
  DELETE FROM sender_rule WHERE user_id = OLD.id;
END;
CREATE TRIGGER admin_removed AFTER DELETE ON admin BEGIN DELETE FROM token WHERE admin_id = OLD.id; END;
CREATE TRIGGER group_removed AFTER DELETE ON "group" BEGIN DELETE FROM group_member WHERE group_id = OLD.id; END;
CREATE TRIGGER domain_apart_insert BEFORE INSERT ON "domain" WHEN EXISTS (SELECT 1 FROM "domain_alias" WHERE name = NEW.name) BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: domain.name'); END;
CREATE TRIGGER domain_apart_update BEFORE UPDATE OF name ON "domain" WHEN EXISTS (SELECT 1 FROM "domain_alias" WHERE name = NEW.name) BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: domain.name'); END;
CREATE TRIGGER domain_alias_apart_insert BEFORE INSERT ON "domain_alias" WHEN EXISTS (SELECT 1 FROM "domain" WHERE name = NEW.name) BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: domain_alias.name'); END;
CREATE TRIGGER domain_alias_apart_update BEFORE UPDATE OF name ON "domain_alias" WHEN EXISTS (SELECT 1 FROM "domain" WHERE name = NEW.name) BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: domain_alias.name'); END;
CREATE TRIGGER user_apart_insert BEFORE INSERT ON "user" WHEN EXISTS (SELECT 1 FROM "group" WHERE email = NEW.email) BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: user.email'); END;
CREATE TRIGGER user_apart_update BEFORE UPDATE OF email ON "user" WHEN EXISTS (SELECT 1 FROM "group" WHERE email = NEW.email) BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: user.email'); END;
CREATE TRIGGER group_apart_insert BEFORE INSERT ON "group" WHEN EXISTS (SELECT 1 FROM "user" WHERE email = NEW.email) BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: group.email'); END;
CREATE TRIGGER group_apart_update BEFORE UPDATE OF email ON "group" WHEN EXISTS (SELECT 1 FROM "user" WHERE email = NEW.email) BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: group.email'); END;
CREATE INDEX folder_domain ON folder (domain_id);
CREATE TRIGGER copy_added AFTER INSERT ON copy BEGIN 
INSERT INTO folder VALUES (NEW.mailbox, NEW.folder, NEW.category, NEW.domain_id, 1, NOT NEW.seen)
ON CONFLICT DO UPDATE SET total = total + 1, unseen = unseen + (NOT NEW.seen), domain_id = NEW.domain_id;
 END;
CREATE TRIGGER copy_removed AFTER DELETE ON copy BEGIN 
UPDATE folder SET total = total - 1, unseen = unseen - (NOT OLD.seen) WHERE mailbox = OLD.mailbox AND folder = OLD.folder AND category = OLD.category;
DELETE FROM folder WHERE mailbox = OLD.mailbox AND folder = OLD.folder AND category = OLD.category AND total = 0;
 END;
CREATE TRIGGER copy_seen AFTER UPDATE OF seen ON copy WHEN OLD.seen != NEW.seen BEGIN
  UPDATE folder SET unseen = unseen + OLD.seen - NEW.seen WHERE mailbox = OLD.mailbox AND folder = OLD.folder AND category = OLD.category;
END;
CREATE TRIGGER copy_moved AFTER UPDATE OF mailbox, folder, category ON copy
WHEN OLD.mailbox != NEW.mailbox OR OLD.folder != NEW.folder OR OLD.category != NEW.category
BEGIN 
UPDATE folder SET total = total - 1, unseen = unseen - (NOT OLD.seen) WHERE mailbox = OLD.mailbox AND folder = OLD.folder AND category = OLD.category;
DELETE FROM folder WHERE mailbox = OLD.mailbox AND folder = OLD.folder AND category = OLD.category AND total = 0;
 
INSERT INTO folder VALUES (NEW.mailbox, NEW.folder, NEW.category, NEW.domain_id, 1, NOT NEW.seen)
ON CONFLICT DO UPDATE SET total = total + 1, unseen = unseen + (NOT NEW.seen), domain_id = NEW.domain_id;
 END;
CREATE TRIGGER copy_archived BEFORE UPDATE OF mail_id, folder, category, score, infected, stored_at, expires_at ON copy
WHEN OLD.folder = 'Archive' BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: the archive is write-once'); END;
CREATE TRIGGER domain_dkim_removed AFTER DELETE ON domain BEGIN
  DELETE FROM dkim_key WHERE domain_id = OLD.id;
END;
CREATE TRIGGER admin_rights_removed AFTER DELETE ON admin BEGIN DELETE FROM "grant" WHERE admin_id = OLD.id; END;
CREATE TRIGGER domain_rights_removed AFTER DELETE ON domain BEGIN
  DELETE FROM "grant" WHERE level = 'DOMAIN' AND node_id = OLD.id;
  DELETE FROM role WHERE domain_id = OLD.id;
END;
CREATE TRIGGER broker_options_removed AFTER DELETE ON "broker" BEGIN DELETE FROM option_value WHERE scope = 'URL' AND owner_id = OLD.id; END;
CREATE TRIGGER customer_options_removed AFTER DELETE ON "customer" BEGIN DELETE FROM option_value WHERE scope = 'CUSTOMER' AND owner_id = OLD.id; END;
CREATE TRIGGER domain_options_removed AFTER DELETE ON "domain" BEGIN DELETE FROM option_value WHERE scope = 'DOMAIN' AND owner_id = OLD.id; END;
CREATE TRIGGER user_options_removed AFTER DELETE ON "user" BEGIN DELETE FROM option_value WHERE scope = 'USER' AND owner_id = OLD.id; END;
CREATE TRIGGER domain_checkup_removed AFTER DELETE ON domain BEGIN
  DELETE FROM checkup WHERE entity = 'DOMAIN' AND entity_id = OLD.id;
END;
CREATE TRIGGER platform_checkup_removed AFTER DELETE ON platform BEGIN
  DELETE FROM checkup WHERE entity = 'PLATFORM' AND entity_id = OLD.id;
END;
CREATE INDEX "domain_by4" ON "domain" (id) WHERE outgoing_provider_ids != '[]';
CREATE TRIGGER copy_gone AFTER DELETE ON copy
WHEN NOT EXISTS (SELECT 1 FROM copy WHERE mail_id = OLD.mail_id AND mailbox = OLD.mailbox)
BEGIN INSERT INTO uncopied (mail_id, mailbox) VALUES (OLD.mail_id, OLD.mailbox); END;
CREATE INDEX "copy_by0" ON "copy" (mailbox, folder, sent, id, category, received, size, header_from, subject);
CREATE TRIGGER audit_kept BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: the audit'); END;
CREATE TRIGGER audit_removed BEFORE DELETE ON audit
WHEN OLD.at >= (SELECT value FROM meta WHERE key = 'audited') BEGIN
  SELECT RAISE(ABORT, 'CHECK constraint failed: the audit keeps its entries until the end of their term');
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('broker',1);
INSERT INTO "sqlite_sequence" VALUES('customer',1);
INSERT INTO "sqlite_sequence" VALUES('domain',2);
INSERT INTO "sqlite_sequence" VALUES('policy',2);
INSERT INTO "sqlite_sequence" VALUES('platform',2);
INSERT INTO "sqlite_sequence" VALUES('user',4);
INSERT INTO "sqlite_sequence" VALUES('group',1);
INSERT INTO "sqlite_sequence" VALUES('group_member',1);
INSERT INTO "sqlite_sequence" VALUES('copy',3);
INSERT INTO "sqlite_sequence" VALUES('delivery',3);
COMMIT;
