"""From records to the tables that every format renders."""
