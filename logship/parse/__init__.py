"""From the bytes of a log file to ``LogBatch``: unwrap, join, structure, batch. Pure; the data never raises."""
