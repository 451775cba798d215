"""The ledger refuses changes: triggers, and the view that shows each posting as its legs."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The ledger is append-only: % of % refused. Correct an entry with another one.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON billing_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER posting_append_only BEFORE UPDATE OR DELETE ON billing_posting
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
"""
ALLOW = """
DROP TRIGGER posting_append_only ON billing_posting;
DROP TRIGGER ledger_append_only ON billing_ledgerentry;
DROP FUNCTION billing_refuse_change();
"""
# Accounts: 1 credits, 2 revenue, 3 issued, 4 breakage, 5 write-off. What a grant put into credits goes to breakage when it expires, and what was
# taken out of it comes back from there: what is left is what expired.
LEGS = """
CREATE VIEW billing_leg AS
    SELECT id AS posting_id, entry_id, wallet_id, unit, source AS account, -amount AS amount, booked_at AS at FROM billing_posting
    UNION ALL
    SELECT id, entry_id, wallet_id, unit, target, amount, booked_at FROM billing_posting
    UNION ALL
    SELECT id, entry_id, wallet_id, unit, 1, CASE WHEN target = 1 THEN -amount ELSE amount END, expires_at FROM billing_posting
    WHERE (source = 1 OR target = 1) AND expires_at < '9999-12-31Z'
    UNION ALL
    SELECT id, entry_id, wallet_id, unit, 4, CASE WHEN target = 1 THEN amount ELSE -amount END, expires_at FROM billing_posting
    WHERE (source = 1 OR target = 1) AND expires_at < '9999-12-31Z';
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunSQL(REFUSE, ALLOW), migrations.RunSQL(LEGS, "DROP VIEW billing_leg")]
