"""The commands of `lambent` that are clients of the public API, one module each."""
