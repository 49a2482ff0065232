"""Taskscope's log query language: ``app:shop level:(warn OR error) "connection refused" -stream:stderr``.

Lucene-like, so that nobody has to learn it. Adjacent terms are AND; NOT binds closer than AND, AND
closer than OR. Free text searches ``message`` for words and phrases without regard to case; a word
is a run of letters, digits and underscores, and a phrase is words that follow each other. Field
names are the short ones of ``model.identity.QUERY_FIELDS`` or full ECS names; ``fields.<x>`` is what
the record itself said.
"""

from storage.logquery.fields import field_name
from storage.logquery.lucene import to_lucene
from storage.logquery.nodes import Node
from storage.logquery.parser import parse
from storage.logquery.quoting import quoted

__all__ = ["Node", "field_name", "parse", "quoted", "to_lucene"]
