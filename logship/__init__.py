"""Log lines from files to stores: source, parse, redact, buffer, sink; the checkpoint moves after delivery."""
