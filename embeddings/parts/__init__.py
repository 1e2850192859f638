"""The parts of an experiment, by level; experiment.py puts them together."""
