"""PromQL: a parser and an engine. Pure: an expression, a Queryable and a time give a vector or a matrix.

``promql.parser.parse`` reads, ``promql.printer.format_expr`` writes, ``promql.visit`` looks through
a tree, ``promql.engine.Engine`` evaluates, ``promql.functions.table.FUNCTIONS`` says what there is.
"""
