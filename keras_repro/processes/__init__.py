"""Child processes: what they are told and answer, how they are started, copies of the workspace."""
