"""Run by alembic: migrate over the connection that `grader.store.database` hands in.

For a new step, change the models, add the next file in versions/ and name it in `database.HEAD`;
the tests list what still differs between models and migrations. Steps are never edited afterwards
and do not import the models, which go on changing.
"""

from alembic import context

from grader.store.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
