"""A soak of the worker: environments by the hundred, each with a fault, and what is left when all of them are gone.

`faults` is the table of what may go wrong, `worker` the worker with its dispatcher, `run` leads the environments
through their lives round by round, `gauges` reads what the machine holds after each round, and `judge` tells what has
grown. `python -m lambent.testing.soak` does all of it in a process of its own.
"""
