"""The tags `{% generation %}` … `{% endgeneration %}`. Training code uses them to find the tokens to learn from. The
tags change no prompt."""

from jinja2.ext import Extension
from jinja2.nodes import CallBlock
from jinja2.parser import Parser
from jinja2.runtime import Macro


class GenerationTags(Extension):
    """Renders the content between the tags. As in transformers, the block is a scope: names set inside are unknown
    outside."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares an attribute of the class

    def parse(self, parser: Parser) -> CallBlock:
        """Parse the block from its opening tag to its closing tag."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        block = CallBlock(self.call_method("_body"), [], [], body)
        block.set_lineno(line)
        return block

    def _body(self, caller: Macro) -> str:
        return caller()
