"""A whole partition in simulated time: the real dispatcher and the real state machines of `core`, with functions, a
worker and a clock that a seed decides.

Nothing in here waits, and no event loop runs: what is to happen stands in one heap (`timeline`), so a seed replays
exactly. `checks` watches every message that passes between dispatcher, worker, ledger and callers, and keeps books of
its own about what must hold.
"""
