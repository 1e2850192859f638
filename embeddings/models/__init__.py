"""One page a model: Config, init, apply."""
