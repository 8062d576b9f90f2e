"""Schedules: what becomes of missed fires, jitter, pauses"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UTC = sqlmodel.sql.sqltypes.UTCDateTime
TEXT = sqlmodel.sql.sqltypes.AutoString

# What a schedule made before this version gets. The default stays in the database: taking it away
# would copy the whole table on SQLite.
ADDED = (
    ("misfire", TEXT, "once"),
    ("misfire_window_s", sa.Integer, "3600"),
    ("jitter_s", sa.Integer, "0"),
)


def upgrade() -> None:
    with op.batch_alter_table("schedules") as batch_op:
        for name, kind, value in ADDED:
            batch_op.add_column(sa.Column(name, kind(), nullable=False, server_default=value))
    op.create_table(
        "pauses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("scope", TEXT(), nullable=False),
        sa.Column("target", TEXT(), nullable=False),
        sa.Column("since_at", UTC(), nullable=False),
        sa.Column("until_at", UTC(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_by_name", TEXT(), nullable=False),
        sa.Column("note", TEXT(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_pauses_owner", "pauses", ["owner_id", "until_at"])


def downgrade() -> None:
    op.drop_table("pauses")
    with op.batch_alter_table("schedules") as batch_op:
        for name, _, _ in ADDED:
            batch_op.drop_column(name)
