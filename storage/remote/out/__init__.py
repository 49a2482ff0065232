"""Remote write out: what the store's write-ahead log holds, sent on to other stores."""
