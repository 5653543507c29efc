"""What a person says of one finding of the machine stays, whatever is decided about its case."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody could say it so far."""
    op.add_column("findings", sa.Column("is_judged_alone", sa.Boolean, nullable=False, server_default=sa.false()))
