"""PromQL: a parser and an engine. Pure: an expression, a Queryable and a time give a vector or a matrix."""
