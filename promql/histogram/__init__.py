"""Native histograms as columns: each sample of a vector points into a pool of them."""
