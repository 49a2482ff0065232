"""Native histograms as columns: many at once, brought onto common buckets, compared."""
