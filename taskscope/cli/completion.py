"""``taskscope completion SHELL``."""

from typing import Final

import click
from click.shell_completion import get_completion_class

_BASH_END: Final = "\n    return 0\n"
# a field's value is typed right behind its colon
_BASH_NO_SPACE: Final = "\n    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]] && compopt -o nospace 2>/dev/null\n"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL, e.g. `eval "$(taskscope completion bash)"`."""
    from taskscope.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    source = found(cli, {}, "taskscope", "_TASKSCOPE_COMPLETE").source()
    if shell == "bash":
        source = source.replace(_BASH_END, _BASH_NO_SPACE + _BASH_END, 1)
    click.echo(source)
