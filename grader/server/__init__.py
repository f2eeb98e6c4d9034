"""The API of the service: `app.create` makes it, `serve.serve` runs it.

settings      what the environment says, read once
access        who may call which route, and on whose objects: one table
problems      every error as application/problem+json, with the codes of the command line
bodies        what a request carries, bounded before anything is parsed
exercises, submissions, judgings, staff, accounts, oidc, operations    the routes
"""
