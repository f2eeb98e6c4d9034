"""One file a step. `database.HEAD` names the last one."""
