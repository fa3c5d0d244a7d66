"""Tests of the tool's own rules, with Python's standard library alone; what it does with sam and moto is tested end to end."""
