"""The console: a few pages around our own JavaScript modules, drawn from the public APIs."""
