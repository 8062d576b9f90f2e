"""The queue: lanes and turns, rules of overlap and concurrency, retries"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UTC = sqlmodel.sql.sqltypes.UTCDateTime
TEXT = sqlmodel.sql.sqltypes.AutoString

# What a run made before this version gets. The default stays in the database: taking it away
# would copy the whole table on SQLite.
ADDED = (
    ("exclusive", sa.Boolean, sa.false()),
    ("group_key", TEXT, ""),
    ("group_limit", sa.Integer, "0"),
    ("stop_reason", TEXT, ""),
    ("infra_faults", sa.Integer, "0"),
)
PARTIAL = (
    ("ix_runs_queue", ["lane", "available_at", "id"], "status = 'queued'"),
    ("ix_runs_waiting", ["event_id"], "status = 'queued'"),
    ("ix_runs_between", ["event_id"], "status = 'queued' AND attempt > 0"),
    ("ix_runs_expiry", ["expires_at"], "status = 'queued'"),
    ("ix_runs_event_running", ["event_id"], "status = 'running'"),
    ("ix_runs_group_running", ["group_key"], "status = 'running'"),
)


def upgrade() -> None:
    op.drop_index("ix_runs_queue", table_name="runs")
    for name, kind, value in ADDED:
        op.add_column("runs", sa.Column(name, kind(), nullable=False, server_default=value))
    op.add_column("runs", sa.Column("lane", sa.Uuid(), nullable=True))
    op.add_column("runs", sa.Column("expires_at", UTC(), nullable=True))
    for name, columns, where in PARTIAL:
        _index(name, columns, where)
    op.create_table(
        "queue_turns",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("next_at", UTC(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("event_id", "priority"),
    )
    op.create_index("ix_queue_turns_order", "queue_turns", [sa.text("priority DESC"), "number"])
    op.create_index("ix_queue_turns_number", "queue_turns", ["number"])
    op.create_table(
        "queue_lanes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("place", TEXT(), nullable=False),
        sa.Column("image", TEXT(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.Column("group_key", TEXT(), nullable=False),
        sa.Column("group_limit", sa.Integer(), nullable=False),
        sa.Column("next_at", UTC(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_queue_lanes_event", "queue_lanes", ["event_id", "priority", "next_at"])
    op.create_index("ix_queue_lanes_next", "queue_lanes", ["next_at"])


def downgrade() -> None:
    op.drop_table("queue_lanes")
    op.drop_table("queue_turns")
    for name, _, _ in PARTIAL:
        op.drop_index(name, table_name="runs")
    with op.batch_alter_table("runs") as batch_op:
        for name in (*(name for name, _, _ in ADDED), "lane", "expires_at"):
            batch_op.drop_column(name)
    _index("ix_runs_queue", [sa.text("priority DESC"), "available_at", "id"], "status = 'queued'")


def _index(name: str, columns: list, where: str) -> None:
    op.create_index(
        name, "runs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
