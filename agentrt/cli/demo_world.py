"""The world of the demo: a corpus on loopback, an index over it, this environment as a database, and tools
over both. Everything in it is closed when its block is left.
"""
