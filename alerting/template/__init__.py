"""Go templates, as far as alert annotations need them; the words and results are Go's and Prometheus's.

``parse`` judges a text when a rule file is loaded, ``Template.render`` fills it in. Supported:
text, ``{{ pipeline }}`` with trim marks and comments, ``if / else if / else / end``, variables,
fields, literals, parentheses, pipelines and the functions of ``functions.FUNCTIONS``.
"""

from alerting.template.evaluate import RenderError, Template
from alerting.template.lexer import TemplateError
from alerting.template.parser import parse

__all__ = ["RenderError", "Template", "TemplateError", "parse"]
