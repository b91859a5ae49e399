"""From messages to a law: record, reduce, search, select, refit, Law, report."""
