"""``python -m taskscope`` is the ``taskscope`` command."""

from taskscope.cli.main import main

if __name__ == "__main__":
    main()
