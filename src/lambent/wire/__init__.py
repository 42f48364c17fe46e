"""The AWS protocols: from an HTTP request to a parsed call, from a result to an HTTP response. Pure: no I/O.

`catalog` has the services' models, `routes` finds the operation that a request asks for, `parse` reads its parameters,
`validate` checks them, `serialize` writes the answer or the error. `http` and `call` are the plain data in between.
"""
