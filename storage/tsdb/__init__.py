"""The embedded columnar time series store: head, write-ahead log, blocks. Its door is ``db.Tsdb``."""
