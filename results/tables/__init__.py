"""Makes the tables that every format renders from records."""
