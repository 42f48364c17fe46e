"""What `make bench` measures: Lambent beside plain references, on this machine, in one run.

`__main__` chooses the parts and prints the table, `table` judges a measurement by its promise, `load` is the program
that makes the calls, `subjects` starts what is measured, and `parts` holds one module for each kind of figure.
`wire` is a part too, and a program of its own. docs/benchmarks.md tells how to read the result.
"""
